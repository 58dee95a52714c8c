package robustness_test

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// warmUp is how long a load runs before anything is done to it.
const warmUp = 1500 * time.Millisecond

func TestKilledOriginCostsNoRead(t *testing.T) {
	for _, kind := range []string{"nginx", "node"} {
		t.Run(kind, func(t *testing.T) {
			a, b := startOrigins(t, kind)
			s := startSpare(t, a, b, "")
			l := startLoad(t, s.http, gets)
			time.Sleep(warmUp)
			a.run.kill()
			time.Sleep(2 * time.Second)
			a.start()
			time.Sleep(1500 * time.Millisecond)
			all := l.stop()
			all.wantNoFailure(t, 1000)
			if all.from("alpha") == 0 || all.from("beta") == 0 {
				t.Error("the traffic did not move: the test shows nothing")
			}
		})
	}
}

// TestBothOriginsKilledInTurn kills the origin in charge again and again: the
// other one is back before the next.
func TestBothOriginsKilledInTurn(t *testing.T) {
	if !nightly {
		t.Skip("nightly: it waits for origins to return")
	}
	a, b := startOrigins(t, "nginx")
	s := startSpare(t, a, b, "")
	l := startLoad(t, s.http, gets)
	time.Sleep(warmUp)
	for i := range 10 {
		o := []*origin{a, b}[i%2]
		o.run.kill()
		time.Sleep(time.Second)
		o.start()
		waitFor(t, "both origins in rotation", func() bool {
			x, y := s.origin("alpha"), s.origin("beta")
			return x.State == "up" && y.State == "up" && !x.Ejected && !y.Ejected
		})
	}
	l.stop().wantNoFailure(t, 1000)
}

// frozen is one run of the frozen origin: 0 failed reads, and what it took.
func frozen(t *testing.T, kind string) (longest time.Duration) {
	t.Helper()
	a, b := startOrigins(t, kind)
	s := startSpare(t, a, b, "")
	l := startLoad(t, s.http, gets)
	time.Sleep(warmUp)
	a.run.signal(syscall.SIGSTOP)
	stopped := time.Now()
	time.Sleep(3500 * time.Millisecond)
	all := l.stop()
	a.run.signal(syscall.SIGCONT)
	time.Sleep(500 * time.Millisecond) // it reads what waited for it
	all.wantNoFailure(t, 1000)
	took, late := all.after(stopped.Add(-time.Second)).longest()
	if took > time.Second || late > time.Second {
		t.Errorf("longest response %v, from when it was due %v; want under 1 s", took, late)
	}
	strays := arrived(a, all, func(r record) bool { return r.sent.After(stopped.Add(time.Second)) })
	before := arrived(a, all, func(r record) bool { return r.sent.After(stopped) })
	t.Logf("%s frozen: %d requests sent to it after that, %d later than 1 s after; longest response %v", kind, len(before), len(strays), took.Round(time.Millisecond))
	if len(strays) > 0 {
		t.Errorf("%d requests of later than 1 s after the freeze were sent to the frozen origin, such as %v", len(strays), strays[0])
	}
	if len(before) == 0 && all.from("alpha") == 0 {
		t.Error("the origin never had traffic: the test shows nothing")
	}
	return took
}

// arrived gives the requests that ok accepts and that reached the origin.
func arrived(o *origin, all ledger, ok func(record) bool) []string {
	by := map[string]record{}
	for _, r := range all {
		by[r.req.method+" "+r.req.target] = r
	}
	var list []string
	for _, line := range o.requests() {
		if r, known := by[line]; known && ok(r) {
			list = append(list, line)
		}
	}
	return list
}

func TestFrozenOriginCostsNoRead(t *testing.T) {
	for _, kind := range []string{"nginx", "node"} {
		t.Run(kind, func(t *testing.T) {
			n, quick := repeats(), 0
			for i := range n {
				if t.Run(strconv.Itoa(i), func(t *testing.T) {
					if frozen(t, kind) < 400*time.Millisecond {
						quick++
					}
				}); t.Failed() {
					break
				}
			}
			t.Logf("%d of %d runs answered everything in under 400 ms", quick, n)
		})
	}
}

// repeats is how often the frozen origin is tried: SPARE_REPEAT, or a default.
func repeats() int {
	if n, err := strconv.Atoi(os.Getenv("SPARE_REPEAT")); err == nil && n > 0 {
		return n
	}
	return rounds(1, 10)
}

// TestFrozenOriginReturns checks that an origin that is thawed serves again,
// and gets nothing that nobody sent.
func TestFrozenOriginReturns(t *testing.T) {
	if !nightly {
		t.Skip("nightly: it waits for origins to return")
	}
	a, b := startOrigins(t, "nginx")
	s := startSpare(t, a, b, "")
	l := startLoad(t, s.http, gets)
	time.Sleep(warmUp)
	a.run.signal(syscall.SIGSTOP)
	waitFor(t, "the verdict", func() bool { return s.origin("alpha").State == "down" })
	a.run.signal(syscall.SIGCONT)
	thawed := time.Now()
	waitFor(t, "the return", func() bool { return once(s.http, gets(1_000_000)).origin == "alpha" })
	t.Logf("serves again %v after the thaw", time.Since(thawed).Round(time.Millisecond))
	l.stop().wantNoFailure(t, 500)
	for _, r := range a.requests() {
		if !strings.HasPrefix(r, "GET /page?n=") {
			t.Errorf("the origin got a request that nobody sent: %q", r)
		}
	}
}
