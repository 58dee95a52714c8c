package faultblob

import (
	"context"
	"io"
	"sync"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// spoil gives the body of r as its fault wants it.
func (d *Driver) spoil(ctx context.Context, f Fault, r *blob.Reader) io.ReadCloser {
	if r.Length == 0 {
		return r.Body
	}
	switch at := d.place(f, r.Length); f.Kind {
	case Truncated:
		return &truncated{r.Body, at}
	case Corrupt:
		return &corrupt{r.Body, at}
	case Stalled:
		closed := make(chan struct{})
		return &stalled{
			ReadCloser: r.Body, left: at,
			close: sync.OnceFunc(func() { close(closed) }),
			wait: func() error {
				err := wait(ctx, closed, MaxAge)
				if err == nil {
					err = context.DeadlineExceeded
				}
				return errs.Wrap(errs.Unavailable, err, "wait for bytes that do not come (injected)")
			},
		}
	}
	return r.Body
}

// place gives the byte of a body at which a fault begins, in [0,length).
func (d *Driver) place(f Fault, length int64) int64 {
	switch {
	case f.At > 0:
		return min(f.At, length-1)
	case f.Rand != nil:
		d.mu.Lock()
		defer d.mu.Unlock()
		return f.Rand.Int64N(length)
	default:
		return length / 2
	}
}

// truncated ends early without a word.
type truncated struct {
	io.ReadCloser
	left int64
}

func (b *truncated) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// corrupt has one wrong bit.
type corrupt struct {
	io.ReadCloser
	left int64 // bytes before the wrong one; < 0 = it is past
}

func (b *corrupt) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left >= 0 && b.left < int64(n) {
		p[b.left] ^= 1
	}
	b.left -= int64(n)
	return n, err
}

// stalled stops in the middle and stays open.
type stalled struct {
	io.ReadCloser
	left  int64
	wait  func() error
	close func()
}

func (b *stalled) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, b.wait()
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

func (b *stalled) Close() error {
	b.close()
	return b.ReadCloser.Close()
}
