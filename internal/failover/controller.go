package failover

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
	"github.com/sparecloud/spare/internal/run"
	"github.com/sparecloud/spare/internal/state"
)

// maxInputs bounds the evidence that waits for the loop. What does not fit is
// dropped: the next check brings more.
const maxInputs = 8192

// Options are what a [Controller] works with. Store and Log are required.
// The functions are called by the deciding goroutine and must not block.
type Options struct {
	Store    state.Store
	Journal  Journal             // nil = nothing is recorded
	Publish  func(*route.Table)  // a table came into force; it is immutable
	Fresh    func(estate.Target) // a check on a new connection is wanted now
	OnSwitch func(Switch)        // a service's active site changed
	// OnVerdict is called with a verdict whose state changed, and the state
	// before.
	OnVerdict func(v health.Verdict, prev health.State)
	Log       *slog.Logger
	Holder    string       // names this controller in leases, unlike any other; "" = a random name
	HTTP      *http.Client // for fence hooks; nil = an ordinary one
	// Last is a table that was in force before, for example the one that a
	// data process starts from. The newer of it and the store's is used.
	Last *route.Table
}

// Switch is a change of a service's active site that came into force.
type Switch struct {
	At      time.Time        `json:"at"`
	Service estate.ServiceID `json:"service"`
	From    estate.SiteID    `json:"from"`
	To      estate.SiteID    `json:"to"`
	Epoch   uint64           `json:"epoch"` // of the first table that carries it
	Hard    bool             `json:"hard"`  // unsafe methods moved, after confirmation and fence
	Reason  string           `json:"reason"`
	Actor   string           `json:"actor"` // "spare", or who acted
}

// Controller makes routing tables. Its methods may be called from several
// goroutines.
type Controller struct {
	opt         Options
	log         *slog.Logger
	newDetector func(estate.Target, estate.Check, time.Time) detector
	rec         *recorder
	epochs      *epochs
	lease       *lease

	inputs  chan input
	posts   chan func(*loop)
	poke    chan struct{}     // the estate or the floor changed
	saves   chan *route.Table // the newest table that is not kept yet
	stopped chan struct{}     // closed when Run has ended
	acting  sync.Mutex        // held by the operator's action that is under way
	began   atomic.Bool
	estate  atomic.Pointer[estate.Estate]
	floor   atomic.Uint64
	dropped atomic.Uint64
	status  atomic.Pointer[Status]
	table   atomic.Pointer[route.Table]
}

// input is one piece of evidence.
type input struct {
	result health.Result
	event  health.Event
	live   bool // event is set, not result
}

// New makes a controller. It touches nothing outside; [Controller.Run] does.
func New(o Options) *Controller {
	if o.Holder == "" {
		o.Holder = rand.Text()
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{}
	}
	if o.Publish == nil {
		o.Publish = func(*route.Table) {}
	}
	if o.Fresh == nil {
		o.Fresh = func(estate.Target) {}
	}
	if o.OnSwitch == nil {
		o.OnSwitch = func(Switch) {}
	}
	if o.OnVerdict == nil {
		o.OnVerdict = func(health.Verdict, health.State) {}
	}
	c := &Controller{
		opt: o, log: o.Log,
		newDetector: func(t estate.Target, check estate.Check, now time.Time) detector {
			return health.NewDetector(t, health.PolicyOf(check), now)
		},
		rec:    newRecorder(o.Journal, o.Log, o.Holder),
		epochs: newEpochs(o.Store),
		lease:  &lease{store: o.Store, holder: o.Holder},
		inputs: make(chan input, maxInputs), posts: make(chan func(*loop)), poke: make(chan struct{}, 1),
		saves: make(chan *route.Table, 1), stopped: make(chan struct{}),
	}
	c.status.Store(&Status{})
	return c
}

// Run decides until ctx ends and then stops all that it started. It is called
// once.
func (c *Controller) Run(ctx context.Context) error {
	if c.began.Swap(true) {
		return errs.E(errs.Conflict, "the failover controller runs already")
	}
	defer close(c.stopped)
	l := newLoop(c)
	g := run.New(ctx)
	g.Go("journal", c.rec.run)
	g.Go("keep table", c.save)
	g.Go("follow store", c.follow)
	g.Go("reserve epochs", func(ctx context.Context) error {
		return c.epochs.run(ctx, func(err error) { c.post(ctx, func(l *loop) { l.storeSaid(err) }) })
	})
	g.Go("decide", l.run)
	return g.Wait()
}

// Load puts a new estate in force. Targets that did not change keep their
// verdicts.
func (c *Controller) Load(e *estate.Estate) {
	c.estate.Store(e)
	c.wake()
}

// Result hands in one active check. It never blocks; when the controller is
// swamped the result is dropped and counted.
func (c *Controller) Result(r health.Result) { c.hand(input{result: r}) }

// Event hands in something that the data path did. It never blocks, as
// [Controller.Result].
func (c *Controller) Event(e health.Event) {
	if t := c.table.Load(); t == nil || e.Epoch > t.Epoch {
		c.AtLeast(e.Epoch)
	}
	if e.Kind == health.Ejected || e.Kind == health.Readmitted {
		c.hand(input{event: e, live: true})
	}
}

// AtLeast says that a data process runs the epoch from before it was linked.
// When the table in force is not newer it is issued again under a higher
// epoch: an equal number may be another table, of a run that had no store.
func (c *Controller) AtLeast(epoch uint64) {
	for {
		have := c.floor.Load()
		if epoch <= have {
			return
		}
		if c.floor.CompareAndSwap(have, epoch) {
			c.wake()
			return
		}
	}
}

func (c *Controller) hand(in input) {
	select {
	case c.inputs <- in:
	default:
		c.dropped.Add(1)
	}
}

func (c *Controller) wake() {
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// post lets f run in the deciding goroutine, which then decides anew.
func (c *Controller) post(ctx context.Context, f func(*loop)) {
	select {
	case c.posts <- f:
	case <-ctx.Done():
	}
}

// ask is post that waits until what follows from f is published.
func (c *Controller) ask(ctx context.Context, f func(*loop)) error {
	done := make(chan struct{})
	select {
	case c.posts <- func(l *loop) { f(l); l.after = append(l.after, done) }:
	case <-ctx.Done():
		return errs.Wrap(errs.Unavailable, ctx.Err(), "reach the failover controller")
	case <-c.stopped:
		return errs.E(errs.Unavailable, "the failover controller has stopped")
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errs.Wrap(errs.Unavailable, ctx.Err(), "wait for the failover controller")
	case <-c.stopped:
		return errs.E(errs.Unavailable, "the failover controller has stopped")
	}
}
