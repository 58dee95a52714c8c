package s3blob

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"hash"
	"io"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

const (
	// smallBody is the size in bytes below which a body is read whole before
	// anything is sent, and its digest signed with the request.
	smallBody = 64 << 10
	// blockSize is how much of a larger one is read at once, at most; there are
	// two blocks of it.
	blockSize = 64 << 10
	// lastRead bounds how long a call that its context has ended waits for a
	// Read of the caller's body that is under way.
	lastRead = 100 * time.Millisecond
)

// payload is the body of one request as it is sent.
type payload struct {
	body   io.Reader
	length int64         // of what is sent
	sum    func() []byte // MD5 of what was sent; nil = not all of it was
	sign   func(*s3.Options)
}

// load makes a request's body from size bytes of src. encoding is the object's
// Content-Encoding.
func (d *Driver) load(a *attempt, src io.Reader, size int64, encoding string) (payload, error) {
	if size < smallBody {
		return a.whole(src, size)
	}
	u := newUpload(a, src, size)
	a.body = u
	if d.opt.SignBodies {
		c := &chunks{src: u, left: size, keys: d.keys, region: d.opt.Region}
		return payload{body: c, length: chunkedLength(size), sum: u.md5, sign: c.options(size, encoding)}, nil
	}
	return payload{body: u, length: size, sum: u.md5, sign: unsigned}, nil
}

// whole reads a small body before anything is sent.
func (a *attempt) whole(src io.Reader, size int64) (payload, error) {
	a.pause()
	defer a.progress()
	var all bytes.Buffer
	all.Grow(int(size))
	if _, err := io.CopyN(&all, src, size); err != nil {
		return payload{}, bodyError(err)
	}
	if size > 0 { // one of no bytes need not be looked at
		if err := ends(src); !errors.Is(err, io.EOF) {
			return payload{}, bodyError(err)
		}
	}
	sum := md5.Sum(all.Bytes())
	return payload{body: bytes.NewReader(all.Bytes()), length: size, sum: func() []byte { return sum[:] }, sign: func(*s3.Options) {}}, nil
}

// bodyError says that it was the caller's body that failed. Nothing was stored.
func bodyError(err error) error {
	if errors.Is(err, io.EOF) {
		err = errs.E(errs.Invalid, "%w", blob.ErrShort)
	}
	return errs.Wrap(errs.KindOf(err), err, "read the body")
}

// ends gives io.EOF if the body ends here.
func ends(src io.Reader) error {
	n, err := io.CopyN(io.Discard, src, 1)
	if n > 0 {
		return errs.E(errs.Invalid, "the body is longer than its declared length")
	}
	return err
}

// upload hands a large body to the transport as it comes. The last bytes go
// only once it is known that they are; a body that fails makes the transport
// close the connection before the request is complete.
//
// The transport gives up a request only when a Read of its body has returned,
// so the caller's body is read beside it: one that hangs does not hold up a
// call whose context has ended.
type upload struct {
	a      *attempt
	blocks chan []byte  // read and not sent yet; closed after the last, or the failure
	free   chan []byte  // to read into
	block  []byte       // what is being sent
	rest   []byte       // of it
	left   atomic.Int64 // bytes that the transport has not got yet
	sum    hash.Hash    // of what was read
	failed atomic.Pointer[error]
	done   chan struct{} // closed when the body is the caller's again
}

func newUpload(a *attempt, src io.Reader, size int64) *upload {
	u := &upload{a: a, blocks: make(chan []byte), free: make(chan []byte, 2), sum: md5.New(), done: make(chan struct{})}
	u.left.Store(size)
	for range cap(u.free) {
		u.free <- make([]byte, blockSize)
	}
	go u.pump(a.ctx, src, size)
	return u
}

// pump reads the caller's body until ctx ends.
func (u *upload) pump(ctx context.Context, src io.Reader, left int64) {
	defer close(u.done)
	defer close(u.blocks)
	for left > 0 {
		var block []byte
		select {
		case block = <-u.free:
		case <-ctx.Done():
			return
		}
		n, err := src.Read(block[:min(left, blockSize)])
		if int64(n) == left && err == nil {
			err = ends(src)
		}
		if err != nil && (!errors.Is(err, io.EOF) || int64(n) < left) {
			err = bodyError(err)
			u.failed.Store(&err)
			return
		}
		u.sum.Write(block[:n])
		left -= int64(n)
		select {
		case u.blocks <- block[:n]:
		case <-ctx.Done():
			return
		}
	}
}

func (u *upload) Read(p []byte) (int, error) {
	for len(u.rest) == 0 {
		if u.left.Load() == 0 {
			return 0, io.EOF
		}
		if err := u.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	u.left.Add(-int64(n))
	return n, nil
}

// next waits for a block. Time that the caller's body takes is not counted.
func (u *upload) next() error {
	if u.block != nil {
		u.free <- u.block[:blockSize]
		u.block = nil
	}
	u.a.pause()
	defer u.a.progress()
	select {
	case block, ok := <-u.blocks:
		if !ok {
			return u.over()
		}
		u.block, u.rest = block, block
		return nil
	case <-u.a.ctx.Done():
		return u.over()
	}
}

// over says why there is no more.
func (u *upload) over() error {
	if err := u.failure(); err != nil {
		return err
	}
	return context.Cause(u.a.ctx)
}

// failure gives what the caller's body failed with, or nil.
func (u *upload) failure() error {
	if err := u.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// md5 gives the digest of the body, nil if not all of it was sent.
func (u *upload) md5() []byte {
	if u.left.Load() > 0 {
		return nil
	}
	<-u.done
	return u.sum.Sum(nil)
}

// release returns when the caller's body is no longer used. Where ctx has
// ended it does not wait for a Read that hangs.
func (u *upload) release(ctx context.Context) {
	select {
	case <-u.done:
		return
	case <-ctx.Done():
	}
	select {
	case <-u.done:
	case <-time.After(lastRead):
	}
}
