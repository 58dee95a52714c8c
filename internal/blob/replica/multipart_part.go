package replica

import (
	"context"
	"crypto/md5" // what S3 makes the tags of parts of
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// UploadPart sends a part to every member that has the upload and takes bodies.
// It has succeeded when f+1 of them hold the part; its ETag is the MD5 of the
// bytes, whatever the members call it. A member that misses a part is left out
// of the object, unless Complete can fill it.
//
// errs.Invalid: the body failed, or was shorter (blob.ErrShort) or longer than
// size. errs.Unavailable, MaybeApplied: too few members took it; it may be sent
// again.
func (b *Bucket) UploadPart(ctx context.Context, key, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	t, err := b.unseal(key, id)
	if err != nil {
		return blob.Part{}, err
	}
	switch {
	case size < 0 || size > blob.MaxPut:
		return blob.Part{}, errs.E(errs.Invalid, "the part's size is %d bytes, it must be known and at most %d", size, int64(blob.MaxPut))
	case number < 1 || number > blob.MaxParts:
		return blob.Part{}, errs.E(errs.Invalid, "part number %d is not between 1 and %d", number, blob.MaxParts)
	}
	p := &part{b: b, key: key, t: t, number: number, size: size}
	for _, m := range b.data {
		if _, begun := t.IDs[m.ID]; begun && m.body.ready() && m.head.up() {
			p.to = append(p.to, m)
		}
	}
	if len(p.to) < b.bodies() {
		return blob.Part{}, b.tooFew(len(p.to), nil)
	}
	tag, err := p.send(ctx, body)
	if err != nil {
		return blob.Part{}, err
	}
	return blob.Part{Number: number, Size: size, ETag: tag, Modified: time.Now().UTC().Truncate(time.Millisecond)}, nil
}

// part is one part on its way to the members.
type part struct {
	b      *Bucket
	key    string
	t      token
	number int
	size   int64
	to     []*member

	read    chan struct{} // closed when the body has ended, and sum is known
	sum     string        // MD5 in hex
	answers chan error    // one for each member
}

// send gives the MD5 of the part once enough members hold it.
func (p *part) send(ctx context.Context, body io.Reader) (string, error) {
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(p.b.ctx, cancel)
	p.answers, p.read = make(chan error, len(p.to)), make(chan struct{})
	f := newFan(len(p.to), p.b.bodies(), p.b.o.Timing.Stall)
	for i, m := range p.to {
		p.b.wgGo(func() { p.answers <- p.sendTo(own, m, f.readers[i]) })
	}
	sum := md5.New()
	in := &counted{r: io.TeeReader(&whileOpen{ctx, body}, sum)}
	err := f.pump(in)
	p.sum = hex.EncodeToString(sum.Sum(nil))
	close(p.read)
	left := len(p.to)
	switch {
	case in.n > p.size: // which members may have found, too
		err = errs.E(errs.Invalid, "part %d of %q: it is longer than the %d bytes declared", p.number, p.key, p.size)
	case err == nil && in.n < p.size:
		err = errs.Wrap(errs.Invalid, blob.ErrShort, "part %d of %q: %d of %d bytes came", p.number, p.key, in.n, p.size)
	case err == nil, errors.Is(err, errFewTake):
		// A member that misses a part misses the object: so those that are late
		// are waited for a little, though enough have it.
		got := collect(ctx, p.answers, left, p.b.bodies(), p.b.o.Timing.Attempt, func(err error) bool { return err == nil })
		left -= len(got)
		err = p.outcome(ctx, got)
	}
	if err != nil {
		cancel()
	}
	late := time.AfterFunc(p.b.o.Timing.Quorum, cancel)
	p.b.wgGo(func() {
		for range left {
			if err := <-p.answers; err != nil {
				p.b.log.Debug("a member misses a part", "bucket", p.b.o.Name, "key", p.key, "part", p.number, "err", err)
			}
		}
		late.Stop()
		stop()
		cancel()
	})
	return p.sum, err
}

// sendTo sends the part to one member.
func (p *part) sendTo(ctx context.Context, m *member, body *fanReader) error {
	began := time.Now()
	got, err := m.Heads.UploadPart(ctx, staged(p.key, p.t.Op), p.t.IDs[m.ID], p.number, body, p.size)
	body.leave()
	m.body.note(ctx, err, time.Since(began))
	<-p.read
	if err == nil {
		err = p.b.provePart(ctx, m, p.t.Op, got, p.sum)
	}
	return err
}

// outcome says whether enough members hold the part.
func (p *part) outcome(ctx context.Context, got []error) error {
	have, gone := 0, 0
	var failed []error
	for _, err := range got {
		switch {
		case err == nil:
			have++
		case errors.Is(err, blob.ErrNoUpload):
			gone++
			fallthrough
		default:
			failed = append(failed, err)
		}
	}
	switch {
	case have >= p.b.bodies():
		return nil
	case ctx.Err() != nil:
		return errs.MaybeApplied(errs.Wrap(errs.Unavailable, ctx.Err(), "part %d of %q: the writer left", p.number, p.key))
	case len(p.to)-gone < p.b.bodies():
		return p.b.noUpload(p.key)
	}
	return errs.MaybeApplied(p.b.tooFew(have, failed))
}

// counted counts the bytes that are read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
