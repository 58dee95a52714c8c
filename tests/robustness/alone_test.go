package robustness_test

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDataFailsOverWithoutControl kills the origin in charge while there is no
// control process, and brings it back: the data process ejects and readmits on
// its own, and control learns of both, with their true times, once it is back.
func TestDataFailsOverWithoutControl(t *testing.T) {
	a, b := startOrigins(t, "nginx")
	s := startSpare(t, a, b, "")
	l := startLoad(t, s.http, gets)
	time.Sleep(time.Second)
	s.tell(syscall.SIGSTOP) // a stopped supervisor restarts nothing
	s.killChild("control")

	killed := time.Now()
	a.run.kill()
	waitFor(t, "the other origin to serve", func() bool { return once(s.http, gets(-1)).origin == "beta" })
	moved := time.Now()
	time.Sleep(time.Second)
	a.start()
	waitFor(t, "the first origin to serve again, without control", func() bool { return once(s.http, gets(-1)).origin == "alpha" })
	back := time.Now()
	t.Logf("back in rotation %v after the kill, with no control", back.Sub(killed).Round(time.Millisecond))
	if s.child("control") != 0 {
		t.Fatal("there was a control process: the test shows nothing")
	}

	time.Sleep(2 * time.Second) // so that "when it happened" and "when it was written down" differ
	resumed := time.Now()
	s.tell(syscall.SIGCONT)
	s.waitReady()
	s.recorded("the readmission", func(e entry) bool { return e.Kind == "readmit" && e.Site == "alpha" && e.Recorded.After(resumed) })
	all := l.stop()
	all.wantNoFailure(t, 1000)
	for _, want := range []struct {
		kind       string
		from, till time.Time
	}{{"eject", killed, moved.Add(time.Second)}, {"readmit", moved, back.Add(time.Second)}} {
		found := 0
		for _, e := range s.journal() {
			if e.Kind != want.kind || e.Site != "alpha" || e.At.Before(killed.Add(-100*time.Millisecond)) {
				continue
			}
			found++
			t.Logf("%s at %s, recorded %v later: %s", e.Kind, e.At.Format("15:04:05.000"), e.Recorded.Sub(e.At).Round(time.Millisecond), e.Message)
			if e.At.Before(want.from) || e.At.After(want.till) || e.Recorded.Before(resumed) {
				t.Errorf("%s happened between %s and %s; the journal says %s, recorded %s", e.Kind,
					want.from.Format("15:04:05.000"), want.till.Format("15:04:05.000"), e.At.Format("15:04:05.000"), e.Recorded.Format("15:04:05.000"))
			}
		}
		if found == 0 {
			t.Errorf("no %s entry", want.kind)
		}
	}
}

// TestControlKilledOverAndOver keeps control from ever being of use while the
// origins die in turn.
func TestControlKilledOverAndOver(t *testing.T) {
	a, b := startOrigins(t, "nginx")
	s := startSpare(t, a, b, "")
	l := startLoad(t, s.http, gets)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-quit:
				return
			case <-time.After(50 * time.Millisecond):
				if pid := s.child("control"); pid != 0 {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
	}()
	time.Sleep(time.Second)
	a.run.kill()
	time.Sleep(1500 * time.Millisecond)
	a.start()
	waitFor(t, "the origin that returned to serve", func() bool { return once(s.http, gets(-1)).origin == "alpha" })
	b.run.kill()
	time.Sleep(time.Second)
	close(quit)
	<-ended
	l.stop().wantNoFailure(t, 1000)
	s.waitReady()
	if n := strings.Count(string(s.log()), "child died"); n < 3 {
		t.Errorf("control died only %d times: the test shows nothing", n)
	}
}
