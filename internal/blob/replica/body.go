package replica

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// smallBody is the size up to which an object is checked before its first byte
// is given.
const smallBody = 1 << 20

// body reads the bytes that a head names from whichever member gives them.
type body struct {
	ctx    context.Context
	b      *Bucket
	h      *head
	at     [][]place // members not tried yet
	pos    int64     // of the next byte
	left   int64
	check  check // nil where the bytes are not all of the object
	from   []*member
	src    *source
	small  *bytes.Reader
	err    error // what every further Read gives
	closed bool
}

// source is one member's stream.
type source struct {
	m      *member
	r      *blob.Reader
	cancel context.CancelCauseFunc
}

func (s *source) close() {
	_ = s.r.Close()
	s.cancel(errGivenUp)
}

func newBody(ctx context.Context, b *Bucket, h *head, offset, length int64) *body {
	y := &body{ctx: ctx, b: b, h: h, at: b.places(h), pos: offset, left: length}
	if length == h.Size {
		y.check = newCheck(h)
	}
	return y
}

// start makes sure that the first bytes are there.
func (y *body) start() error {
	if y.check == nil || y.left > smallBody {
		return y.connect()
	}
	for {
		data, m, err := hedged(y, func(ctx context.Context, at []place) ([]byte, error) {
			r, err := y.b.fetch(ctx, y.h, at, y.pos, y.left)
			if err != nil {
				return nil, err
			}
			defer func() { _ = r.Close() }()
			return io.ReadAll(r)
		}, func([]byte, context.CancelCauseFunc) {})
		if err != nil {
			return err
		}
		c := newCheck(y.h)
		_, _ = c.Write(data.value)
		data.cancel(nil)
		if c.ok() {
			y.small = bytes.NewReader(data.value)
			return nil
		}
		y.from = []*member{m}
		y.wrong()
	}
}

// connect opens the rest of the body at the first member that answers.
func (y *body) connect() error {
	r, m, err := hedged(y, func(ctx context.Context, at []place) (*blob.Reader, error) {
		return y.b.fetch(ctx, y.h, at, y.pos, y.left)
	}, func(r *blob.Reader, cancel context.CancelCauseFunc) { _ = r.Close(); cancel(errGivenUp) })
	if err != nil {
		return err
	}
	y.src = &source{m: m, r: r.value, cancel: r.cancel}
	y.from = append(y.from, m)
	return nil
}

// won is what the first to answer gave, and the end of its context.
type won[T any] struct {
	value  T
	cancel context.CancelCauseFunc
}

// hedged tries the members one after the other: the next as soon as one fails,
// or when it has not answered for the hedge delay. The first good answer wins,
// and the others are given up. Members that were tried leave y.at.
func hedged[T any](y *body, try func(context.Context, []place) (T, error), drop func(T, context.CancelCauseFunc)) (won[T], *member, error) {
	type answer struct {
		won[T]
		m   *member
		err error
	}
	answers := make(chan answer, len(y.at))
	losers := make(map[*member]context.CancelCauseFunc)
	pending := 0
	next := func() {
		if len(y.at) == 0 {
			return
		}
		at := y.at[0]
		y.at = y.at[1:]
		pending++
		ctx, cancel := context.WithCancelCause(y.ctx)
		losers[at[0].m] = cancel
		y.b.wgGo(func() {
			v, err := try(ctx, at)
			answers <- answer{won[T]{v, cancel}, at[0].m, err}
		})
	}
	next()
	timer := time.NewTimer(y.b.o.Timing.Hedge)
	defer timer.Stop()
	var failed []error
	for pending > 0 {
		select {
		case <-timer.C:
			if len(y.at) > 0 {
				y.b.stats.hedges.Add(1)
				next()
				timer.Reset(y.b.o.Timing.Hedge)
			}
		case a := <-answers:
			pending--
			delete(losers, a.m)
			if a.err != nil {
				a.cancel(nil)
				failed = append(failed, a.err)
				next()
				continue
			}
			// The losers end by themselves; nobody waits for them here.
			left := pending
			for _, cancel := range losers {
				cancel(errGivenUp)
			}
			y.b.wgGo(func() {
				for range left {
					if l := <-answers; l.err == nil {
						drop(l.value, l.cancel)
					} else {
						l.cancel(nil)
					}
				}
			})
			return a.won, a.m, nil
		}
	}
	var none won[T]
	if len(failed) == 0 {
		failed = append(failed, errs.E(errs.Unavailable, "there is none left to ask"))
	}
	return none, nil, errs.Wrap(errs.Unavailable, errors.Join(failed...), "bucket %s: no member gives %q", y.b.o.Name, y.h.Key)
}

// Read gives the next bytes. An error in place of io.EOF means that what was
// given is not the whole, or not what was stored.
func (y *body) Read(p []byte) (int, error) {
	if y.small != nil {
		return y.small.Read(p)
	}
	switch {
	case y.err != nil || len(p) == 0:
		return 0, y.err
	case y.left == 0:
		return 0, io.EOF
	}
	for {
		n, err := y.src.read(p, y.b.o.Timing.Stall)
		y.pos += int64(n)
		y.left -= int64(n)
		if y.check != nil {
			_, _ = y.check.Write(p[:n])
		}
		switch {
		case y.left == 0 && y.check != nil && !y.check.ok():
			y.wrong()
			return 0, y.fail(errs.Unavailable, blob.ErrSuspect, "bucket %s: the bytes of %q do not match their checksum", y.b.o.Name, y.h.Key)
		case y.left == 0 || n > 0 && err == nil:
			return n, nil
		case err == nil:
			continue
		case y.ctx.Err() != nil:
			return n, y.fail(errs.Unavailable, y.ctx.Err(), "get %q: the reader left", y.h.Key)
		}
		y.src.m.body.note(context.Background(), err, 0)
		y.src.close()
		y.src = nil
		y.b.stats.switches.Add(1)
		if again := y.connect(); again != nil {
			return n, y.fail(errs.Unavailable, again, "bucket %s: %q broke off at byte %d (%v)", y.b.o.Name, y.h.Key, y.pos, err)
		}
		if n > 0 {
			return n, nil
		}
	}
}

func (y *body) fail(kind errs.Kind, err error, format string, args ...any) error {
	y.err = errs.Wrap(kind, err, format, args...)
	return y.err
}

// read reads once, and gives up when nothing came for stall.
func (s *source) read(p []byte, stall time.Duration) (int, error) {
	t := time.AfterFunc(stall, func() { s.cancel(errStalled) })
	n, err := s.r.Read(p)
	if !t.Stop() && err == nil && n == 0 {
		err = errStalled
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the caller knows where the end is
	}
	return n, err
}

var errStalled = errs.E(errs.Unavailable, "no byte came for too long")

// wrong notes that the bytes which the members gave are not the object's.
func (y *body) wrong() {
	y.b.stats.corrupt.Add(1)
	for _, m := range y.from {
		m.setWrong(y.h.Op)
		y.b.dirty.add(y.h.Key, m.ID)
		y.b.log.Warn("a member's copy does not match its checksum", "bucket", y.b.o.Name, "key", y.h.Key, "site", m.ID)
	}
}

// Close ends the read.
func (y *body) Close() error {
	if y.src != nil && !y.closed {
		y.closed = true
		y.src.close()
	}
	return nil
}
