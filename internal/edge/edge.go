// Package edge is the data path for HTTP: it takes requests and sees them
// answered by a healthy origin. The promise: an origin dies, hangs or answers
// garbage, and no client sees it.
//
// An [Edge] serves the last [route.Table] it was given and needs nothing else:
// with the control plane dead it goes on ejecting origins that fail live
// traffic and takes them back after checks of its own. The parts, in the order
// of a request's way:
//
//	serve.go     net/http adapter: what the client sent, what it gets
//	match.go     host and path to service
//	plan.go      which origins, in what order
//	fetch.go     one request over several origins: retries under a budget
//	race.go      one attempt, and the hedge that overtakes it
//	resume.go    a body cut in the middle goes on from another origin
//	origin.go    what is remembered of an origin; outlier.go judges it
//	readmit.go   how an origin comes back
//
// fetch and below know nothing of the server above them. DESIGN.md beside this
// file gives the rules and why they are so.
//
//	e := edge.New(edge.Options{Log: log, Report: client.Report})
//	err := e.Apply(table)
//	err = e.Serve(ctx, listener)
package edge

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/edge/upstream"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// Options are what an Edge needs from its process.
type Options struct {
	Log *slog.Logger
	// Report takes what the edge did on its own. It must not block.
	Report func(health.Event)
	Pool   upstream.PoolOptions
}

// Edge serves HTTP by the table in force.
type Edge struct {
	opt     Options
	id      string // names this process in Via, against loops
	inForce atomic.Pointer[routing]
	control link

	mu       sync.Mutex // Apply, and the maps below
	live     map[estate.ServiceID]*live
	origins  map[originKey]*origin
	out      map[*origin]struct{} // ejected, waiting to be readmitted
	stopCtx  context.Context      // ends with Close; background work hangs on it
	stop     context.CancelFunc
	work     sync.WaitGroup
	sweeping bool
	checks   chan struct{} // bounds the checks of ejected origins
}

type originKey struct {
	target    estate.Target
	url, host string
}

// New makes an Edge without a table: it answers 503 until Apply.
func New(opt Options) *Edge {
	var id [4]byte
	_, _ = rand.Read(id[:])
	e := &Edge{
		opt: opt, id: hex.EncodeToString(id[:]),
		live: map[estate.ServiceID]*live{}, origins: map[originKey]*origin{}, out: map[*origin]struct{}{}, checks: make(chan struct{}, checksAtOnce),
	}
	e.stopCtx, e.stop = context.WithCancel(context.Background())
	return e
}

// Table gives the table in force, or nil.
func (e *Edge) Table() *route.Table {
	if r := e.inForce.Load(); r != nil {
		return r.table
	}
	return nil
}

// Apply puts t in force for all requests that come from now on. Origins that
// stay keep their connections and what is remembered of them. A table that is
// invalid (Invalid) or older than the one in force (Stale) changes nothing.
func (e *Edge) Apply(t *route.Table) error {
	if err := t.Validate(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if now := e.Table(); now != nil && t.Epoch < now.Epoch {
		return errs.E(errs.Stale, "table %d is older than table %d in force", t.Epoch, now.Epoch)
	}
	next, err := e.build(t)
	if err != nil {
		return err
	}
	for _, s := range next.services {
		for _, c := range s.origins {
			c.o.tabled(c.State)
		}
	}
	e.inForce.Store(next)
	e.forget(next)
	if !e.sweeping {
		e.sweeping = true
		e.work.Go(e.sweep)
	}
	return nil
}

// build derives the look-up structures, with the long-lived parts of what
// stays. The caller holds mu.
func (e *Edge) build(t *route.Table) (*routing, error) {
	r := newRouting(t)
	for i := range t.Services {
		cfg := &t.Services[i]
		l := e.live[cfg.ID]
		if l == nil {
			l = newLive(cfg.ID)
			e.live[cfg.ID] = l
		}
		s := &service{cfg: cfg, live: l}
		for _, o := range cfg.Origins {
			kept, err := e.origin(cfg.ID, o)
			if err != nil {
				return nil, err
			}
			s.origins = append(s.origins, candidate{Origin: o, o: kept})
		}
		r.add(s)
	}
	return r, nil
}

func (e *Edge) origin(id estate.ServiceID, o route.Origin) (*origin, error) {
	k := originKey{target: estate.Target{Service: id, Site: o.Site}, url: o.URL, host: o.Host}
	if kept := e.origins[k]; kept != nil {
		return kept, nil
	}
	addr, err := upstream.ParseAddress(o.URL)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "origin %s", k.target)
	}
	made := newOrigin(k.target, o.URL, upstream.NewPool(addr, e.opt.Pool))
	e.origins[k] = made
	return made, nil
}

// forget drops what no table names any more. The caller holds mu.
func (e *Edge) forget(r *routing) {
	used := map[*origin]bool{}
	for _, s := range r.services {
		for _, c := range s.origins {
			used[c.o] = true
		}
	}
	for k, o := range e.origins {
		if !used[o] {
			delete(e.origins, k)
			delete(e.out, o)
			o.pool.Close()
		}
	}
	for id := range e.live {
		if r.byID[id] == nil {
			delete(e.live, id)
		}
	}
}

// Close ends background work and closes idle connections. Serve must have
// returned.
func (e *Edge) Close() error {
	e.stop()
	e.work.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.origins {
		o.pool.Close()
	}
	return nil
}

// sweep does what must be done now and then, until Close.
func (e *Edge) sweep() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-e.stopCtx.Done():
			return
		case now := <-tick.C:
			e.readmit(now)
			if n%10 == 0 {
				e.sweepPools(now)
			}
		}
	}
}

func (e *Edge) sweepPools(now time.Time) {
	e.mu.Lock()
	all := make([]*origin, 0, len(e.origins))
	for _, o := range e.origins {
		all = append(all, o)
	}
	e.mu.Unlock()
	for _, o := range all {
		o.pool.Sweep(now)
	}
}

// report tells the control plane what happened, if somebody listens.
func (e *Edge) report(ev health.Event) {
	ev.At = time.Now().UTC()
	if t := e.Table(); t != nil {
		ev.Epoch = t.Epoch
	}
	if e.opt.Report != nil {
		e.opt.Report(ev)
	}
}
