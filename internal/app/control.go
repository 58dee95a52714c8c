package app

import (
	"context"
	"log/slog"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/failover"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/incident"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/link"
	"github.com/sparecloud/spare/internal/metrics"
	"github.com/sparecloud/spare/internal/notify"
	"github.com/sparecloud/spare/internal/probe"
	"github.com/sparecloud/spare/internal/run"
	"github.com/sparecloud/spare/internal/state/sqlitestate"
	"github.com/sparecloud/spare/internal/web"
)

// ControlOptions say what [Control] runs. All are required.
type ControlOptions struct {
	Log       *slog.Logger
	DataDir   string // state folder
	Config    string // path of the estate file
	Version   string
	Inherited *Inherited
}

// Control runs the control process until ctx ends, SIGTERM comes or the
// supervisor dies: probes, verdicts, tables, incidents, notices, the journal
// and the API. The data process serves on without it.
func Control(ctx context.Context, o ControlOptions) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	c := &control{opt: o, traffic: map[string]trafficReport{}, peaks: map[estate.ServiceID]peak{}, began: time.Now().UTC()}
	g := run.New(ctx)
	if err := c.build(ctx, g); err != nil {
		g.Go("start", func(context.Context) error { return err })
		return g.Wait()
	}
	g.Go("supervisor", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
		case <-o.Inherited.SupervisorGone:
			o.Log.Warn("the supervisor has died, ending")
			stop()
		}
		return nil
	})
	return g.Wait()
}

// control is the control process: its parts, and what they share.
type control struct {
	opt      ControlOptions
	began    time.Time
	journal  *journal.Journal
	record   *recorder
	failover *failover.Controller
	desk     *incident.Desk
	hub      *link.Hub
	prober   *probe.Runner
	outbox   *notify.Outbox
	hook     *hook
	depends  *depends
	buckets  *buckets
	estate   atomic.Pointer[estate.Estate]

	mu      sync.Mutex
	panel   *health.Panel
	loaded  time.Time                // of the estate in force
	fault   string                   // why a newer file was refused
	traffic map[string]trafficReport // by data process
	peaks   map[estate.ServiceID]peak
}

// trafficReport is the latest that a data process said of its traffic.
type trafficReport struct {
	at   time.Time
	list []health.Traffic
}

// build makes the parts and starts them in order: what records first, what
// decides next, what lets people in last. They stop in the reverse order.
func (c *control) build(ctx context.Context, g *run.Group) error {
	o := c.opt
	e, fault, err := c.firstEstate(ctx)
	if err != nil {
		return err
	}
	c.fault = fault
	token, err := api.EnsureToken(o.DataDir)
	if err != nil {
		return err
	}
	store, err := sqlitestate.Open(ctx, filepath.Join(o.DataDir, "state.db"), o.Log)
	if err != nil {
		return err
	}
	g.Defer("state", store.Close)
	c.journal, err = journal.Open(ctx, filepath.Join(o.DataDir, "journal.db"), journal.Options{Log: o.Log})
	if err != nil {
		return err
	}
	g.Defer("journal", c.journal.Close)
	c.record = newRecorder(c.journal, o.Log)
	c.depends = &depends{record: c.record}
	c.hub, err = link.Listen(filepath.Join(o.DataDir, controlSocket), link.HubOptions{
		Log: o.Log, OnHello: c.hello, OnEvents: c.events, OnTraffic: c.counted, OnGone: c.gone,
		OnBuckets: func(src string, at time.Time, list []health.Bucket) { c.buckets.reported(src, at, list) },
	})
	if err != nil {
		return err
	}
	c.hook = &hook{log: o.Log}
	c.outbox = notify.NewOutbox(notify.Options{Store: store, Journal: c.journal, Sender: c.hook, Log: o.Log})
	c.desk = incident.New(incident.Options{Store: store, Journal: c.journal, Estate: e, Log: o.Log, Notify: c.tell})
	c.buckets = newBuckets(c.record, c.desk.Verdict)
	c.prober = probe.New(probe.Options{Log: o.Log, Report: c.checked})
	c.failover = failover.New(failover.Options{
		Store: store, Journal: c.journal, Publish: c.hub.Publish, Fresh: c.prober.Fresh, Log: o.Log,
		OnVerdict: c.desk.Verdict,
		OnSwitch:  func(s failover.Switch) { c.desk.Switched(s.Service, s.From, s.To, s.At, s.Reason) },
		Last:      c.lastTable(),
	})
	c.record.add(journal.Entry{Kind: journal.KindStart, Level: journal.Info, Message: "control process started, version " + o.Version})
	c.adopt(e)
	c.start(g, token)
	return nil
}

func (c *control) start(g *run.Group, token string) {
	g.Go("recorder", c.record.run)
	g.Go("notices", c.outbox.Run)
	g.Go("incidents", c.desk.Run)
	g.Go("failover", c.failover.Run)
	g.Go("link", c.hub.Run)
	g.Go("probes", c.prober.Run)
	g.Go("dependencies", c.depends.run)
	g.Go("estate file", c.watch)
	g.Go("api", func(ctx context.Context) error { return c.serveAPI(ctx, g, token) })
	g.Go("ready", func(context.Context) error { return c.opt.Inherited.Ready() })
}

// lastTable is the table that a data process would start from: verdicts of
// before the restart count until there are new ones.
func (c *control) lastTable() *routeTable {
	t, _, err := newTableFile(filepath.Join(c.opt.DataDir, "table.json"), c.opt.Log).load()
	if err != nil {
		return nil
	}
	return t
}

// serveAPI serves the API and the console. An address that is taken is tried
// again: nothing else of control needs it.
func (c *control) serveAPI(ctx context.Context, g *run.Group, token string) error {
	e := c.estate.Load()
	tc, err := serverTLS(e.Listen.APITLS)
	if err != nil {
		return err
	}
	o := api.Options{
		Backend: backend{c}, Token: func() string { return token }, Log: c.opt.Log, Listen: e.Listen.API, OpenReads: true,
		Metrics: metrics.Handler(c.opt.Version, c.snapshot),
	}
	console := web.New(web.Options{Backend: o.Backend, Token: o.Token, Log: o.Log, OpenReads: o.ReadsOpen()})
	o.Console = console
	srv := api.New(o)
	g.Go("console", console.Run) // its event streams end before the API waits for them
	pause := run.Backoff{Min: 50 * time.Millisecond, Max: 5 * time.Second, Jitter: 0.2}
	for {
		ln, err := api.Listen(ctx, e.Listen.API, tc)
		if err == nil {
			c.opt.Log.Info("api listening", "addr", ln.Addr().String())
			return srv.Run(ctx, ln)
		}
		c.opt.Log.Error("api not listening, trying again", "addr", e.Listen.API, "err", err)
		if run.Sleep(ctx, pause.Next()) != nil {
			return nil
		}
	}
}

// checked takes a result of the prober.
func (c *control) checked(r health.Result) {
	c.mu.Lock()
	trusted := c.panel.Trust(r)
	c.mu.Unlock()
	if trusted && !c.depends.checked(r) {
		c.failover.Result(r)
	}
}

// counted takes a data process's counts.
func (c *control) counted(src string, at time.Time, list []health.Traffic) {
	c.mu.Lock()
	c.traffic[src] = trafficReport{at: at, list: c.withPeaks(list, at)}
	c.mu.Unlock()
	c.desk.Traffic(src, at, list)
}

// peakFor is how long a service's longest answer is shown: a report covers a
// quarter of a second, which nobody would catch.
const peakFor = time.Minute

type peak struct {
	ns int64
	at time.Time
}

// withPeaks gives a copy of the counts with the longest answers of the last
// minute. The caller holds mu.
func (c *control) withPeaks(list []health.Traffic, at time.Time) []health.Traffic {
	list = slices.Clone(list)
	for i := range list {
		t := &list[i]
		if p := c.peaks[t.Service]; t.LongestNS >= p.ns || at.Sub(p.at) > peakFor {
			c.peaks[t.Service] = peak{ns: t.LongestNS, at: at}
		}
		t.LongestNS = c.peaks[t.Service].ns
	}
	return list
}
