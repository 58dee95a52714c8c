package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/link"
	"github.com/sparecloud/spare/internal/route"
	"github.com/sparecloud/spare/internal/run"
)

// controlSocket is where the control process listens, in the state folder.
const controlSocket = "control.sock"

// freshWait is how long a data process that takes over from another waits for
// a table from control before it makes do with the one on disk.
const freshWait = time.Second

// Edge is what the data process asks of an edge.
type Edge interface {
	Apply(t *route.Table) error
	Table() *route.Table // in force, nil before the first
	// Serve accepts on ln until ctx ends; it closes ln then, at once, serves
	// what is under way and returns when that is done, in 30 s at most.
	Serve(ctx context.Context, ln net.Listener) error
	Stats() []health.Traffic
	SetLinked(bool)
	Close() error
}

// Objects is what the data process asks of its buckets.
type Objects interface {
	Apply(e *estate.Estate)
	Serve(ctx context.Context, ln net.Listener) error // as Edge's
	States() []health.Bucket
	Close() error
}

// DataOptions say what [Data] runs. All are required but Binary, Objects and S3.
type DataOptions struct {
	Log       *slog.Logger
	DataDir   string // state folder
	Config    string // path of the estate file, which a copy's references are relative to
	Binary    string // version of the program, for people
	Inherited *Inherited
	NewEdge   func(report func(health.Event)) Edge
	Objects   Objects // nil = no buckets
	S3        string  // address of the listener that speaks S3, "" = none

	OrphanTimeout time.Duration // without a supervisor; 0 = 10 s
}

// Data runs the data process until ctx ends or SIGTERM comes, and drains then.
// It serves by the last table on disk until control sends a newer one, and
// goes on serving when control or the supervisor has died.
func Data(ctx context.Context, o DataOptions) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	if o.OrphanTimeout == 0 {
		o.OrphanTimeout = orphanWait
	}
	d := newData(o)
	if err := d.load(); err != nil {
		return err
	}
	g := run.New(ctx)
	g.Defer("orphan connection", d.closeFarewell)
	g.Defer("edge", d.edge.Close)
	if o.Objects != nil {
		g.Defer("buckets", o.Objects.Close)
	}
	g.Go("table file", d.file.run)
	g.Go("link", d.client.Run)
	g.Go("edge", d.serve)
	g.Go("supervisor", func(ctx context.Context) error { return d.watchSupervisor(ctx, stop) })
	return g.Wait()
}

type data struct {
	opt    DataOptions
	id     string // incarnation
	edge   Edge
	client *link.Client
	file   *tableFile
	stored bucketsOf

	mu       sync.Mutex    // one table at a time
	tabled   chan struct{} // closed when the first table is in force
	fresh    chan struct{} // closed when control has sent a table
	first    sync.Once
	sent     sync.Once
	farewell net.Conn // its end tells a new supervisor that this process is gone
}

func newData(o DataOptions) *data {
	d := &data{
		opt: o, id: newIncarnation(), tabled: make(chan struct{}), fresh: make(chan struct{}),
		file: newTableFile(filepath.Join(o.DataDir, "table.json"), o.Log),
	}
	d.stored.d = d
	client := link.ClientOptions{
		Log: o.Log, Incarnation: d.id, Binary: o.Binary,
		Epoch:    d.epoch,
		OnTable:  d.take,
		OnLinked: func(on bool) { d.edge.SetLinked(on) },
		Traffic:  func() []health.Traffic { return d.edge.Stats() },
	}
	if o.Objects != nil {
		client.Buckets = o.Objects.States
	}
	d.client = link.NewClient(filepath.Join(o.DataDir, controlSocket), client)
	d.edge = o.NewEdge(d.client.Report)
	return d
}

func newIncarnation() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

func (d *data) epoch() uint64 {
	if t := d.edge.Table(); t != nil {
		return t.Epoch
	}
	return 0
}

// load puts the table on disk into force. None, or none that is sound, leaves
// the process waiting for control.
func (d *data) load() error {
	if err := link.CheckPath(filepath.Join(d.opt.DataDir, controlSocket)); err != nil {
		return err
	}
	t, fallback, err := d.file.load()
	switch {
	case errs.Is(err, errs.NotFound):
		d.opt.Log.Info("no table on disk, waiting for control")
	case err != nil:
		d.opt.Log.Error("table on disk not usable, waiting for control", "err", err)
	default:
		if fallback != nil {
			d.opt.Log.Error("table on disk damaged, the one before is used", "err", fallback, "epoch", t.Epoch)
		}
		if err := d.apply(t); err != nil {
			d.opt.Log.Error("table on disk refused, waiting for control", "err", err)
		}
	}
	d.client.Report(health.Event{Kind: health.Started, Epoch: d.epoch(), Detail: d.opt.Binary})
	return nil
}

// take accepts a table from control. Stale: the one in force is newer.
func (d *data) take(t *route.Table) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.accept(t); err != nil {
		d.client.Report(health.Event{Kind: health.Refused, Detail: err.Error(), Epoch: d.epoch()})
		return err
	}
	d.sent.Do(func() { close(d.fresh) })
	return nil
}

func (d *data) accept(t *route.Table) error {
	if now := d.edge.Table(); now != nil {
		switch {
		case t.Epoch < now.Epoch:
			return errs.E(errs.Stale, "table %d is older than table %d in force", t.Epoch, now.Epoch)
		case t.Epoch == now.Epoch && !sameTable(t, now):
			return errs.E(errs.Conflict, "there are two different tables %d", t.Epoch)
		case t.Epoch == now.Epoch:
			return nil
		}
	}
	if err := d.apply(t); err != nil {
		return err
	}
	d.file.save(t)
	return nil
}

// apply puts t into force.
func (d *data) apply(t *route.Table) error {
	if err := t.Validate(); err != nil {
		return err
	}
	if err := d.edge.Apply(t); err != nil {
		return errs.Wrap(errs.KindOf(err), err, "apply %s", t)
	}
	d.opt.Log.Info("table in force", "epoch", t.Epoch, "services", len(t.Services))
	d.client.Report(health.Event{Kind: health.Tabled, Epoch: t.Epoch, Detail: t.String()})
	d.stored.follow(t.Estate)
	d.first.Do(func() { close(d.tabled) })
	return nil
}

func sameTable(a, b *route.Table) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// serve runs the edge on all listeners until ctx ends and they have drained.
func (d *data) serve(ctx context.Context) error {
	if d.opt.Inherited.Standby && !d.awaitTables(ctx) {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(d.opt.Inherited.Listeners))
	for _, ln := range d.opt.Inherited.Listeners {
		go func() { results <- d.serveOne(ctx, ln) }()
	}
	go d.sayReady(ctx)
	var all []error
	for range d.opt.Inherited.Listeners {
		err := <-results
		all = append(all, err)
		if err != nil {
			cancel() // one listener down is a process to restart
		}
	}
	return errors.Join(all...)
}

func (d *data) serveOne(ctx context.Context, ln Listener) error {
	serve := d.edge.Serve
	if d.opt.Objects != nil && ln.Address == d.opt.S3 {
		serve = d.opt.Objects.Serve
	}
	err := serve(ctx, ln.Listener)
	if ctx.Err() == nil && err == nil {
		err = errs.E(errs.Internal, "it has stopped by itself")
	}
	return errs.Wrap(errs.KindOf(err), err, "serve %s", ln.Address)
}

// awaitTables holds a successor back while its predecessor still serves: until
// there is a table, and for a moment for one that is newer than what is on
// disk. It says false when ctx ends first.
func (d *data) awaitTables(ctx context.Context) bool {
	wait, cancel := context.WithTimeout(ctx, freshWait)
	defer cancel()
	select {
	case <-d.fresh:
	case <-wait.Done():
	}
	select {
	case <-d.tabled:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (d *data) sayReady(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-d.tabled:
	}
	if err := d.opt.Inherited.Ready(); err != nil {
		d.opt.Log.Warn("readiness not signalled", "err", err)
	}
}

// watchSupervisor looks for a new supervisor when the old one has died, and
// stops this process when there is one, or will be none.
func (d *data) watchSupervisor(ctx context.Context, stop func()) error {
	select {
	case <-ctx.Done():
		return nil
	case <-d.opt.Inherited.SupervisorGone:
	}
	d.opt.Log.Warn("the supervisor has died, serving on without")
	o := &orphan{
		log: d.opt.Log, path: adoptPath(d.opt.DataDir), incarnation: d.id,
		listeners: d.opt.Inherited.Listeners, wait: d.opt.OrphanTimeout,
	}
	d.farewell = o.offerListeners(ctx)
	d.opt.Log.Info("draining")
	stop()
	return nil
}

func (d *data) closeFarewell() error {
	if d.farewell == nil {
		return nil
	}
	return d.farewell.Close()
}
