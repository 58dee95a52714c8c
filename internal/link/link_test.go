package link

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// world is a hub and its clients in a synctest bubble, joined by pipes that the
// test can refuse or cut.
type world struct {
	t   *testing.T
	ctx context.Context
	hub *Hub

	mu     sync.Mutex
	up     bool // dialing works
	frozen bool // connections are accepted by the kernel, and read by nobody
	conns  []net.Conn
	lines  []string // hellos and goodbyes
	events []health.Event
	fail   error // what OnEvents says
	calls  int   // of OnEvents
	counts map[string][]health.Traffic
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, up: true, counts: map[string][]health.Traffic{}}
	ctx, cancel := context.WithCancel(context.Background())
	w.ctx = ctx
	w.newHub()
	t.Cleanup(func() { cancel(); w.cut(); synctest.Wait() })
	return w
}

func (w *world) newHub() {
	w.hub = &Hub{peers: map[string]*session{}, opt: HubOptions{
		Log: slog.New(slog.DiscardHandler),
		OnHello: func(h Hello) {
			w.note("hello " + h.Incarnation)
		},
		OnGone: func(src string, _ error) { w.note("gone " + src) },
		OnEvents: func(_ context.Context, _ string, e []health.Event) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.calls++
			if w.fail == nil {
				w.events = append(w.events, e...)
			}
			return w.fail
		},
		OnTraffic: func(src string, _ time.Time, c []health.Traffic) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.counts[src] = c
		},
	}}
}

func (w *world) note(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, s)
}

// dial gives the client's end of a new connection to the hub.
func (w *world) dial(context.Context) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.up {
		return nil, errors.New("refused")
	}
	mine, theirs := net.Pipe()
	w.conns = append(w.conns, theirs)
	if w.frozen {
		return mine, nil
	}
	hub := w.hub
	go hub.serve(w.ctx, theirs)
	return mine, nil
}

// cut breaks all connections.
func (w *world) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) connections() int {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	return w.hub.conns
}

// peer is a client with what it was told.
type peer struct {
	*Client
	mu     sync.Mutex
	epochs []uint64
	linked []bool
}

func (w *world) client(name string) *peer {
	p := &peer{}
	p.Client = NewClient("unused", ClientOptions{
		Log: slog.New(slog.DiscardHandler), Incarnation: name,
		Epoch: func() uint64 {
			p.mu.Lock()
			defer p.mu.Unlock()
			if len(p.epochs) == 0 {
				return 0
			}
			return p.epochs[len(p.epochs)-1]
		},
		OnTable: func(t *route.Table) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.epochs = append(p.epochs, t.Epoch)
			return nil
		},
		OnLinked: func(on bool) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.linked = append(p.linked, on)
		},
		Traffic: func() []health.Traffic { return []health.Traffic{{Service: estate.ServiceID(name), Requests: 7}} },
	})
	p.dial = w.dial
	go func() {
		if err := p.Run(w.ctx); err != nil {
			w.t.Error(err)
		}
	}()
	return p
}

func (p *peer) saw(t *testing.T, epochs []uint64, linked []bool) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := cmp.Diff(epochs, p.epochs); d != "" {
		t.Fatalf("epochs: %s", d)
	}
	if d := cmp.Diff(linked, p.linked); d != "" {
		t.Fatalf("linked: %s", d)
	}
}

func (w *world) seqs() []uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []uint64
	for _, e := range w.events {
		out = append(out, e.Seq)
	}
	return out
}

func upTo(from, to uint64) []uint64 {
	var out []uint64
	for n := from; n <= to; n++ {
		out = append(out, n)
	}
	return out
}

func TestLatestTableReachesPresentAndLaterPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		early := w.client("early")
		synctest.Wait()
		w.hub.Publish(&route.Table{Epoch: 1})
		synctest.Wait()
		w.hub.Publish(&route.Table{Epoch: 2})
		synctest.Wait()
		late := w.client("late")
		time.Sleep(10 * time.Second) // heartbeats only
		early.saw(t, []uint64{1, 2}, []bool{true})
		late.saw(t, []uint64{2}, []bool{true})
		for _, p := range w.hub.Peers() {
			if p.Epoch != 2 {
				t.Errorf("peer %s is shown at epoch %d", p.Incarnation, p.Epoch)
			}
		}
	})
}

func TestTrafficArrivesEveryQuarterSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.client("a")
		time.Sleep(300 * time.Millisecond)
		w.mu.Lock()
		defer w.mu.Unlock()
		if c := w.counts["a"]; len(c) != 1 || c[0].Requests != 7 {
			t.Fatalf("got %v", c)
		}
	})
}

func TestEventsAreNumberedAndArriveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.client("a")
		for range 1234 { // more than two batches
			c.Report(health.Event{Kind: health.Ejected, Source: "forged", Seq: 99})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if d := cmp.Diff(upTo(1, 1234), w.seqs()); d != "" {
			t.Fatal(d)
		}
		if e := w.events[0]; e.Source != "a" || e.At.IsZero() {
			t.Fatalf("got %+v", e)
		}
	})
}

func TestEventsWaitForControlAndAreSentAgainAfterACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.set(func() { w.up = false })
		c := w.client("a")
		for range 3 {
			c.Report(health.Event{})
		}
		time.Sleep(time.Minute)
		w.set(func() { w.up, w.fail = true, errors.New("journal is full") })
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if w.calls < 2 {
			t.Fatalf("a failed OnEvents was called %d times", w.calls)
		}
		w.cut() // unacknowledged
		c.Report(health.Event{})
		w.set(func() { w.fail = nil })
		time.Sleep(2 * time.Second)
		if d := cmp.Diff(upTo(1, 4), w.seqs()); d != "" {
			t.Fatal(d)
		}
		synctest.Wait()
		if n := len(c.ring.pending); n != 0 {
			t.Fatalf("%d events are kept after the acknowledgement", n)
		}
	})
}

func TestFullRingDropsTheOldestAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.set(func() { w.up = false })
		c := w.client("a")
		for range ringSize + 5 {
			c.Report(health.Event{})
		}
		if c.LostEvents() != 5 {
			t.Fatalf("lost %d", c.LostEvents())
		}
		w.set(func() { w.up = true })
		time.Sleep(5 * time.Second)
		if d := cmp.Diff(upTo(6, ringSize+5), w.seqs()); d != "" {
			t.Fatal(d)
		}
		if p := w.hub.Peers(); len(p) != 1 || p[0].LostEvents != 5 {
			t.Fatalf("got %+v", p)
		}
	})
}

func TestPeerIsGoneAndBackInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hub.Publish(&route.Table{Epoch: 4})
		c := w.client("a")
		time.Sleep(time.Second)
		w.cut()
		time.Sleep(time.Second)
		synctest.Wait()
		c.saw(t, []uint64{4, 4}, []bool{true, false, true})
		if d := cmp.Diff([]string{"hello a", "gone a", "hello a"}, w.lines); d != "" {
			t.Fatal(d)
		}
	})
}

func TestSecondConnectionOfAnIncarnationReplacesTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		conn := w.raw()
		swallow(conn)
		if err := (stream{conn}).send(hello(Version)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.client("raw") // the hub has not noticed that the first is gone
		time.Sleep(time.Minute)
		synctest.Wait()
		if d := cmp.Diff([]string{"hello raw", "gone raw", "hello raw"}, w.lines); d != "" {
			t.Fatal(d)
		}
	})
}

func TestLinkThatBreaksAtOnceIsNotRedialedInATightLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.hub.opt.OnHello = func(Hello) { w.note("hello"); go w.cut() }
		w.client("a")
		time.Sleep(time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if n := len(w.lines) / 2; n < 10 || n > 120 {
			t.Fatalf("%d connections in a minute", n)
		}
	})
}

// raw gives a connection to the hub on which the test itself speaks.
func (w *world) raw() net.Conn {
	conn, err := w.dial(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

// swallow reads and drops all that comes.
func swallow(conn net.Conn) {
	go func() {
		b := make([]byte, 4096)
		for {
			if _, err := conn.Read(b); err != nil {
				return
			}
		}
	}()
}

func hello(version int) message {
	return message{Hello: &Hello{Version: version, Incarnation: "raw"}}
}

func TestSilentPeersAreGoneAfterThreeSeconds(t *testing.T) {
	says := map[string]func(net.Conn) error{
		"nothing":            func(net.Conn) error { return nil },
		"half a header":      func(c net.Conn) error { _, err := c.Write([]byte{0, 0}); return err },
		"hello only":         func(c net.Conn) error { return stream{c}.send(hello(Version)) },
		"a length, no frame": func(c net.Conn) error { _, err := c.Write([]byte{0, 0, 1, 0, '{'}); return err },
	}
	for name, say := range says {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				conn := w.raw()
				swallow(conn)
				if err := say(conn); err != nil {
					t.Fatal(err)
				}
				time.Sleep(silence - time.Millisecond)
				synctest.Wait()
				if w.connections() != 1 {
					t.Fatal("gone too early")
				}
				time.Sleep(2 * time.Millisecond)
				synctest.Wait()
				if w.connections() != 0 || len(w.hub.Peers()) != 0 {
					t.Fatal("still there")
				}
			})
		})
	}
}

func TestPeerThatReadsNothingBlocksNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		conn := w.raw()
		if err := (stream{conn}).send(hello(Version)); err != nil {
			t.Fatal(err)
		}
		good := w.client("good")
		time.Sleep(time.Second)
		before := time.Now()
		w.hub.Publish(&route.Table{Epoch: 1})
		if time.Since(before) != 0 {
			t.Fatal("Publish waited for a peer")
		}
		time.Sleep(10 * time.Millisecond)
		good.saw(t, []uint64{1}, []bool{true})
		time.Sleep(silence)
		if p := w.hub.Peers(); len(p) != 1 || p[0].Incarnation != "good" {
			t.Fatalf("got %+v", p)
		}
	})
}

func TestFrozenControlIsGoneAfterThreeSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.client("a")
		synctest.Wait()
		w.set(func() { w.frozen = true })
		w.cut()
		time.Sleep(5 * time.Minute)
		c.Report(health.Event{}) // does not block
		c.saw(t, nil, []bool{true, false})
		w.set(func() { w.frozen = false })
		time.Sleep(10 * time.Second)
		c.saw(t, nil, []bool{true, false, true})
		if d := cmp.Diff([]uint64{1}, w.seqs()); d != "" {
			t.Fatal(d)
		}
	})
}

func TestBrokenProtocolEndsTheSession(t *testing.T) {
	batch := message{Events: &eventBatch{Events: []health.Event{{Seq: 1}}}}
	first := map[string][]byte{
		"no JSON":      []byte("GET / HTTP/1.1\r\n"),
		"wrong types":  []byte(`{"hello":[]}`),
		"no hello":     []byte(`{"traffic":{}}`),
		"no name":      []byte(`{"hello":{"version":1}}`),
		"over-long":    []byte(`{"x":"` + strings.Repeat("x", maxHello) + `"}`),
		"other events": nil,
	}
	for name, body := range first {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.fail = errors.New("slow")
				conn := w.raw()
				swallow(conn)
				s := stream{conn}
				if body != nil {
					_ = s.sendBody(body) // the hub may hang up in the middle
				} else {
					for _, m := range []message{hello(Version), batch, batch, batch} {
						_ = s.send(m) // likewise
					}
				}
				synctest.Wait()
				if w.connections() != 0 {
					t.Fatal("still connected")
				}
			})
		})
	}
}

func TestOtherVersionIsToldWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := stream{w.raw()}
		if err := s.send(hello(Version + 1)); err != nil {
			t.Fatal(err)
		}
		m, err := s.receive(maxHello)
		if err != nil || m.Welcome == nil || !strings.Contains(m.Welcome.Error, "version 2") {
			t.Fatalf("got %+v, %v", m.Welcome, err)
		}
		mine, theirs := net.Pipe()
		c := NewClient("unused", ClientOptions{Epoch: func() uint64 { return 0 }})
		go func() { _ = stream{theirs}.send(m); _ = theirs.Close() }()
		go func() { _, _ = stream{theirs}.receive(maxHello) }()
		if err := c.greet(stream{mine}); !errs.Is(err, errs.Unsupported) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestTooManyConnectionsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for range maxPeers {
			w.raw()
		}
		synctest.Wait()
		extra := w.raw()
		if _, err := extra.Read(make([]byte, 1)); err == nil {
			t.Fatal("let in")
		}
	})
}
