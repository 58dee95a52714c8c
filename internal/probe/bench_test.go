package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

// serverVariable makes the test binary an origin for benchmarks: a process of
// its own, so that its CPU time is not counted as the prober's.
const serverVariable = "SPARE_PROBE_BENCH_ORIGIN"

func TestMain(m *testing.M) {
	if os.Getenv(serverVariable) != "" {
		fine := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
		clear, secure := httptest.NewServer(fine), httptest.NewTLSServer(fine)
		fmt.Println(clear.URL, secure.URL)
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func startOrigin(b *testing.B) (clear, secure string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverVariable+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	clear, secure, _ = strings.Cut(strings.TrimSpace(line), " ")
	return clear, secure
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func benchAttempt(b *testing.B, url string, fresh bool) {
	p := newPlan(Target{Target: shop, URL: url, Check: estate.Check{Kind: estate.CheckHTTP, Path: "/"}}, &tls.Config{InsecureSkipVerify: true})
	var conn net.Conn
	var res health.Result
	before := cpuTime(b)
	for b.Loop() {
		if res, conn, _ = p.attempt(context.Background(), conn, fresh); !res.OK {
			b.Fatalf("%+v", res)
		}
	}
	b.ReportMetric(float64(b.N)/(cpuTime(b)-before).Seconds(), "checks/cpu-s")
}

// BenchmarkAttempt says how many checks a second of the prober's CPU time is
// good for.
func BenchmarkAttempt(b *testing.B) {
	clear, secure := startOrigin(b)
	b.Run("keep-alive", func(b *testing.B) { benchAttempt(b, clear, false) })
	b.Run("keep-alive-tls", func(b *testing.B) { benchAttempt(b, secure, false) })
	b.Run("fresh", func(b *testing.B) { benchAttempt(b, clear, true) })
	b.Run("fresh-tls", func(b *testing.B) { benchAttempt(b, secure, true) })
}

// BenchmarkRunner runs 2,000 targets every 200 ms: scheduling included.
func BenchmarkRunner(b *testing.B) {
	clear, _ := startOrigin(b)
	var done, bad atomic.Int64
	enough := make(chan struct{}, 1)
	r := New(Options{Log: slog.New(slog.DiscardHandler), Report: func(res health.Result) {
		if !res.OK {
			bad.Add(1)
		}
		if done.Add(1) == int64(b.N) {
			enough <- struct{}{}
		}
	}})
	targets := many(2000, estate.Check{Every: 200 * time.Millisecond, Timeout: 5 * time.Second})
	for i := range targets {
		targets[i].URL = clear
	}
	r.Set(targets)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	before := cpuTime(b)
	go func() { ended <- r.Run(ctx) }()
	<-enough
	b.ReportMetric(float64(b.N)/(cpuTime(b)-before).Seconds(), "checks/cpu-s")
	cancel()
	if err := <-ended; err != nil || bad.Load() > 0 {
		b.Errorf("%d failed checks, %v", bad.Load(), err)
	}
}
