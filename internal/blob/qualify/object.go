package qualify

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// made is what has to be removed in the end. What a listing shows is removed
// as well; versions and uploads are not in it.
type made struct {
	mu       sync.Mutex
	keys     map[string]bool
	versions []version
	uploads  []blob.Upload
}

type version struct{ key, id string }

func (m *made) object(key, id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = map[string]bool{}
	}
	m.keys[key] = true
	if id != "" {
		m.versions = append(m.versions, version{key, id})
	}
}

// unlike gives bytes that no other call gives.
func unlike(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

const small = 200 // bytes of most bodies

// put stores data and remembers to remove it.
func (p *probe) put(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
	p.made.object(key, "") // also when its outcome is not known
	obj, err := p.b.Put(ctx, key, bytes.NewReader(data), int64(len(data)), o)
	if err == nil {
		p.made.object(key, obj.Version)
	}
	return obj, err
}

// get reads at most most bytes: more is a fault that needs no memory.
func (p *probe) get(ctx context.Context, key string, o blob.GetOptions, most int) ([]byte, blob.Object, error) {
	r, err := p.b.Get(ctx, key, o)
	if err != nil {
		return nil, blob.Object{}, err
	}
	defer func() { _ = r.Close() }() // it was read, or its error is told
	data, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	return data, r.Object, err
}

// holds says whether the object is data.
func (p *probe) holds(ctx context.Context, key string, data []byte) (bool, error) {
	got, _, err := p.get(ctx, key, blob.GetOptions{}, len(data))
	if errs.Is(err, errs.NotFound) {
		return false, nil
	}
	return bytes.Equal(got, data), err
}

func (p *probe) listed(ctx context.Context, key string) (bool, error) {
	page, err := p.b.List(ctx, blob.ListOptions{Prefix: key})
	if err != nil {
		return false, err
	}
	for _, o := range page.Objects {
		if o.Key == key {
			return true, nil
		}
	}
	return false, nil
}

const tidyTime = time.Minute

// tidy removes what the run made, also when ctx has ended, and says what it
// could not remove.
func (p *probe) tidy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	var last error
	for _, u := range p.made.uploads {
		_ = p.b.AbortUpload(ctx, u.Key, u.ID) // most are over
	}
	for _, v := range p.made.versions {
		if err := p.b.Delete(ctx, v.key, blob.DeleteOptions{Version: v.id}); err != nil {
			last = err
		}
	}
	for key := range p.made.keys {
		if len(p.made.versions) > 0 {
			if _, err := p.b.Head(ctx, key); errs.Is(err, errs.NotFound) {
				continue // a deletion would leave one more marker
			}
		}
		if err := p.b.Delete(ctx, key, blob.DeleteOptions{}); err != nil {
			last = err // of some keys it says that they cannot be: what counts is what is left
		}
	}
	page, err := p.b.List(ctx, blob.ListOptions{})
	switch {
	case err != nil:
		p.left("what this run made may be left: " + err.Error())
	case len(page.Objects) > 0 && last != nil:
		p.left(fmt.Sprintf("%d objects of this run are left, remove them by hand: %v", len(page.Objects), last))
	case len(page.Objects) > 0:
		p.left(fmt.Sprintf("%d objects of this run are still listed after they were deleted", len(page.Objects)))
	}
}

func (p *probe) left(detail string) {
	p.report.Findings = append(p.report.Findings, Finding{Name: "clean-up", Detail: detail})
}
