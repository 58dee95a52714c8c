package edge

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/edge/upstream"
)

// duel is an attempt and the hedge that may overtake it.
type duel struct {
	mu      sync.Mutex
	over    bool     // the first attempt's owner no longer wants a hedge
	hedge   *attempt // runs, or ran
	result  outcome  // the hedge's, once done is closed
	won     bool     // the hedge gave a good answer first
	done    chan struct{}
	started bool
}

// race has the call tried by one origin. When no answer has come after the
// hedge delay, and the call is safe, a second origin is asked too and the
// first good answer counts; the attempt that lost is cut. Until then all
// happens on the caller's goroutine.
//
// The same delay raises suspicion: an origin that has answered nothing at all
// since the attempt began is checked at once, and new requests prefer others
// until the check has passed.
func (e *Edge) race(ctx context.Context, c *call, first candidate) outcome {
	elsewhere := c.at < len(c.plan)
	a := first.o.begin(ctx, c.movable() && elsewhere)
	t := c.timeouts()
	d := &duel{done: make(chan struct{})}
	timer := time.AfterFunc(c.hedgeDelay(first, a.start), func() { e.overdue(ctx, c, first, a, d) })
	mine := e.attempt(a, c, first, t)
	timer.Stop()
	return e.settle(c, d, mine)
}

// hedgeDelay is how long the first origin has before a second is asked.
func (c *call) hedgeDelay(to candidate, now time.Time) time.Duration {
	if d := c.s.cfg.Limits.HedgeDelay; d > 0 {
		return d
	}
	return to.o.lat.hedgeDelay(now)
}

// overdue runs on a goroutine of its own when an attempt takes long.
func (e *Edge) overdue(ctx context.Context, c *call, first candidate, a *attempt, d *duel) {
	if a.silent() {
		e.suspect(c.s, first.o)
	}
	d.mu.Lock()
	if d.over || !c.safe || c.req.Upgrade != "" || c.s.cfg.Limits.HedgeOff {
		d.mu.Unlock()
		return
	}
	next, ok := c.peek()
	if !ok || next.tier() == tierOut || !c.s.live.hedges.take() {
		d.mu.Unlock()
		return
	}
	c.at++
	t := c.timeouts()
	d.hedge = next.o.begin(ctx, true)
	d.started = true
	d.mu.Unlock()
	c.s.live.hedged.Add(1)
	defer close(d.done)
	watch := time.AfterFunc(c.hedgeDelay(next, d.hedge.start), func() {
		if d.hedge.silent() {
			e.suspect(c.s, next.o)
		}
	})
	defer watch.Stop()
	out := e.attempt(d.hedge, c, next, t)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		out.drop()
		return
	}
	d.result = out
	if !out.good() {
		return
	}
	d.won = true
	waited := time.Since(a.start)
	if a.silent() || a.headed() {
		e.stalled(c.s, first.o, a.start)
	}
	if !a.silent() { // slow, and alive: the delay learns it
		first.o.lat.add(waited, time.Now())
	}
	a.cancel(errOvertook)
	c.s.live.hedgeWins.Add(1)
}

// settle decides the duel once the first attempt has ended.
func (e *Edge) settle(c *call, d *duel, mine outcome) outcome {
	d.mu.Lock()
	if !d.started || (mine.good() && !d.won) {
		d.over = true
		if d.started {
			d.hedge.cancel(errOvertook)
		}
		d.result.drop() // a bad answer of a hedge that has ended
		d.mu.Unlock()
		return mine
	}
	d.mu.Unlock()
	<-d.done
	if d.result.good() || (mine.resp == nil && d.result.resp != nil) {
		if mine.resp != nil && !mine.good() {
			e.badStatus(c.s, &mine)
		}
		mine.drop()
		return d.result
	}
	d.result.drop()
	if mine.why != nil && d.result.fail != nil { // neither is left: the hedge's failure is the newer word
		return d.result
	}
	return mine
}

// heard notes the response head.
func (a *attempt) heard(now time.Time) {
	a.o.lastHead.Store(now.UnixNano())
	a.head.Store(true)
}

// headed reports whether the response head is here.
func (a *attempt) headed() bool { return a.head.Load() }

// why gives the reason for which the attempt was ended from our side, or nil.
func (a *attempt) why() error {
	for _, ours := range []error{errEjected, errOvertook, errAbandoned} {
		if errors.Is(context.Cause(a.ctx), ours) {
			return ours
		}
	}
	return nil
}

// end gives up what the attempt holds. It may be called twice.
func (a *attempt) end() {
	if a.ended.Swap(true) {
		return
	}
	a.settle()
	a.cancel(nil)
	a.o.active.Add(-1)
}

// readBody collects a body of known length.
func readBody(resp *upstream.Response, within time.Duration) ([]byte, error) {
	b := make([]byte, resp.Length)
	resp.SetReadDeadline(time.Now().Add(within))
	if _, err := io.ReadFull(resp.Body, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	_, err := resp.Body.Read(make([]byte, 1)) // the end gives the connection back
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b, err
}
