package probe

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"net"
	"reflect"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

// Options of a [Runner].
type Options struct {
	Log *slog.Logger
	// Report takes every result. It is called from several goroutines at once,
	// for one target and mode in the order of the attempts. It must be quick:
	// while it runs its attempt counts as under way.
	Report func(health.Result)
	// Concurrency bounds the attempts under way; default 1024. Targets whose
	// newest attempt took up its timeout share half of it, so that any number
	// of hung targets leaves room for the others.
	Concurrency int
	TLS         *tls.Config // nil = the system's certificate authorities
	Rand        *rand.Rand  // source of jitter, used by the runner alone from then on; nil = seeded at random
}

// Runner makes attempts at a set of targets: every Check.Every over a kept
// connection and, for HTTP, every Check.Fresh on a new one, each interval
// jittered by a tenth. A target has at most one attempt of each mode under
// way. An idle target costs no goroutine and no timer.
//
// An attempt that failed for want of something here (file descriptors, ports)
// is logged and not reported.
type Runner struct {
	log    *slog.Logger
	report func(health.Result)
	limit  int
	tls    *tls.Config
	try    func(context.Context, *plan, net.Conn, bool) (health.Result, net.Conn, error)
	wake   chan struct{}

	mu       sync.Mutex
	rng      *rand.Rand
	targets  map[estate.Target]*entry
	queue    queue
	waiting  []*job // parked jobs, oldest first
	flying   int    // attempts under way
	hung     int    // those of jobs that are hung
	sleeping time.Time
	started  bool
	short    bool // the newest attempt that ended lacked something of ours
}

// New gives a runner without targets.
func New(o Options) *Runner {
	if o.Concurrency <= 0 {
		o.Concurrency = 1024
	}
	if o.Rand == nil {
		o.Rand = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	return &Runner{
		log: o.Log, report: o.Report, limit: o.Concurrency, tls: o.TLS, rng: o.Rand,
		try: func(ctx context.Context, p *plan, kept net.Conn, fresh bool) (health.Result, net.Conn, error) {
			return p.attempt(ctx, kept, fresh)
		},
		wake:    make(chan struct{}, 1),
		targets: map[estate.Target]*entry{},
	}
}

// Set replaces the set of targets. Targets that stand in both sets unchanged
// keep their schedule and connection; a changed one begins anew. Attempts at
// removed and changed targets are given up and their results dropped, but for
// one that is being reported at this moment. Of two targets with one name the last counts.
func (r *Runner) Set(targets []Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	next := make(map[estate.Target]*entry, len(targets))
	for _, t := range targets {
		e := r.targets[t.Target]
		if e == nil || !reflect.DeepEqual(e.spec, t) {
			e = newEntry(t, r.tls)
		}
		next[t.Target] = e
	}
	for name, e := range r.targets {
		if next[name] != e {
			r.remove(e)
		}
	}
	for name, e := range next {
		if r.targets[name] != e {
			r.stagger(e, now)
		}
	}
	r.targets = next
	r.rouse()
}

// Fresh asks for an attempt on a new connection now. It does nothing when one
// is under way, or when the target is not in the set.
func (r *Runner) Fresh(t estate.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.targets[t]
	if e == nil || e.fresh.place == flying || e.fresh.place == parked {
		return
	}
	r.queue.put(&e.fresh, time.Now())
	r.rouse()
}

// Run makes attempts until ctx ends, then ends those under way, closes every
// connection and returns nil. A runner runs once.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.begin(); err != nil {
		return err
	}
	var attempts sync.WaitGroup
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Reset(r.launch(ctx, &attempts))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-r.wake:
		}
	}
	attempts.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.targets {
		e.close()
	}
	return nil
}

func (r *Runner) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started {
		return errs.E(errs.Conflict, "start prober: it ran before")
	}
	r.started = true
	now := time.Now()
	for _, e := range r.targets {
		r.stagger(e, now)
	}
	return nil
}

func newEntry(t Target, config *tls.Config) *entry {
	e := &entry{spec: t, plan: newPlan(t, config)}
	every := t.Check.Every
	if every <= 0 {
		every = defaultEvery
	}
	e.keep = job{entry: e, every: every, place: idle}
	e.fresh = job{entry: e, fresh: true, place: idle}
	if t.Check.Kind != estate.CheckTCP { // a TCP check is always on a new connection
		e.fresh.every = max(t.Check.Fresh, 0)
	}
	return e
}

// stagger spreads first attempts: over one interval, but so that the first
// result is there within a second.
func (r *Runner) stagger(e *entry, now time.Time) {
	first := min(e.keep.every, time.Second) * 3 / 4
	r.queue.put(&e.keep, now.Add(r.upTo(first)))
	if e.fresh.every > 0 {
		r.queue.put(&e.fresh, now.Add(r.upTo(e.fresh.every)))
	}
}

func (r *Runner) upTo(d time.Duration) time.Duration {
	return time.Duration(r.rng.Int64N(int64(max(d, 1))))
}

// remove takes an entry out of the schedule and ends what it has under way.
func (r *Runner) remove(e *entry) {
	e.gone = true
	for _, j := range []*job{&e.keep, &e.fresh} {
		r.queue.remove(j)
		if j.cancel != nil {
			j.cancel()
		}
	}
	e.close()
}

func (e *entry) close() {
	if e.conn != nil {
		_ = e.conn.Close()
		e.conn = nil
	}
}

// rouse wakes Run, so that it looks at the schedule again.
func (r *Runner) rouse() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}
