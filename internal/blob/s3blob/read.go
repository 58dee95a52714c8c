package s3blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Head implements [blob.Driver].
func (d *Driver) Head(ctx context.Context, key string) (blob.Object, error) {
	return d.head(ctx, key, "", "")
}

func (d *Driver) head(ctx context.Context, key, id, match string) (blob.Object, error) {
	for range 3 {
		a := d.begin(ctx, d.opt.Timeouts.Idle)
		out, err := d.client.HeadObject(a.ctx, &s3.HeadObjectInput{
			Bucket: d.bucket(), Key: &key, VersionId: maybe(id), IfMatch: quote(match),
		})
		a.close()
		if err == nil {
			return d.described(key, out)
		}
		r := d.answerOf(err)
		if r == nil || r.status != http.StatusNotFound && r.status != http.StatusForbidden && r.status != http.StatusBadRequest {
			return blob.Object{}, d.judge(a, ask{}, err)
		}
		if err := d.spell(ctx, key, id); err != nil {
			return blob.Object{}, err
		}
	}
	return blob.Object{}, errs.E(errs.Unavailable, "the provider refuses HEAD of an object that it gives to GET")
}

func (d *Driver) described(key string, out *s3.HeadObjectOutput) (blob.Object, error) {
	if out.ContentLength == nil || out.ETag == nil {
		return blob.Object{}, suspect(ask{}, "it names no length, or no ETag")
	}
	return object(key, *out.ContentLength, out.ETag, out.VersionId, out.LastModified, blob.Header{
		Type: aws.ToString(out.ContentType), Encoding: decoded(aws.ToString(out.ContentEncoding)), Disposition: aws.ToString(out.ContentDisposition),
		Language: aws.ToString(out.ContentLanguage), CacheControl: aws.ToString(out.CacheControl), Expires: aws.ToString(out.ExpiresString),
	}, out.Metadata), nil
}

// spell asks by GET what HEAD has refused. An answer to HEAD has no body and
// so does not say whether the object, the bucket, the clock or the key is at
// fault. nil = the object is there after all.
func (d *Driver) spell(ctx context.Context, key, id string) error {
	r, err := d.Get(ctx, key, blob.GetOptions{Version: id, Range: &blob.Range{Offset: 0, Length: 1}})
	if err == nil {
		return r.Close()
	}
	if errors.Is(err, blob.ErrRange) {
		return nil // it is there and has no bytes
	}
	return err
}

// Get implements [blob.Driver]. Body fails once ctx has ended.
func (d *Driver) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	rng, err := d.rangeOf(ctx, key, o)
	if err != nil {
		return nil, err
	}
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	out, err := d.client.GetObject(a.ctx, &s3.GetObjectInput{
		Bucket: d.bucket(), Key: &key, VersionId: maybe(o.Version), IfMatch: quote(o.Match), Range: maybe(rng),
	})
	a.pause()
	if err != nil {
		a.close()
		r := d.answerOf(err)
		if r != nil && r.status == http.StatusMethodNotAllowed && o.Version != "" {
			return nil, errs.E(errs.NotFound, "%w: this version is a deletion", r)
		}
		return nil, d.vague(ctx, r, d.judge(a, ask{}, err))
	}
	r, err := d.opened(key, o, out)
	if err != nil {
		a.close()
		_ = out.Body.Close()
		return nil, err
	}
	r.Body = &body{d: d, a: a, rc: out.Body}
	return r, nil
}

// rangeOf gives the Range header, "" for none.
func (d *Driver) rangeOf(ctx context.Context, key string, o blob.GetOptions) (string, error) {
	switch r := o.Range; {
	case r == nil:
		return "", nil
	case r.Offset < 0:
		return fmt.Sprintf("bytes=%d", max(r.Offset, math.MinInt64+1)), nil
	case r.Length < 0, r.Length > math.MaxInt64-r.Offset:
		return fmt.Sprintf("bytes=%d-", r.Offset), nil
	case r.Length > 0:
		return fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1), nil
	}
	// HTTP has no word for no bytes.
	if _, err := d.head(ctx, key, o.Version, o.Match); err != nil {
		return "", err
	}
	return "", errs.E(errs.Invalid, "%w: it has no bytes", blob.ErrRange)
}

// vague gives err, the meaning of r, its second thought: a 404 that does not
// say of what is the object's only if the bucket is there.
func (d *Driver) vague(ctx context.Context, r *answer, err error) error {
	if r == nil || !r.bare() {
		return err
	}
	if e := d.there(ctx); e != nil {
		return e
	}
	return err
}

// opened says whether an answer to GET is the one to what was asked.
func (d *Driver) opened(key string, o blob.GetOptions, out *s3.GetObjectOutput) (*blob.Reader, error) {
	if out.ContentLength == nil || out.ETag == nil {
		return nil, suspect(ask{}, "it names no length, or no ETag")
	}
	length, size, offset := *out.ContentLength, *out.ContentLength, int64(0)
	switch {
	case o.Range == nil && out.ContentRange != nil:
		return nil, suspect(ask{}, "a part came where all was asked for")
	case o.Range != nil && length == 0: // with whatever Content-Range
		return nil, errs.E(errs.Invalid, "%w: the object is empty", blob.ErrRange)
	case o.Range != nil && out.ContentRange == nil:
		return nil, suspect(ask{}, "all came where a part was asked for")
	case o.Range != nil:
		var last int64
		var ok bool
		if offset, last, size, ok = parseContentRange(*out.ContentRange); !ok {
			return nil, suspect(ask{}, "Content-Range is %.80q", *out.ContentRange)
		}
		first, n, fits := o.Range.Resolve(size)
		if !fits || first != offset || n != last-offset+1 || n != length {
			return nil, suspect(ask{}, "the range %.80q with %d bytes came, asked for were %d bytes from %d on", *out.ContentRange, length, n, first)
		}
	}
	obj := object(key, size, out.ETag, out.VersionId, out.LastModified, blob.Header{
		Type: aws.ToString(out.ContentType), Encoding: decoded(aws.ToString(out.ContentEncoding)), Disposition: aws.ToString(out.ContentDisposition),
		Language: aws.ToString(out.ContentLanguage), CacheControl: aws.ToString(out.CacheControl), Expires: aws.ToString(out.ExpiresString),
	}, out.Metadata)
	if o.Match != "" && obj.ETag != o.Match {
		return nil, suspect(ask{}, "the object with ETag %q came, asked for was %q", obj.ETag, o.Match)
	}
	if o.Version != "" && aws.ToString(out.VersionId) != o.Version {
		return nil, suspect(ask{}, "version %q came, asked for was %q", aws.ToString(out.VersionId), o.Version)
	}
	return &blob.Reader{Object: obj, Offset: offset, Length: length, Partial: o.Range != nil}, nil
}

// parseContentRange reads "bytes first-last/size" (RFC 9110, 14.4).
func parseContentRange(s string) (first, last, size int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	span, total, ok2 := strings.Cut(s, "/")
	from, to, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, 0, false
	}
	var n [3]int64
	for i, digits := range [...]string{from, to, total} {
		v, err := strconv.ParseUint(digits, 10, 63)
		if err != nil {
			return 0, 0, 0, false
		}
		n[i] = int64(v)
	}
	return n[0], n[1], n[2], n[0] <= n[1] && n[1] < n[2]
}

// body reads an object. The watch for silence runs while a Read waits.
type body struct {
	d  *Driver
	a  *attempt
	rc io.ReadCloser // fails if less than Content-Length comes
}

func (b *body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b.a.progress()
	n, err := b.rc.Read(p)
	b.a.pause()
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.d.unanswered(b.a, ask{}, err)
	}
	return n, err
}

func (b *body) Close() error {
	err := b.rc.Close()
	b.a.close()
	if err != nil {
		return errs.Wrap(errs.Unavailable, err, "close the body")
	}
	return nil
}
