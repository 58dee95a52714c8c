package incident

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/notify"
	"github.com/sparecloud/spare/internal/state"
)

// Journal is the part of [journal.Journal] that a Desk uses.
type Journal interface {
	Append(ctx context.Context, entries ...journal.Entry) ([]journal.Entry, error)
	Query(ctx context.Context, q journal.Query) (journal.Page, error)
}

// Options are a Desk's parts. Store, Journal and Log are needed.
type Options struct {
	Store   state.Store
	Journal Journal
	Estate  *estate.Estate // nil: everything that is reported is believed to exist
	Log     *slog.Logger
	// Notify tells people that an incident opened or closed. After nil it is
	// not called again for that; after an error, or a crash, it is called
	// again with the same ID. nil = nobody is told.
	Notify func(ctx context.Context, n notify.Notice) error
	Hold   time.Duration // how long all must be well before an incident closes; default 10 s
	Window time.Duration // within which one service failing at several sites is one fault; default 60 s
	Settle time.Duration // how long failed requests wait for an explanation; default 2 s
	Keep   int           // closed incidents kept; default 1000
}

// Desk keeps the incidents. Evidence comes in through Verdict, Event, Traffic
// and Switched, which never block and may be called from any goroutine, before
// Run too; [Desk.Run] works on it. Whoever calls them writes the journal
// entries about the evidence itself; the Desk writes those of the incidents.
//
// One Desk at a time may run on a store. One that finds its records changed by
// another takes those and goes on from there.
type Desk struct {
	opt    Options
	in     *inbox
	book   *book // Run's goroutine alone
	saved  time.Time
	linked time.Time
	retry  time.Time // the store failed: leave it alone until then
}

const (
	tickEvery  = 250 * time.Millisecond
	saveEvery  = time.Second      // counts of open incidents
	idleEvery  = 10 * time.Second // counters while nothing is wrong
	linkEvery  = time.Second
	retryEvery = time.Second
)

// BUG(incident): the last report of a data process that ends is lost if the
// control process is killed before it is stored, which takes at most seconds.

// BUG(incident): an origin that was drained by hand and then goes down opens an
// incident like any other.

// New gives a Desk. Run starts it.
func New(o Options) *Desk {
	o.Hold = orDefault(o.Hold, 10*time.Second)
	o.Window = orDefault(o.Window, time.Minute)
	o.Settle = orDefault(o.Settle, 2*time.Second)
	o.Keep = orDefault(o.Keep, 1000)
	return &Desk{opt: o, in: newInbox()}
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// Load puts another estate in force. Origins that are gone from it hold no
// incident open any more.
func (d *Desk) Load(e *estate.Estate) {
	d.in.put("estate", func(b *book, now time.Time) { b.load(now, e) })
}

// Verdict takes a change of verdict. It must be called for every change,
// including the first one from Unknown after a start: what was down before the
// start is well only when a verdict says so.
func (d *Desk) Verdict(v health.Verdict, _ health.State) {
	d.in.put("verdict/"+v.Target.String(), func(b *book, now time.Time) { b.verdict(now, v) })
}

// Event takes an event of the data path. It may come late and more than once:
// Source and Seq name it.
func (d *Desk) Event(e health.Event) {
	if e.Kind != health.Ejected && e.Kind != health.Readmitted {
		return
	}
	d.in.put("event/"+e.Source+"/"+e.Target.String(), func(b *book, now time.Time) { b.event(now, e) })
}

// Traffic takes the cumulative counts of one data process, source, as they
// were at the given time.
func (d *Desk) Traffic(source string, at time.Time, t []health.Traffic) {
	t = slices.Clone(t)
	for i := range t {
		t[i].Origins = slices.Clone(t[i].Origins)
	}
	d.in.put("traffic/"+source, func(b *book, now time.Time) { b.traffic(now, source, at, t) })
}

// Switched notes that a service's active site changed. The reason is in the
// journal's own entry of it.
func (d *Desk) Switched(service estate.ServiceID, from, to estate.SiteID, at time.Time, _ string) {
	d.in.put("switch/"+string(service), func(b *book, now time.Time) {
		b.switched(move{service, from, to, orNow(at, now)})
	})
}

// Run keeps the incidents until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		ticked := false
		select {
		case <-ctx.Done():
			d.finish(ctx)
			return ctx.Err()
		case <-d.in.ready:
		case <-tick.C:
			ticked = true
		}
		if d.book == nil && !d.restore(ctx) {
			continue // what comes in waits
		}
		d.work(time.Now(), ticked)
		d.settle(ctx, time.Now())
	}
}

// work applies what came in.
func (d *Desk) work(now time.Time, ticked bool) {
	messages, merged := d.in.take()
	if merged > 0 {
		d.opt.Log.Warn("too much evidence at once, older evidence was skipped", "messages", merged)
	}
	for _, m := range messages {
		m.apply(d.book, now)
	}
	if ticked {
		d.book.tick(now)
	}
}

// settle links evidence, stores what changed, and hands on what waits.
func (d *Desk) settle(ctx context.Context, now time.Time) {
	b := d.book
	if b.urgent || now.Sub(d.linked) >= linkEvery {
		d.linked = now
		d.link(ctx)
	}
	if now.Before(d.retry) || !b.urgent && now.Sub(d.saved) < d.savePause() {
		return
	}
	if d.save(ctx, now) && d.handOn(ctx, now) {
		d.save(ctx, now)
	}
}

func (d *Desk) savePause() time.Duration {
	if len(d.book.records) > 0 {
		return saveEvery
	}
	return idleEvery
}

// finish stores and hands on what there is when the Desk stops.
func (d *Desk) finish(ctx context.Context) {
	if d.book == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	d.work(time.Now(), false)
	d.book.urgent, d.retry = true, time.Time{}
	d.settle(ctx, time.Now())
}
