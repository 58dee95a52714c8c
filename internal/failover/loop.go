package failover

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/route"
	"github.com/sparecloud/spare/internal/state"
)

const (
	tickEvery = 200 * time.Millisecond
	// How long a publication waits for what the store has to say: at the
	// start, and when reserved epochs ran out. It never waits for a store
	// that is known to be away.
	gateAtStart = time.Second
	gateLater   = 300 * time.Millisecond
	restMost    = time.Second // between two steps without urgency
	freshAgain  = time.Second // between two requests for one fresh check
)

// loop is the state of the deciding goroutine. Nobody else touches it.
type loop struct {
	c        *Controller
	estate   *estate.Estate
	targets  map[estate.Target]*target
	verdicts map[estate.Target]health.Verdict // of targets that were judged at least once
	mirror   *mirror
	last     *route.Table                 // in force, or what the start began with
	current  bool                         // last is ours and published
	failback map[estate.ServiceID]request // soft ones, until the next table
	hard     map[estate.ServiceID]*hard
	seeded   map[estate.ServiceID]time.Time // when a first decision was last tried
	seeding  int                            // first decisions being committed
	ended    map[string]state.Revision      // overrides whose end is on record
	moves    sync.WaitGroup

	synced   bool  // the store was read once
	storeErr error // of the newest word from the store
	gate     time.Time
	dropped  uint64
	dirty    bool
	urgent   bool            // an origin went down, or somebody waits
	rested   time.Time       // when the last step ended
	cost     time.Duration   // of the last step
	after    []chan struct{} // closed after the next step
}

func newLoop(c *Controller) *loop {
	l := &loop{
		c: c, targets: map[estate.Target]*target{}, verdicts: map[estate.Target]health.Verdict{},
		mirror: newMirror(c.log), last: c.opt.Last,
		failback: map[estate.ServiceID]request{}, hard: map[estate.ServiceID]*hard{},
		seeded: map[estate.ServiceID]time.Time{}, ended: map[string]state.Revision{},
	}
	if l.last != nil {
		c.epochs.raise(l.last.Epoch)
	}
	c.epochs.ask()
	return l
}

func (l *loop) run(ctx context.Context) error {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	defer l.moves.Wait()
	l.step(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case in := <-l.c.inputs:
			l.take(in)
		case f := <-l.c.posts:
			f(l)
			l.dirty, l.urgent = true, true
		case <-l.c.poke:
			l.dirty, l.urgent = true, true
		case now := <-ticker.C:
			l.tick(now)
		}
		if l.dirty && l.due(time.Now()) {
			l.step(ctx, time.Now())
		}
	}
}

// due keeps what is not urgent to a twentieth of the time: with ten thousand
// services a table is dear, and good news can wait for more of it.
func (l *loop) due(now time.Time) bool {
	return l.urgent || now.Sub(l.rested) >= min(20*l.cost, restMost)
}

// step brings everything in line with what is known now.
func (l *loop) step(ctx context.Context, now time.Time) {
	defer func() {
		l.rested = time.Now()
		l.cost = l.rested.Sub(now)
	}()
	l.dirty, l.urgent = false, false
	l.adopt(now)
	if l.estate != nil {
		l.expire(ctx, now)
		l.seed(ctx, now)
		l.decide(now)
		l.moveAll(ctx, now)
		l.c.status.Store(l.snapshot(now))
	}
	for _, done := range l.after {
		close(done)
	}
	l.after = nil
}

// tick lets time pass for everything that waits for it.
func (l *loop) tick(now time.Time) {
	for id, t := range l.targets {
		v, changed := t.Tick(now)
		l.judged(id, t, v, changed, now)
	}
	if n := l.c.dropped.Load(); n > l.dropped {
		l.c.log.Warn("evidence dropped", "count", n-l.dropped)
		l.dropped = n
	}
	l.dirty = true
}

// adopt takes over a newly loaded estate.
func (l *loop) adopt(now time.Time) {
	e := l.c.estate.Load()
	if e == l.estate || e == nil {
		return
	}
	if l.estate == nil {
		l.gate = now.Add(gateAtStart)
	}
	l.estate = e
	keep := map[estate.Target]bool{}
	for i := range e.Services {
		s := &e.Services[i]
		for _, o := range s.Origins {
			id := estate.Target{Service: s.ID, Site: o.Site}
			keep[id] = true
			if t, ok := l.targets[id]; ok && t.same(o, s.Check) {
				continue
			}
			l.targets[id] = &target{detector: l.c.newDetector(id, s.Check, now), url: o.URL, host: o.Host, check: s.Check}
			delete(l.verdicts, id)
		}
	}
	for id := range l.targets {
		if !keep[id] {
			delete(l.targets, id)
			delete(l.verdicts, id)
		}
	}
}

// take hands one piece of evidence to its detector.
func (l *loop) take(in input) {
	id := in.result.Target
	if in.live {
		id = in.event.Target
	}
	if l.c.estate.Load() != l.estate {
		l.adopt(time.Now())
		l.dirty = true
	}
	t, ok := l.targets[id]
	if !ok {
		return // of an estate that is not, or no longer, in force
	}
	var v health.Verdict
	var changed bool
	if in.live {
		v, changed = t.Live(in.event)
	} else {
		v, changed = t.Check(in.result)
	}
	l.judged(id, t, v, changed, time.Now())
}

// judged takes a verdict over, and asks for a fresh check where it would help.
func (l *loop) judged(id estate.Target, t *target, v health.Verdict, changed bool, now time.Time) {
	prev, known := l.verdicts[id]
	if changed && (known || v.State != health.Unknown) {
		l.verdicts[id] = v
		l.dirty = true
		l.urgent = l.urgent || v.State == health.Down
		l.tell(v, prev.State)
	}
	switch wants := t.WantsFresh(); {
	case !wants:
		t.asked = time.Time{}
	case t.asked.IsZero() || now.Sub(t.asked) >= freshAgain:
		t.asked = now
		l.c.opt.Fresh(id)
	}
}

func (l *loop) tell(v health.Verdict, prev health.State) {
	level := journal.Info
	if v.State == health.Down || v.State == health.Degraded {
		level = journal.Warn
	}
	message := fmt.Sprintf("%s is %s", v.Target, v.State)
	if v.State == prev {
		message = fmt.Sprintf("%s is still %s, for another reason", v.Target, v.State)
	}
	if v.Cause != health.CauseNone {
		message += " (" + string(v.Cause) + ")"
	}
	if v.Evidence != "" {
		message += ": " + v.Evidence
	}
	l.c.note(journal.KindVerdict, level, v.Target.Service, v.Target.Site, "spare", message, struct {
		health.Verdict
		Before health.State `json:"before"`
	}{v, prev})
	l.c.opt.OnVerdict(v, prev)
}

// decide publishes a table if its content changed, or if a data process runs
// a newer one.
func (l *loop) decide(now time.Time) {
	if !l.mayPublish(now) {
		return
	}
	in := l.inputs(now)
	t := Decide(l.estate, in)
	stale := l.current && l.c.floor.Load() >= l.last.Epoch
	if l.current && !stale && t.Estate == l.last.Estate && reflect.DeepEqual(t.Services, l.last.Services) {
		clear(l.failback)
		return
	}
	l.c.epochs.raise(l.c.floor.Load())
	if !l.waitEpoch(now) {
		return
	}
	t.Epoch, t.Issued = l.c.epochs.take(), utc(now)
	l.publish(t, now)
	clear(l.failback)
}

func (l *loop) inputs(now time.Time) Inputs {
	in := Inputs{
		Now: now, Last: l.last, Verdicts: l.verdicts, Overrides: l.mirror.known(),
		Writes: map[estate.ServiceID]estate.SiteID{}, Failback: map[estate.ServiceID]bool{},
	}
	for id, d := range l.mirror.decisions {
		in.Writes[id] = d.Active
		l.c.epochs.raise(d.Epoch) // tables that carry a move are above its token
	}
	for id := range l.failback {
		in.Failback[id] = true
	}
	return in
}

// mayPublish holds the first table back, for a bounded time, until the store
// told of overrides and decisions.
func (l *loop) mayPublish(now time.Time) bool {
	if l.current || l.storeErr != nil || !now.Before(l.gate) {
		return true
	}
	return l.synced && l.seeding == 0
}

// waitEpoch reports whether the next epoch is reserved, or whether waiting
// for that is over.
func (l *loop) waitEpoch(now time.Time) bool {
	switch {
	case l.c.epochs.reserved() || l.storeErr != nil:
		l.gate = time.Time{}
		return true
	case l.gate.IsZero():
		l.gate = now.Add(gateLater)
		return false
	case now.Before(l.gate):
		return false
	default:
		l.gate = time.Time{}
		return true
	}
}

// sync takes a whole reading of the store in.
func (l *loop) sync(s snapshot) {
	l.storeSaid(nil)
	l.mirror.reset(s.kvs, s.rev)
	if !l.synced && !l.current && s.last != nil && (l.last == nil || s.last.Epoch > l.last.Epoch) {
		l.last = s.last
		l.c.epochs.raise(s.last.Epoch)
	}
	l.synced = true
}

func (l *loop) storeSaid(err error) {
	switch {
	case err != nil && l.storeErr == nil:
		l.c.log.Error("state store does not answer, hard moves wait", "error", err)
	case err == nil && l.storeErr != nil:
		l.c.log.Info("state store answers again")
	}
	l.storeErr = err
}

// storeReady says why hard moves cannot be made, or nil.
func (l *loop) storeReady() error {
	if l.storeErr == nil && !l.synced {
		return errs.E(errs.Unavailable, "the state store was not read yet")
	}
	return l.storeErr
}
