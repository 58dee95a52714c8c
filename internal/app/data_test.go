package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/durable"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/link"
	"github.com/sparecloud/spare/internal/route"
)

// plainEdge is an edge that answers 200 with a table and 503 without.
type plainEdge struct {
	mu     sync.Mutex
	table  *route.Table
	refuse error // what Apply says
}

func (e *plainEdge) Apply(t *route.Table) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse == nil {
		e.table = t
	}
	return e.refuse
}

func (e *plainEdge) Table() *route.Table {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.table
}

func (e *plainEdge) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if e.Table() == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (e *plainEdge) Stats() []health.Traffic { return nil }
func (e *plainEdge) SetLinked(bool)          {}
func (e *plainEdge) Close() error            { return nil }

// bench is a data process in the test's own process, with a hub before it.
type bench struct {
	t      *testing.T
	dir    string
	edge   *plainEdge
	hub    *link.Hub
	ln     net.Listener
	ready  *os.File // read end
	gone   chan struct{}
	events chan health.Event
	stop   func() error
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "spare-data-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// newBench starts a hub and, with start, a data process. prepare may put a
// table into the folder before.
func newBench(t *testing.T, prepare func(b *bench)) *bench {
	t.Helper()
	b := &bench{t: t, dir: shortDir(t), edge: &plainEdge{}, gone: make(chan struct{}), events: make(chan health.Event, 100)}
	if prepare != nil {
		prepare(b)
	}
	log := slog.New(slog.DiscardHandler)
	hub, err := link.Listen(filepath.Join(b.dir, controlSocket), link.HubOptions{Log: log,
		OnEvents: func(_ context.Context, _ string, events []health.Event) error {
			for _, e := range events {
				b.events <- e
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	b.hub = hub
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	b.ln, b.ready = ln, read
	in := &Inherited{Listeners: []Listener{{Listener: ln, Address: ln.Addr().String()}}, SupervisorGone: b.gone, ready: write}
	ctx, cancel := context.WithCancel(context.Background())
	done, hubDone := make(chan error, 1), make(chan error, 1)
	go func() { hubDone <- hub.Run(ctx) }()
	go func() {
		done <- Data(ctx, DataOptions{Log: log, DataDir: b.dir, Inherited: in, OrphanTimeout: 200 * time.Millisecond,
			NewEdge: func(func(health.Event)) Edge { return b.edge }})
	}()
	b.stop = sync.OnceValue(func() error {
		cancel()
		return errors.Join(<-done, <-hubDone)
	})
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		_ = read.Close()
	})
	return b
}

func (b *bench) next(kind health.EventKind) health.Event {
	b.t.Helper()
	select {
	case e := <-b.events:
		if e.Kind != kind {
			b.t.Fatalf("got %+v, want %s", e, kind)
		}
		return e
	case <-time.After(10 * time.Second):
		b.t.Fatalf("no %s event", kind)
		panic("unreachable")
	}
}

func (b *bench) status() int {
	b.t.Helper()
	resp, err := http.Get("http://" + b.ln.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (b *bench) isReady() bool {
	b.t.Helper()
	if err := b.ready.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		b.t.Fatal(err)
	}
	n, _ := b.ready.Read(make([]byte, 1))
	return n == 1
}

func (b *bench) onDisk() uint64 {
	b.t.Helper()
	t, _, err := newTableFile(filepath.Join(b.dir, "table.json"), nil).load()
	if err != nil {
		return 0
	}
	return t.Epoch
}

func tableOf(epoch uint64) *route.Table {
	return &route.Table{Epoch: epoch, Services: []route.Service{{ID: "shop", Policy: estate.Primary,
		Origins: []route.Origin{{Site: "virginia", URL: "http://127.0.0.1:1"}}}}}
}

func putTable(t *testing.T, dir string, epoch uint64) {
	t.Helper()
	doc, err := json.Marshal(tableOf(epoch))
	if err != nil {
		t.Fatal(err)
	}
	if err := durable.Save(filepath.Join(dir, "table.json"), doc); err != nil {
		t.Fatal(err)
	}
}

func TestDataIsNotReadyBeforeItsFirstTable(t *testing.T) {
	b := newBench(t, nil)
	b.next(health.Started)
	if got := b.status(); got != http.StatusServiceUnavailable || b.isReady() {
		t.Fatalf("status %d", got)
	}
	b.hub.Publish(tableOf(1))
	b.next(health.Tabled)
	if got := b.status(); got != http.StatusOK || !b.isReady() {
		t.Fatalf("status %d", got)
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	if b.onDisk() != 1 {
		t.Fatalf("table %d on disk", b.onDisk())
	}
}

func TestOldOrUnusableTablesAreRefused(t *testing.T) {
	b := newBench(t, func(b *bench) { putTable(t, b.dir, 5) })
	b.next(health.Tabled)
	b.next(health.Started)
	other := tableOf(5)
	other.Services[0].ID = "other"
	unusable := tableOf(6)
	unusable.Services[0].Origins = nil
	for what, table := range map[string]*route.Table{"older": tableOf(4), "two different": other, "no origin": unusable} {
		b.hub.Publish(table)
		if e := b.next(health.Refused); !strings.Contains(e.Detail, what) || e.Epoch != 5 {
			t.Errorf("got %+v, want %q", e, what)
		}
	}
	b.hub.Publish(tableOf(5)) // the same once more: nothing happens
	b.hub.Publish(tableOf(7))
	if e := b.next(health.Tabled); e.Epoch != 7 {
		t.Fatalf("got %+v", e)
	}
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	if b.onDisk() != 7 {
		t.Fatalf("table %d on disk", b.onDisk())
	}
}

func TestTableThatTheEdgeRefusesIsNotSaved(t *testing.T) {
	b := newBench(t, func(b *bench) { putTable(t, b.dir, 5) })
	b.next(health.Tabled)
	b.next(health.Started)
	b.edge.mu.Lock()
	b.edge.refuse = errs.E(errs.Unsupported, "too new")
	b.edge.mu.Unlock()
	b.hub.Publish(tableOf(6))
	b.next(health.Refused)
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	if b.onDisk() != 5 || b.edge.Table().Epoch != 5 {
		t.Fatalf("table %d on disk, %d in force", b.onDisk(), b.edge.Table().Epoch)
	}
}

func TestTableThatCannotBeSavedIsServed(t *testing.T) {
	b := newBench(t, func(b *bench) {
		if err := os.Mkdir(filepath.Join(b.dir, "table.json"), 0o700); err != nil { // in the way
			t.Fatal(err)
		}
	})
	b.next(health.Started)
	b.hub.Publish(tableOf(1))
	b.next(health.Tabled)
	if got := b.status(); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
}

func TestDamagedTableOnDiskFallsBackToTheOneBefore(t *testing.T) {
	b := newBench(t, func(b *bench) {
		putTable(t, b.dir, 5)
		putTable(t, b.dir, 6)
		if err := os.WriteFile(filepath.Join(b.dir, "table.json"), []byte("rot"), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	if e := b.next(health.Tabled); e.Epoch != 5 {
		t.Fatalf("got %+v", e)
	}
}

func TestNewerTableOnDiskIsNotOverwritten(t *testing.T) {
	dir := shortDir(t)
	putTable(t, dir, 9)
	f := newTableFile(filepath.Join(dir, "table.json"), slog.New(slog.DiscardHandler))
	f.save(tableOf(8))
	if err := f.flush(); err != nil {
		t.Fatal(err)
	}
	if got, _, err := f.load(); err != nil || got.Epoch != 9 {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestOrphanWithoutAdopterStopsByItself(t *testing.T) {
	b := newBench(t, func(b *bench) { putTable(t, b.dir, 5) })
	b.next(health.Tabled)
	close(b.gone)
	for end := time.Now().Add(10 * time.Second); ; {
		if c, err := net.Dial("tcp", b.ln.Addr().String()); err != nil {
			break
		} else {
			_ = c.Close()
		}
		if time.Now().After(end) {
			t.Fatal("still serves")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestBinaryIsFoundUnderThePathItWasCalledBy(t *testing.T) {
	link := filepath.Join(t.TempDir(), "spare")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	saved := os.Args[0]
	t.Cleanup(func() { os.Args[0] = saved })
	for called, want := range map[string]string{link: link, "/bin/sh": exe, "no such program": exe} {
		os.Args[0] = called
		got, err := binaryPath()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("called as %s: %s", called, d)
		}
	}
}
