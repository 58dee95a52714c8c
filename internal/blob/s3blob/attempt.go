package s3blob

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"hash"
	"io"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// smallBody is the size in bytes below which a body is read whole before
// anything is sent, and its digest signed with the request.
const smallBody = 64 << 10

// lastRead bounds how long a call that its context has ended waits for a Read
// of the caller's body that is under way.
const lastRead = 100 * time.Millisecond

var errSilent = errors.New("the provider has made no progress")

// attempt is one request. It ends the request when the provider makes no
// progress for too long; time that the caller takes is not counted.
type attempt struct {
	ctx   context.Context
	end   context.CancelCauseFunc
	outer context.Context // the caller's
	quiet time.Duration
	timer *time.Timer
	body  *upload // nil = none that is streamed

	reached atomic.Bool // there was a connection, so something may have been sent
}

func (d *Driver) begin(ctx context.Context, quiet time.Duration) *attempt {
	a := &attempt{outer: ctx, quiet: quiet}
	ctx, a.end = context.WithCancelCause(ctx)
	a.timer = time.AfterFunc(quiet, func() { a.end(errSilent) })
	a.ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { a.reached.Store(true) },
	})
	return a
}

// pause stops the watch while the caller is waited for; progress starts it anew.
func (a *attempt) pause()    { a.timer.Stop() }
func (a *attempt) progress() { a.timer.Reset(a.quiet) }

// close ends the request and gives the caller's body back.
func (a *attempt) close() {
	a.timer.Stop()
	a.end(context.Canceled)
	if a.body != nil {
		a.body.release(a.outer)
	}
}

// silent says whether the provider was given up for its silence.
func (a *attempt) silent() bool { return errors.Is(context.Cause(a.ctx), errSilent) }

// unsent says whether it is certain that the provider does not have the whole
// request, so that it cannot have acted on it.
func (a *attempt) unsent() bool {
	return !a.reached.Load() || a.body != nil && a.body.left.Load() > 0
}

// payload is the body of one request as it is sent.
type payload struct {
	body   io.Reader
	length int64 // of what is sent
	sum    func() []byte
	sign   func(*s3.Options)
}

// load makes a request's body from size bytes of src; sum gives the MD5 of what
// was sent once that is over. encoding is the object's Content-Encoding.
func (d *Driver) load(a *attempt, src io.Reader, size int64, encoding string) (payload, error) {
	if size < smallBody {
		return a.whole(src, size)
	}
	a.body = &upload{a: a, src: src, sum: md5.New(), turn: make(chan struct{}, 1)}
	a.body.left.Store(size)
	p := payload{body: a.body, length: size, sum: func() []byte { return a.body.sum.Sum(nil) }, sign: unsigned}
	if d.opt.SignBodies {
		c := &chunks{src: a.body, left: size, keys: d.keys, region: d.opt.Region}
		p.body, p.length, p.sign = c, chunkedLength(size), c.options(size, encoding)
	}
	a.ctx = context.WithValue(a.ctx, bodyKey{}, p.body)
	return p, nil
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
		if err := ends(src); err != io.EOF {
			return payload{}, bodyError(err)
		}
	}
	sum := md5.Sum(all.Bytes())
	return payload{body: bytes.NewReader(all.Bytes()), length: size, sum: func() []byte { return sum[:] }, sign: func(*s3.Options) {}}, nil
}

// bodyError says that it was the caller's body that failed. Nothing was stored.
func bodyError(err error) error {
	if err == io.EOF {
		err = errs.E(errs.Invalid, "%w", blob.ErrShort)
	}
	return errs.Wrap(errs.KindOf(err), err, "read the body")
}

// upload hands a body to the transport as it comes. A body that fails makes
// the transport close the connection before the request is complete.
type upload struct {
	a    *attempt
	src  io.Reader
	sum  hash.Hash
	left atomic.Int64
	turn chan struct{} // held by whoever uses src
	over atomic.Bool   // src is the caller's again
	err  error         // what src failed with
}

func (u *upload) Read(p []byte) (int, error) {
	u.turn <- struct{}{}
	defer func() { <-u.turn }()
	left := u.left.Load()
	switch {
	case u.over.Load():
		return 0, context.Canceled
	case u.err != nil:
		return 0, u.err
	case left == 0:
		return 0, io.EOF
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	u.a.pause()
	n, err := u.src.Read(p)
	if int64(n) == left && err == nil {
		err = ends(u.src) // the last bytes go only once it is known that they are
	}
	u.a.progress()
	if err != nil && (err != io.EOF || int64(n) < left) {
		u.err = bodyError(err)
		return 0, u.err
	}
	u.sum.Write(p[:n])
	u.left.Add(-int64(n))
	return n, nil
}

// ends gives io.EOF if the body ends here.
func ends(src io.Reader) error {
	n, err := io.CopyN(io.Discard, src, 1)
	if n > 0 {
		return errs.E(errs.Invalid, "the body is longer than its declared length")
	}
	return err
}

// release returns when the transport no longer uses the source. Where ctx has
// ended it does not wait for a Read that hangs.
func (u *upload) release(ctx context.Context) {
	u.over.Store(true)
	select {
	case u.turn <- struct{}{}:
		<-u.turn
		return
	case <-ctx.Done():
	}
	select {
	case u.turn <- struct{}{}:
		<-u.turn
	case <-time.After(lastRead):
	}
}

// failure gives what the source failed with, or nil. It is asked once the
// request has ended.
func (u *upload) failure() error {
	select {
	case u.turn <- struct{}{}:
		defer func() { <-u.turn }()
		return u.err
	default:
		return nil // a Read is under way
	}
}
