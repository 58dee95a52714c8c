package robustness_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fenceHook counts what it is told.
type fenceHook struct {
	*httptest.Server
	mu    sync.Mutex
	calls []time.Time
	said  []string
}

func newFence(t *testing.T) *fenceHook {
	t.Helper()
	f := &fenceHook{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.calls, f.said = append(f.calls, time.Now()), append(f.said, r.Method+" "+string(b))
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fenceHook) list() ([]time.Time, []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]time.Time(nil), f.calls...), append([]string(nil), f.said...)
}

// TestWritesMoveOnlyAfterConfirmationAndFence kills the one site that takes
// writes.
func TestWritesMoveOnlyAfterConfirmationAndFence(t *testing.T) {
	a, b := startOrigins(t, "node")
	fence := newFence(t)
	s := startSpare(t, a, b, fmt.Sprintf("    writes: one_site\n    confirm: 3s\n    fence: {url: %q}\n", fence.URL))
	l := startLoadOf(t, s.http, 100, 30, posts)
	reads := startLoadOf(t, s.http, 100, 30, gets)
	time.Sleep(time.Second)
	killed := time.Now()
	a.run.kill()
	waitFor(t, "an order at the spare", func() bool { return count(b.requests(), "POST ") > 0 })
	time.Sleep(time.Second)
	all := l.stop()
	audit(t, all, a, b)
	reads.stop().wantNoFailure(t, 300)

	var first record // answered by the spare
	refused := 0
	for _, r := range all {
		switch {
		case r.origin == "beta" && (first.sent.IsZero() || r.sent.Before(first.sent)):
			first = r
		case r.status == http.StatusServiceUnavailable && r.maybe == "false":
			refused++
		}
	}
	calls, said := fence.list()
	if len(calls) != 1 || first.sent.IsZero() || calls[0].After(first.sent.Add(first.took)) {
		t.Fatalf("the fence was called %d times: %v; the spare's first order was answered at %v", len(calls), said, first.sent)
	}
	if !strings.Contains(said[0], `"from":"alpha"`) || !strings.Contains(said[0], `"to":"beta"`) {
		t.Errorf("the fence was told %s", said[0])
	}
	wait := calls[0].Sub(killed)
	t.Logf("fence called %v after the kill, first order at the spare after %v, %d orders refused meanwhile", wait.Round(time.Millisecond),
		first.sent.Add(first.took).Sub(killed).Round(time.Millisecond), refused)
	if wait < 2500*time.Millisecond {
		t.Errorf("writes moved %v after the kill; confirm is 3s", wait)
	}
	if refused == 0 {
		t.Error("no order was refused with 503 and false before the move")
	}
	returnsByHandOnly(t, s, a)
}

func count(list []string, prefix string) int {
	n := 0
	for _, s := range list {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

func returnsByHandOnly(t *testing.T, s *spare, a *origin) {
	a.start()
	waitFor(t, "the first site to be up", func() bool { return s.origin("alpha").State == "up" })
	time.Sleep(time.Second)
	for n := range 20 {
		if r := once(s.http, posts(100_000+n)); r.origin != "beta" {
			t.Fatalf("writes went back by themselves: %v", &r)
		}
	}
	var out, msg string
	var code int
	waitFor(t, "the failback to be accepted", func() bool {
		out, msg, code = s.cli("service", "failback", "shop", "--reason", "test")
		return code == 0
	})
	waitFor(t, "an order at the first site", func() bool { return once(s.http, posts(200_000+int(time.Now().UnixNano()%1e9))).origin == "alpha" })
	t.Logf("failback: %s%s", out, msg)
	s.recorded("the failback", func(e entry) bool { return e.Kind == "switch" && e.Site == "alpha" })
}

// TestShortPauseCostsNoWrite stops the writing site for less than a tenth of a
// second, as a garbage collector does.
func TestShortPauseCostsNoWrite(t *testing.T) {
	for _, writes := range []string{"anywhere", "one_site"} {
		t.Run(writes, func(t *testing.T) {
			a, b := startOrigins(t, "node")
			s := startSpare(t, a, b, "    writes: "+writes+"\n")
			l := startLoad(t, s.http, mixed)
			time.Sleep(time.Second)
			for range rounds(3, 10) {
				a.run.signal(syscall.SIGSTOP)
				time.Sleep(80 * time.Millisecond)
				a.run.signal(syscall.SIGCONT)
				time.Sleep(500 * time.Millisecond)
			}
			time.Sleep(time.Second)
			all := l.stop()
			all.wantNoFailure(t, 500)
			audit2(t, all, a, b)
			for _, e := range s.journal() {
				if e.Kind == "eject" {
					t.Logf("ejected for a pause of 80 ms: %s", e.Message)
				}
			}
		})
	}
}
