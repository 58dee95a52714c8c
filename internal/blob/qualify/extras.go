package qualify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

var errBroken = errors.New("the body fails on purpose")

// settle is how long a server has to store what it should not.
const settle = 300 * time.Millisecond

// broken breaks an upload off in its middle: nothing may be stored. Servers
// that take the end of a connection for the end of a body store a part.
func (p *probe) broken(ctx context.Context) (string, error) {
	key := p.fresh("broken")
	p.made.object(key, "")
	const size = 1 << 20
	body := io.MultiReader(bytes.NewReader(unlike(size/2)), failing{})
	_, err := p.b.Put(ctx, key, body, size, blob.PutOptions{})
	if !errors.Is(err, errBroken) {
		return "", orFault(err, "half a body was acknowledged as an object")
	}
	if err := run.Sleep(ctx, settle); err != nil {
		return "", err
	}
	if _, err := p.b.Head(ctx, key); !errs.Is(err, errs.NotFound) {
		return "", orFault(err, "an upload that was broken off has left an object: let bodies be signed, so that the server sees where they end")
	}
	return "an upload that was broken off has left nothing", nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBroken }

// keys sees whether keys are names, as S3 has it, or paths of files.
func (p *probe) keys(ctx context.Context) (string, error) {
	above, data := p.fresh("key"), unlike(small)
	if _, err := p.put(ctx, above+"/x", data, blob.PutOptions{}); err != nil {
		return "", err
	}
	if refused, err := p.refuses(ctx, above+"//x"); err != nil {
		return "", err
	} else if same, err := p.holds(ctx, above+"/x", data); err != nil || !same {
		return "", orFault(err, "the keys a//b and a/b are taken for one")
	} else if refused {
		p.report.Paths = true
	}
	if refused, err := p.refuses(ctx, above); err != nil {
		return "", err
	} else if same, err := p.holds(ctx, above+"/x", data); err != nil || !same {
		return "", orFault(err, "an object a has replaced the object a/b")
	} else if refused {
		p.report.Paths = true
	}
	if p.report.Paths {
		return "keys are paths of files: a//b, or a beside a/b, is refused", nil
	}
	return "keys are names", nil
}

// refuses says whether an object cannot be stored under the key.
func (p *probe) refuses(ctx context.Context, key string) (bool, error) {
	_, err := p.put(ctx, key, unlike(small), blob.PutOptions{})
	switch errs.KindOf(err) {
	case errs.Invalid, errs.Unsupported, errs.Conflict:
		return err != nil, nil
	}
	return false, err
}

// metadata stores as much of it as is allowed.
func (p *probe) metadata(ctx context.Context) (string, error) {
	key := p.fresh("meta")
	meta := map[string]string{"spare-op": strings.Repeat("0f", 16)}
	used := len("spare-op") + len(meta["spare-op"]) + len("fill")
	meta["fill"] = strings.Repeat("m", blob.MaxMeta-used)
	if _, err := p.put(ctx, key, unlike(small), blob.PutOptions{Meta: meta}); err != nil {
		return "", err
	}
	obj, err := p.b.Head(ctx, key)
	if err != nil {
		return "", err
	}
	if !maps.Equal(obj.Meta, meta) {
		return "", wrong("%d bytes of metadata did not come back as they were", blob.MaxMeta)
	}
	return fmt.Sprintf("%d bytes of metadata came back", blob.MaxMeta), nil
}

// copy copies an object and looks at what came along.
func (p *probe) copy(ctx context.Context) (string, error) {
	src, dst, data := p.fresh("copy"), p.fresh("copy"), unlike(small)
	o := blob.PutOptions{Meta: map[string]string{"spare-op": "1"}, Header: blob.Header{Type: "text/x-spare"}}
	obj, err := p.put(ctx, src, data, o)
	if err != nil {
		return "", err
	}
	p.made.object(dst, "")
	made, err := p.b.Copy(ctx, dst, src, blob.CopyOptions{Match: obj.ETag})
	if err != nil {
		return "", err
	}
	p.made.object(dst, made.Version)
	got, found, err := p.await(ctx, dst, len(data))
	switch {
	case err != nil:
		return "", err
	case !bytes.Equal(got, data):
		return "", wrong("the copy has other bytes")
	case !maps.Equal(found.Meta, o.Meta) || found.Header.Type != o.Header.Type:
		return "", wrong("the copy has lost metadata or its content type")
	}
	if _, err := p.put(ctx, src, unlike(small), blob.PutOptions{}); err != nil {
		return "", err
	}
	made, err = p.b.Copy(ctx, dst, src, blob.CopyOptions{Match: obj.ETag})
	if err == nil {
		p.made.object(dst, made.Version)
		return "", wrong("a source was copied that had no longer the tag asked for")
	}
	if !errs.Is(err, errs.Conflict) {
		return "", err
	}
	return "a copy keeps bytes, metadata and content type", nil
}

// multipart writes an object in one part, and gives up another.
func (p *probe) multipart(ctx context.Context) (string, error) {
	data := unlike(100 << 10)
	key := p.fresh("parts")
	id, err := p.upload(ctx, key)
	if err != nil {
		return "", err
	}
	part, err := p.b.UploadPart(ctx, key, id, 1, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return "", err
	}
	obj, err := p.b.CompleteUpload(ctx, key, id, []blob.Part{part}, blob.Condition{})
	if err != nil {
		return "", err
	}
	p.made.object(key, obj.Version)
	same, err := p.holds(ctx, key, data)
	if err != nil || !same {
		return "", orFault(err, "an object that was written in parts was read back with other bytes")
	}
	if id, err = p.upload(ctx, key); err != nil { // where an object is, which some take for the upload's
		return "", err
	}
	if part, err = p.b.UploadPart(ctx, key, id, 1, bytes.NewReader(data), int64(len(data))); err != nil {
		return "", err
	}
	if err := p.b.AbortUpload(ctx, key, id); err != nil {
		return "", err
	}
	_, err = p.b.CompleteUpload(ctx, key, id, []blob.Part{part}, blob.Condition{})
	switch {
	case err == nil:
		return "", wrong("an upload that had been given up was acknowledged as an object")
	case errs.Is(err, errs.Unavailable):
		return "", err
	}
	return "an object was written in parts, another upload given up", nil
}

func (p *probe) upload(ctx context.Context, key string) (id string, err error) {
	p.made.object(key, "")
	id, err = p.b.CreateUpload(ctx, key, blob.PutOptions{})
	if err == nil {
		p.made.uploads = append(p.made.uploads, blob.Upload{Key: key, ID: id})
	}
	return id, err
}

// versions sees whether what is overwritten stays readable.
func (p *probe) versions(ctx context.Context) (string, error) {
	key, first := p.fresh("version"), unlike(small)
	one, err := p.put(ctx, key, first, blob.PutOptions{})
	if err != nil {
		return "", err
	}
	two, err := p.put(ctx, key, unlike(small), blob.PutOptions{})
	if err != nil {
		return "", err
	}
	if one.Version == "" && two.Version == "" {
		return "none are kept", nil
	}
	if one.Version == two.Version {
		return "", wrong("two writes have the same version id")
	}
	got, _, err := p.get(ctx, key, blob.GetOptions{Version: one.Version}, len(first))
	switch {
	case errs.Is(err, errs.NotFound):
		return "", wrong("a version that was overwritten a moment ago is gone")
	case err != nil:
		return "", err
	case !bytes.Equal(got, first):
		return "", wrong("a version came back with other bytes")
	}
	p.report.Versioned = true
	return "kept: deletions of this run leave their markers", nil
}

// skewed is the difference of clocks that is worth a word: at 15 minutes
// requests are refused.
const skewed = 2 * time.Minute

// clock compares the provider's clock with this machine's.
func (p *probe) clock(ctx context.Context) (string, error) {
	key := p.fresh("clock")
	start := time.Now()
	if _, err := p.put(ctx, key, unlike(small), blob.PutOptions{}); err != nil {
		return "", err
	}
	middle := start.Add(time.Since(start) / 2)
	obj, err := p.b.Head(ctx, key)
	if err != nil {
		return "", err
	}
	if obj.Modified.IsZero() {
		return "", wrong("the provider does not say when an object was written")
	}
	there := obj.Modified
	if there.Nanosecond() == 0 {
		there = there.Add(500 * time.Millisecond) // told in whole seconds, rounded down
	}
	p.report.ClockOffset = there.Sub(middle).Round(100 * time.Millisecond)
	if p.report.ClockOffset.Abs() > skewed {
		return "", wrong("the provider's clock and this machine's differ by %v: from 15 minutes on it refuses requests", p.report.ClockOffset.Round(time.Second))
	}
	return fmt.Sprintf("differs by %v", p.report.ClockOffset), nil
}
