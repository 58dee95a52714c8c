package probe

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

// run runs a runner over real connections and gives its results, and a stop
// that waits for its end.
func run(t *testing.T, o Options, targets ...Target) (*Runner, <-chan health.Result, func()) {
	results := make(chan health.Result, 10_000)
	o.Log, o.Report = slog.New(slog.DiscardHandler), func(r health.Result) { results <- r }
	r := New(o)
	r.Set(targets)
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return r, results, func() { cancel(); ended.Wait() }
}

func await(t *testing.T, results <-chan health.Result, what string, want func(health.Result) bool) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case r := <-results:
			if want(r) {
				return
			}
		case <-timeout:
			t.Fatalf("no result: %s", what)
		}
	}
}

func TestRunnerKeepsOneConnectionAndOpensFreshOnes(t *testing.T) {
	var conns, requests atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		_, _ = io.WriteString(w, "fine")
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.StartTLS()
	defer srv.Close()
	target := httpTarget("", estate.Check{Every: 5 * time.Millisecond, Contains: "fine"})
	target.URL = srv.URL
	r, results, stop := run(t, Options{TLS: &tls.Config{InsecureSkipVerify: true}}, target)
	for range 20 {
		await(t, results, "keep-alive passes", func(r health.Result) bool { return r.OK && !r.Fresh })
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for %d requests", n, requests.Load())
	}
	r.Fresh(target.Target)
	await(t, results, "fresh passes", func(r health.Result) bool { return r.OK && r.Fresh })
	if n := conns.Load(); n != 2 {
		t.Errorf("%d connections after a fresh attempt, want 2", n)
	}
	stop()
}

func TestRunnerSeesAnOriginDieAndReturn(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	addr := srv.Listener.Addr().String()
	_, results, stop := run(t, Options{}, httpTarget(addr, estate.Check{Every: 10 * time.Millisecond}))
	defer stop()
	await(t, results, "passes", func(r health.Result) bool { return r.OK })
	srv.CloseClientConnections()
	srv.Close()
	await(t, results, "refused", func(r health.Result) bool { return r.Cause == health.CauseRefused })
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	again := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = again.Serve(l) }()
	defer func() { _ = again.Close() }()
	await(t, results, "answers again", func(r health.Result) bool { return r.OK })
}

// TestNothingIsLeftAfterRun: hung, kept and removed connections are all
// closed, and no goroutine stays.
func TestNothingIsLeftAfterRun(t *testing.T) {
	var open atomic.Int32
	counted := func(serve func(*net.TCPConn)) func(*net.TCPConn) {
		return func(c *net.TCPConn) {
			open.Add(1)
			defer open.Add(-1)
			serve(c)
			hang(c)
		}
	}
	fine, hung := listen(t, counted(reply(ok))), listen(t, counted(func(*net.TCPConn) {}))
	before := runtime.NumGoroutine()
	targets := []Target{
		httpTarget(fine, estate.Check{Every: time.Hour}),
		httpTarget(hung, estate.Check{Every: 10 * time.Millisecond, Timeout: time.Hour}),
		httpTarget(fine, estate.Check{Every: time.Hour, Fresh: time.Hour}),
	}
	for i := range targets {
		targets[i].Site = estate.SiteID(strings.Repeat("x", i+1))
	}
	r, results, stop := run(t, Options{}, targets...)
	for range 2 {
		await(t, results, "first results", func(r health.Result) bool { return r.OK })
	}
	until(t, "three open connections", func() bool { return open.Load() == 3 })
	r.Set(targets[1:])
	until(t, "the removed target's connection is closed", func() bool { return open.Load() == 2 })
	stop()
	until(t, "all connections are closed", func() bool { return open.Load() == 0 })
	until(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before })
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 2000 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not within 20 s: %s", what)
}
