package edge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// site is an origin of a test: a real HTTP server on loopback that can be made
// to misbehave.
type site struct {
	name    string
	ln      net.Listener
	srv     *http.Server
	handler atomic.Pointer[http.HandlerFunc]
	raw     atomic.Pointer[func(net.Conn)] // takes connections over before HTTP
	frozen  atomic.Pointer[chan struct{}]
	hits    atomic.Int64
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	posts   map[string]int // by body
}

func newSite(t testing.TB, name string) *site {
	t.Helper()
	s := &site{name: name, conns: map[net.Conn]struct{}{}, posts: map[string]int{}}
	s.listen(t, "127.0.0.1:0")
	t.Cleanup(func() { s.thaw(); s.kill() })
	return s
}

func (s *site) listen(t testing.TB, addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s.ln = ln
	s.srv = &http.Server{Handler: http.HandlerFunc(s.serve), ConnState: func(c net.Conn, st http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch st {
		case http.StateNew:
			s.conns[c] = struct{}{}
		case http.StateClosed:
			delete(s.conns, c)
		}
	}, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	go func() { _ = s.srv.Serve(tap{ln, s}) }()
}

// tap lets a test take raw connections over.
type tap struct {
	net.Listener
	s *site
}

func (t tap) Accept() (net.Conn, error) {
	for {
		c, err := t.Listener.Accept()
		if err != nil {
			return nil, err
		}
		raw := t.s.raw.Load()
		if raw == nil {
			return c, nil
		}
		go (*raw)(c)
	}
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	if gate := s.frozen.Load(); gate != nil {
		<-*gate
	}
	s.hits.Add(1)
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		b, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.posts[string(b)]++
		s.mu.Unlock()
	}
	if h := s.handler.Load(); h != nil && r.URL.Path != "/healthz" {
		(*h)(w, r)
		return
	}
	w.Header().Set("Site", s.name)
	_, _ = fmt.Fprintf(w, "hello from %s", s.name)
}

func (s *site) handle(h http.HandlerFunc) { s.handler.Store(&h) }

// freeze makes the site accept and say nothing, as a stopped process does.
func (s *site) freeze() {
	gate := make(chan struct{})
	s.frozen.Store(&gate)
}

func (s *site) thaw() {
	if gate := s.frozen.Swap(nil); gate != nil {
		close(*gate)
	}
}

// kill ends the site as kill -9 does: connections are reset, new ones refused.
func (s *site) kill() {
	_ = s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		if tc, ok := c.(*net.TCPConn); ok {
			_ = tc.SetLinger(0)
		}
		_ = c.Close()
	}
	s.mu.Unlock()
	_ = s.srv.Close()
}

func (s *site) url() string { return "http://" + s.ln.Addr().String() }

// world is an edge in front of sites.
type world struct {
	t      testing.TB
	e      *Edge
	addr   string
	client *http.Client
	table  route.Table
	mu     sync.Mutex
	events []health.Event
	stop   context.CancelFunc
	served chan struct{}
}

func newWorld(t testing.TB, edit func(*route.Service), sites ...*site) *world {
	t.Helper()
	w := &world{t: t, served: make(chan struct{})}
	w.e = New(Options{Log: slog.New(slog.DiscardHandler), Report: func(ev health.Event) {
		w.mu.Lock()
		w.events = append(w.events, ev)
		w.mu.Unlock()
	}})
	svc := route.Service{ID: "shop", Policy: estate.Primary, Writes: estate.WritesAnywhere, SpareReads: true,
		Check: route.Check{Path: "/healthz", Timeout: 200 * time.Millisecond}}
	for _, s := range sites {
		svc.Origins = append(svc.Origins, route.Origin{Site: estate.SiteID(s.name), URL: s.url(), Weight: 1, State: route.Up})
	}
	if edit != nil {
		edit(&svc)
	}
	w.table = route.Table{Epoch: 1, Services: []route.Service{svc}}
	if err := w.e.Apply(&w.table); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	go func() { defer close(w.served); _ = w.e.Serve(ctx, ln) }()
	w.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: 10 * time.Second}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		cancel()
		for _, s := range sites {
			s.thaw()
		}
		<-w.served
		_ = w.e.Close()
	})
	return w
}

// apply publishes the table with a change.
func (w *world) apply(edit func(*route.Service)) {
	w.t.Helper()
	next := w.table
	next.Epoch++
	next.Services = []route.Service{w.table.Services[0]}
	next.Services[0].Origins = append([]route.Origin(nil), w.table.Services[0].Origins...)
	edit(&next.Services[0])
	w.table = next
	if err := w.e.Apply(&next); err != nil {
		w.t.Fatal(err)
	}
}

type answer struct {
	status int
	body   string
	header http.Header
	took   time.Duration
	err    error
}

func (w *world) do(method, path, body string, head ...string) answer {
	req, err := http.NewRequest(method, "http://"+w.addr+path, nil)
	if body != "" {
		req, err = http.NewRequest(method, "http://"+w.addr+path, stringBody(body))
	}
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i+1 < len(head); i += 2 {
		if head[i] == "Host" {
			req.Host = head[i+1]
		} else {
			req.Header.Set(head[i], head[i+1])
		}
	}
	begin := time.Now()
	resp, err := w.client.Do(req)
	if err != nil {
		return answer{err: err, took: time.Since(begin)}
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, body: string(b), header: resp.Header, took: time.Since(begin), err: err}
}

func (w *world) get(path string, head ...string) answer { return w.do("GET", path, "", head...) }

// load sends n GETs from workers at once and counts what came back.
func (w *world) load(n, workers int, path string) (failed int, longest time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var next atomic.Int64
	for range workers {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				a := w.get(path)
				mu.Lock()
				if a.err != nil || a.status != 200 {
					failed++
				}
				longest = max(longest, a.took)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return failed, longest
}

func (w *world) stats() health.Traffic { return w.e.Stats()[0] }

func (w *world) saw(kind health.EventKind) []health.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []health.Event
	for _, ev := range w.events {
		if ev.Kind == kind {
			found = append(found, ev)
		}
	}
	return found
}

// eventually waits for something that is due soon.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	w.t.Fatalf("never happened: %s", what)
}

// rawRequest sends bytes as they are and gives the answer's status line.
func (w *world) rawRequest(b string) (string, error) {
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(c, b); err != nil {
		return "", err
	}
	return bufio.NewReader(c).ReadString('\n')
}
