package s3api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/s3api/entity"
	"github.com/sparecloud/spare/internal/s3api/precond"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// buffers hold what goes from a store to a client: all that a request keeps in
// memory of a body, however slow its client is.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

func (c *call) head() error {
	o, err := c.store.Head(c.ctx, c.Key)
	if err != nil {
		return err
	}
	c.describe(o, true)
	if err := precond.Read(c.header, o); err != nil {
		return err
	}
	offset, length, status := int64(0), o.Size, http.StatusOK
	if rng, ok := precond.Range(c.header.Get("Range")); ok && precond.IfRange(c.header, o) {
		if offset, length, ok = rng.Resolve(o.Size); !ok {
			return c.noRange(o)
		}
		status = c.partial(offset, length, o.Size)
	}
	c.w.length(length)
	c.w.WriteHeader(status)
	return nil
}

func (c *call) get() error {
	r, err := c.open()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // what was read has been judged by its reads
	c.describe(r.Object, !r.Partial)
	if err := precond.Read(c.header, r.Object); err != nil {
		return err
	}
	status := http.StatusOK
	if r.Partial {
		status = c.partial(r.Offset, r.Length, r.Size)
	}
	c.w.length(r.Length)
	return c.send(r, status)
}

// describe puts what the object carries into the answer; its checksums only
// where they are asked for, and not with a part of it.
func (c *call) describe(o blob.Object, whole bool) {
	entity.Describe(c.w.Header(), o, c.Query)
	if whole && c.header.Get("X-Amz-Checksum-Mode") != "" {
		entity.DescribeSums(c.w.Header(), o.Sums)
	}
}

// partial marks the answer as a part of the object and gives its status.
func (c *call) partial(offset, length, size int64) int {
	c.w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, size))
	return http.StatusPartialContent
}

func (c *call) noRange(o blob.Object) error {
	c.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", o.Size))
	return s3err.InvalidRange.Err().With("RangeRequested", c.header.Get("Range")).With("ActualObjectSize", fmt.Sprint(o.Size))
}

// open opens what the request asks for: the object or a range of it.
func (c *call) open() (*blob.Reader, error) {
	rng, ranged := precond.Range(c.header.Get("Range"))
	if !ranged {
		return c.store.Get(c.ctx, c.Key, blob.GetOptions{})
	}
	if c.header.Get("If-Range") != "" {
		return c.openIfRange(rng)
	}
	if rng == (blob.Range{}) {
		return nil, c.outOfRange()
	}
	r, err := c.store.Get(c.ctx, c.Key, blob.GetOptions{Range: &rng})
	if errors.Is(err, blob.ErrRange) {
		return nil, c.outOfRange()
	}
	return r, err
}

// outOfRange says that no byte of the range exists, unless a condition of the
// request has something to say first.
func (c *call) outOfRange() error {
	o, err := c.store.Head(c.ctx, c.Key)
	if err != nil {
		return err
	}
	if err := precond.Read(c.header, o); err != nil {
		c.describe(o, false)
		return err
	}
	return c.noRange(o)
}

// openIfRange opens the range of the very object that If-Range names, or the
// whole of another.
func (c *call) openIfRange(rng blob.Range) (*blob.Reader, error) {
	o, err := c.store.Head(c.ctx, c.Key)
	if err != nil {
		return nil, err
	}
	if _, _, ok := rng.Resolve(o.Size); precond.IfRange(c.header, o) {
		if !ok {
			return nil, c.outOfRange()
		}
		r, err := c.store.Get(c.ctx, c.Key, blob.GetOptions{Range: &rng, Match: o.ETag})
		if !errs.Is(err, errs.Conflict) {
			return r, err
		}
	}
	return c.store.Get(c.ctx, c.Key, blob.GetOptions{})
}

// send answers with the body. Nothing is answered before its first bytes are
// here, and its last ones are held back until it has ended well: a client must
// not take for whole what is not.
func (c *call) send(r *blob.Reader, status int) error {
	buf := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(buf)
	for left := r.Length; ; {
		n, err := fill(r, buf[:min(int64(len(buf)), left)])
		left -= int64(n)
		if err == nil && left == 0 {
			err = ends(r)
		}
		if err != nil {
			return errs.Wrap(errs.KindOf(err), err, "read the object's body, %d bytes before its end", left)
		}
		if c.w.status == 0 {
			c.w.WriteHeader(status)
		}
		if _, err := c.w.Write(buf[:n]); err != nil {
			return err
		}
		if left == 0 {
			return nil
		}
	}
}

// fill reads until p is full. A body that ends before is cut.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err == io.EOF && n < len(p) {
			return n, errs.Wrap(errs.Unavailable, io.ErrUnexpectedEOF, "the store's body")
		}
		if err != nil && err != io.EOF {
			return n, err
		}
	}
	return n, nil
}

// ends hears a body out that should end here: one whose checksum is wrong says
// so now.
func ends(r io.Reader) error {
	var one [1]byte
	for range 100 {
		n, err := r.Read(one[:])
		switch {
		case n > 0:
			return errs.Wrap(errs.Internal, blob.ErrSuspect, "the body is longer than the object")
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}
