package memblob

import (
	"context"
	"io"
	"slices"
	"sync/atomic"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// body reads the bytes of one version, which never change.
type body struct {
	ended  func() error // the call's context
	rest   []byte
	closed atomic.Bool // Close may come beside a Read
}

func (b *body) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, errs.E(errs.Invalid, "the body is closed")
	}
	if err := b.ended(); err != nil {
		return 0, err
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func (b *body) Close() error {
	b.closed.Store(true)
	return nil
}

// take reads a body of size bytes to its last byte, before any lock is taken.
// A claimed size takes no memory before its bytes are there.
func take(ctx context.Context, r io.Reader, size int64) ([]byte, error) {
	if size < 0 || size > blob.MaxPut {
		return nil, errs.E(errs.Invalid, "the body's size is %d bytes, it must be known and at most %d", size, int64(blob.MaxPut))
	}
	data := make([]byte, 0, min(size, 1<<20))
	for int64(len(data)) < size {
		if err := ended(ctx); err != nil {
			return nil, err
		}
		if len(data) == cap(data) {
			data = slices.Grow(data, int(min(size-int64(len(data)), int64(len(data)))))
		}
		n, err := r.Read(data[len(data):min(int64(cap(data)), size)])
		data = data[:len(data)+n]
		missing := size - int64(len(data))
		switch {
		case missing == 0 && (err == nil || err == io.EOF):
		case err == io.EOF:
			return nil, errs.Wrap(errs.Invalid, blob.ErrShort, "%d bytes are missing", missing)
		case err != nil:
			return nil, errs.Wrap(errs.KindOf(err), err, "read the body")
		}
	}
	return data, ended(ctx)
}
