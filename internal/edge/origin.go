package edge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/edge/upstream"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// candidate is an origin as one table sees it.
type candidate struct {
	route.Origin
	o *origin
}

// origin is what is remembered of one upstream from table to table.
type origin struct {
	target estate.Target
	url    string
	pool   *upstream.Pool
	lat    latency

	lastHead  atomic.Int64 // when a response head came last, Unix ns
	suspected atomic.Bool  // silent: ranks behind until a check answers
	ejected   atomic.Bool
	confirmed atomic.Bool  // ejected, and more than slow: attempts failed, or a check did
	trusted   atomic.Bool  // a check of ours passed while the table says down and control is gone
	slowSince atomic.Int64 // start of the slow start, Unix ns; 0 = none

	mu       sync.Mutex
	state    route.State // by the last table
	judge    outlier
	inflight map[*attempt]struct{}
	probing  bool
	probed   time.Time
	passed   int // checks passed in a row while ejected

	requests, failures, serverErrors, ejections atomic.Uint64
	active                                      atomic.Int64
}

func newOrigin(t estate.Target, url string, p *upstream.Pool) *origin {
	return &origin{target: t, url: url, pool: p, inflight: map[*attempt]struct{}{}}
}

// tabled notes the state that a new table gives. An origin that comes back by
// a table starts slowly.
func (o *origin) tabled(s route.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	back := (o.state == route.Down || o.state == route.Drained) && (s == route.Up || s == route.Degraded)
	if back && !o.ejected.Load() && !o.trusted.Load() {
		o.slowSince.Store(time.Now().UnixNano())
	}
	o.state = s
	o.trusted.Store(false)
}

// slowStart is how long a returned origin takes to its full share.
const slowStart = 10 * time.Second

// share is the part of its traffic that the origin should get now: it grows
// from a tenth to all of it over the slow start.
func (o *origin) share(now time.Time) float64 {
	since := o.slowSince.Load()
	if since == 0 {
		return 1
	}
	done := float64(now.UnixNano()-since) / float64(slowStart)
	if done >= 1 || done < 0 { // over, or the clock was set back
		o.slowSince.Store(0)
		return 1
	}
	return max(done, 0.1)
}

// tier ranks the candidate: serving, behind, out. Lower goes first.
func (c candidate) tier() int {
	switch {
	case c.o.ejected.Load(), c.State == route.Down && !c.o.trusted.Load():
		return tierOut
	case c.State == route.Degraded, c.o.suspected.Load():
		return tierBehind
	}
	return tierServing
}

const (
	tierServing = iota
	tierBehind
	tierOut
)

// attempt is one request on its way to one origin.
type attempt struct {
	o       *origin
	start   time.Time
	movable bool // may be sent to another origin instead
	cancel  context.CancelCauseFunc
	ctx     context.Context // the attempt's own, ended by cancel
	head    atomic.Bool
	ended   atomic.Bool
}

// Why an attempt was ended from our side.
var (
	errEjected   = errors.New("origin was ejected")
	errOvertook  = errors.New("another origin answered first")
	errAbandoned = errors.New("origin was ejected and has not come back")
)

func (o *origin) begin(ctx context.Context, movable bool) *attempt {
	a := &attempt{o: o, start: time.Now(), movable: movable}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	o.requests.Add(1)
	o.active.Add(1)
	o.mu.Lock()
	o.inflight[a] = struct{}{}
	o.mu.Unlock()
	return a
}

// settle ends the time in which the attempt can be moved elsewhere.
func (a *attempt) settle() {
	a.o.mu.Lock()
	delete(a.o.inflight, a)
	a.o.mu.Unlock()
}

// silent reports whether the origin answered nothing at all since the attempt
// began.
func (a *attempt) silent() bool { return a.o.lastHead.Load() < a.start.UnixNano() }

// release gives up all that waits on an ejected origin and can go elsewhere.
func (o *origin) release() {
	o.giveUp(errEjected, func(a *attempt) bool { return a.movable })
}

// abandon gives up what waits on the origin and cannot go elsewhere: its
// clients learn that they cannot know.
func (o *origin) abandon() {
	o.giveUp(errAbandoned, func(*attempt) bool { return true })
}

// giveUp cancels attempts that have no answer yet: under the lock, so that
// none is cancelled once it has settled.
func (o *origin) giveUp(why error, which func(*attempt) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for a := range o.inflight {
		if which(a) {
			a.cancel(why)
		}
	}
}

func (o *origin) traffic() health.OriginTraffic {
	t := health.OriginTraffic{
		Site: o.target.Site, Requests: o.requests.Load(), Failures: o.failures.Load(), Errors: o.serverErrors.Load(),
		Active: o.active.Load(), Ejected: o.ejected.Load(), Ejections: o.ejections.Load(),
	}
	for _, q := range []struct {
		p  float64
		to *int64
	}{{0.50, &t.P50NS}, {0.95, &t.P95NS}, {0.99, &t.P99NS}} {
		if d, ok := o.lat.quantile(q.p); ok {
			*q.to = int64(d)
		}
	}
	return t
}
