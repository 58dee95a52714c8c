package failover

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/route"
	"github.com/sparecloud/spare/internal/state"
	"github.com/sparecloud/spare/internal/state/memstate"
)

// world is what controllers live in: origins that are up or not, a store that
// can fail, a fence hook, and the record of all that was decided. It runs in a
// synctest bubble and checks the invariants at each publication.
type world struct {
	t     *testing.T
	e     *estate.Estate
	store *flaky

	mu      sync.Mutex
	down    map[estate.SiteID]bool
	badFrom map[estate.SiteID]time.Time   // since when a site is down for good
	hook    func(fenceOrder) (int, error) // status, or no answer
	fenced  []fenceOrder                  // orders that took effect
	asked   []fenceOrder
	epochs  map[uint64]string // by whom an epoch was used
}

func newWorld(t *testing.T, e *estate.Estate) *world {
	w := &world{
		t: t, e: e, store: &flaky{Store: memstate.New()},
		down: map[estate.SiteID]bool{}, badFrom: map[estate.SiteID]time.Time{}, epochs: map[uint64]string{},
	}
	t.Cleanup(func() { _ = w.store.Close() })
	return w
}

func (w *world) kill(site estate.SiteID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[site] = true
	w.badFrom[site] = time.Now()
}

func (w *world) revive(site estate.SiteID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down[site] = false
}

func (w *world) setHook(hook func(fenceOrder) (int, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook = hook
}

// orders gives what the hook was asked, and obeyed what of it took effect.
func (w *world) orders() []fenceOrder {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.asked)
}

func (w *world) obeyed() []fenceOrder {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.fenced)
}

// RoundTrip is the fence hook's side of HTTP.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	var o fenceOrder
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.asked = append(w.asked, o)
	hook := w.hook
	w.mu.Unlock()
	status, err := w.answer(r.Context(), hook, o)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// answer gives what the hook says, unless the caller stops waiting for it.
func (w *world) answer(ctx context.Context, hook func(fenceOrder) (int, error), o fenceOrder) (int, error) {
	type said struct {
		status int
		err    error
	}
	heard := make(chan said, 1)
	go func() {
		status, err := 200, error(nil)
		if hook != nil {
			status, err = hook(o)
		}
		if err == nil && status == 200 {
			w.obey(o)
		}
		heard <- said{status, err}
	}()
	select {
	case s := <-heard:
		return s.status, s.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (w *world) obey(o fenceOrder) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fenced = append(w.fenced, o)
}

// node is one controller with its prober.
type node struct {
	w        *world
	c        *Controller
	name     string
	stop     func()
	mu       sync.Mutex
	tables   []*route.Table
	switches []Switch
	entries  []journal.Entry
	deaf     bool // the journal fails
}

// start runs a controller and a prober that checks every 200 ms.
func (w *world) start(name string, last *route.Table) *node {
	n := &node{w: w, name: name}
	n.c = New(Options{
		Store: w.store, Journal: n, Publish: n.publish, Fresh: n.fresh, Holder: name, Last: last,
		OnSwitch: func(s Switch) { n.mu.Lock(); n.switches = append(n.switches, s); n.mu.Unlock() },
		Log:      discard(), HTTP: &http.Client{Transport: w},
	})
	n.c.Load(w.e)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := n.c.Run(ctx); err != nil {
			w.t.Errorf("controller %s: %v", name, err)
		}
	})
	wg.Go(func() { n.probe(ctx) })
	stopped := false
	n.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			wg.Wait()
		}
	}
	w.t.Cleanup(n.stop)
	return n
}

func (n *node) probe(ctx context.Context) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		for _, o := range n.w.e.Services[0].Origins {
			n.check(estate.Target{Service: "shop", Site: o.Site}, false)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (n *node) check(id estate.Target, fresh bool) {
	n.w.mu.Lock()
	down := n.w.down[id.Site]
	n.w.mu.Unlock()
	r := health.Result{Target: id, At: time.Now().UTC(), OK: !down, Fresh: fresh, Latency: time.Millisecond}
	if down {
		r.Cause = health.CauseRefused
	}
	n.c.Result(r)
}

func (n *node) fresh(id estate.Target) { n.check(id, true) }

func (n *node) Append(_ context.Context, entries ...journal.Entry) ([]journal.Entry, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.deaf {
		return nil, errs.E(errs.Unavailable, "the journal is away")
	}
	for _, e := range entries {
		if !slices.ContainsFunc(n.entries, func(have journal.Entry) bool { return have.Dedup == e.Dedup }) {
			n.entries = append(n.entries, e)
		}
	}
	return entries, nil
}

// publish checks what must hold of every table.
func (n *node) publish(t *route.Table) {
	n.mu.Lock()
	defer n.mu.Unlock()
	tt := n.w.t
	if err := t.Validate(); err != nil {
		tt.Errorf("%s: %v", n.name, err)
	}
	var prev *route.Table
	if len(n.tables) > 0 {
		prev = n.tables[len(n.tables)-1]
		if t.Epoch <= prev.Epoch {
			tt.Errorf("%s: epoch %d after %d", n.name, t.Epoch, prev.Epoch)
		}
	}
	n.w.mu.Lock()
	if by, used := n.w.epochs[t.Epoch]; used && !n.w.store.wasDown {
		tt.Errorf("epoch %d is used by %s and %s", t.Epoch, by, n.name)
	}
	n.w.epochs[t.Epoch] = n.name
	n.w.mu.Unlock()
	for i := range t.Services {
		s := &t.Services[i]
		if !slices.ContainsFunc(s.Origins, func(o route.Origin) bool { return o.State != route.Drained }) {
			tt.Errorf("%s: table %d leaves no origin", n.name, t.Epoch)
		}
		if old := serviceOf(prev, s.ID); old != nil && s.Writes == estate.WritesOneSite && old.Active != s.Active {
			n.w.checkMove(s, old.Active, t.Epoch)
		}
	}
	n.tables = append(n.tables, t)
}

// checkMove demands that a writing site changed by decision and fence alone.
func (w *world) checkMove(s *route.Service, from estate.SiteID, epoch uint64) {
	kv, err := w.store.Store.Get(context.Background(), decisionKey(s.ID))
	if err != nil {
		w.t.Errorf("writes moved to %s without a decision: %v", s.Active, err)
		return
	}
	d, err := parseDecision(kv.Key, kv.Value)
	if err != nil {
		w.t.Error(err)
	}
	if d.Active != s.Active || d.Epoch == 0 || d.Epoch >= epoch {
		w.t.Errorf("table %d moves writes to %s, the decision is %+v", epoch, s.Active, d)
	}
	if w.e.Services[0].Fence == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.fenced, fenceOrder{Service: s.ID, From: from, To: s.Active, Epoch: d.Epoch}) {
		w.t.Errorf("table %d moves writes to %s, and %s was not fenced for it: %+v", epoch, s.Active, from, w.fenced)
	}
}

func (n *node) published() []*route.Table {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.tables)
}

func (n *node) switched() []Switch {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.switches)
}

func (n *node) setDeaf(deaf bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deaf = deaf
}

func (n *node) now() string { return show(n.c.Table()) }

func (n *node) pending() Pending {
	st := n.c.Status()
	if len(st.Services) == 0 || st.Services[0].Pending == nil {
		return Pending{}
	}
	return *st.Services[0].Pending
}

// want waits for d and then demands the routing.
func (n *node) want(d time.Duration, routing string) {
	n.w.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if got := n.now(); got != routing {
		n.w.t.Errorf("%s: routing is %q, want %q (pending %+v)", n.name, got, routing, n.pending())
	}
}

// messages gives the journal's entries of a kind.
func (n *node) messages(kind journal.Kind) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for _, e := range n.entries {
		if e.Kind == kind {
			all = append(all, e.Message)
		}
	}
	return all
}

func (n *node) wantEntry(kind journal.Kind, text string) {
	n.w.t.Helper()
	all := n.messages(kind)
	if !slices.ContainsFunc(all, func(m string) bool { return strings.Contains(m, text) }) {
		n.w.t.Errorf("no %s entry says %q, only %q", kind, text, all)
	}
}

// fault is how a store call goes wrong.
type fault int

const (
	fine     fault = iota
	refused        // nothing happened, and it says so
	unclear        // nothing happened, and it cannot say
	deceived       // it happened, and it cannot say
	crash          // it happened, and the caller died with it
	crashed        // the caller died before
)

// flaky is a store whose calls can go wrong.
type flaky struct {
	state.Store
	mu      sync.Mutex
	away    bool
	wasDown bool
	hit     func(op, key string, value []byte) fault
	crashed chan struct{} // a call that crashed says so here, and never returns
}

func (f *flaky) setAway(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
	f.wasDown = f.wasDown || away
}

func (f *flaky) around(ctx context.Context, op, key string, value []byte, do func() error) error {
	f.mu.Lock()
	what := fine
	if f.away {
		what = refused
	} else if f.hit != nil {
		what = f.hit(op, key, value)
	}
	f.mu.Unlock()
	broken := errs.E(errs.Unavailable, "%s %s: the store is away", op, key)
	switch what {
	case refused:
		return broken
	case unclear:
		return errs.MaybeApplied(broken)
	case deceived:
		_ = do()
		return errs.MaybeApplied(broken)
	case crash, crashed:
		if what == crash {
			_ = do()
		}
		f.mu.Lock()
		f.away, f.wasDown = true, true // until the dead one is gone
		f.mu.Unlock()
		close(f.crashed)
		<-ctx.Done()
		return ctx.Err()
	default:
		return do()
	}
}

func (f *flaky) Get(ctx context.Context, key string) (kv state.KV, err error) {
	e := f.around(ctx, "get", key, nil, func() error { kv, err = f.Store.Get(ctx, key); return err })
	return kv, e
}

func (f *flaky) List(ctx context.Context, prefix string) (kvs []state.KV, err error) {
	e := f.around(ctx, "list", prefix, nil, func() error { kvs, err = f.Store.List(ctx, prefix); return err })
	return kvs, e
}

func (f *flaky) Put(ctx context.Context, key string, value []byte, expect state.Revision) (kv state.KV, err error) {
	e := f.around(ctx, "put", key, value, func() error { kv, err = f.Store.Put(ctx, key, value, expect); return err })
	return kv, e
}

func (f *flaky) Txn(ctx context.Context, ops ...state.Op) (rev state.Revision, err error) {
	e := f.around(ctx, "txn", ops[0].Key, ops[0].Value, func() error { rev, err = f.Store.Txn(ctx, ops...); return err })
	return rev, e
}

func (f *flaky) Lease(ctx context.Context, name, holder string, ttl time.Duration) (rev state.Revision, err error) {
	e := f.around(ctx, "lease", name, nil, func() error { rev, err = f.Store.Lease(ctx, name, holder, ttl); return err })
	return rev, e
}

func (f *flaky) Revision(ctx context.Context) (rev state.Revision, err error) {
	e := f.around(ctx, "revision", "", nil, func() error { rev, err = f.Store.Revision(ctx); return err })
	return rev, e
}

func simulate(t *testing.T, e *estate.Estate, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newWorld(t, e)) })
}

func fencedService() *estate.Estate {
	return service(func(s *estate.Service) {
		oneSite(s)
		s.Confirm = 5 * time.Second
		s.Fence = &estate.Fence{URL: "http://hook.example.com/fence", Timeout: 3 * time.Second}
	}, "a", "b")
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
