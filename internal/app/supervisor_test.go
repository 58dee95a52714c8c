package app_test

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// noneFailed ends the load and demands that every request was answered.
func noneFailed(t *testing.T, l *load) {
	t.Helper()
	if failed, why := l.end(); failed > 0 {
		t.Fatalf("%d of %d requests failed: %v", failed, l.sent.Load(), why)
	}
}

func TestServesAndStopsInOrder(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.supervise()
	s.waitFor("the table from control", func() bool { st := s.get(); return st != nil && st.epoch == 7 && st.linked })
	pids := s.processes()
	if len(pids) != 3 {
		t.Fatalf("processes: %v", pids)
	}
	s.signal(syscall.SIGTERM)
	if err := s.ended(); err != nil {
		t.Fatalf("after SIGTERM: %v", err)
	}
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d outlives its supervisor", pid)
		}
	}
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("the address still answers")
	}
}

func TestSignalsForTheSupervisorDoNotHurtTheChildren(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.supervise()
	data, control := s.dataPID(), s.controlPID()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2} {
		for _, pid := range []int{data, control} {
			if err := syscall.Kill(pid, sig); err != nil {
				t.Fatal(err)
			}
		}
	}
	time.Sleep(100 * time.Millisecond)
	if s.dataPID() != data || !alive(control) {
		t.Fatal("a child was restarted")
	}
}

func TestHangupReachesControl(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.supervise()
	s.controlPID()
	s.signal(syscall.SIGHUP)
	s.waitFor("the reload", func() bool { return len(notes(s.dir, "reloads")) == 1 })
}

func TestKilledControlCostsNoRequestAndIsRestarted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.supervise()
	data := s.dataPID()
	l := s.load(20)
	for range 2 {
		old := s.controlPID()
		kill(t, old)
		s.waitFor("another control", func() bool { return s.controlPID() != old })
	}
	s.waitFor("the link", func() bool { st := s.get(); return st != nil && st.linked })
	noneFailed(t, l)
	if s.dataPID() != data {
		t.Fatal("the data process was restarted as well")
	}
}

func TestConnectionsWaitWhileAKilledDataProcessIsRestarted(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.supervise()
	l := s.load(20)
	for range 3 {
		old := s.dataPID()
		kill(t, old)
		s.waitFor("another data process", func() bool { st := s.get(); return st != nil && st.pid != old })
	}
	_, why := l.end()
	for e, n := range why {
		// A connection in the killed process may break, a new one waits.
		if strings.HasPrefix(e, "dial") || n > 3*20 {
			t.Errorf("%d times %s", n, e)
		}
	}
}

func TestUpgradeUnderLoadFailsNoRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.supervise()
	l := s.load(50)
	for range 2 {
		data, control := s.dataPID(), s.controlPID()
		s.signal(syscall.SIGUSR2)
		s.waitFor("the old processes' end", func() bool { return !alive(data) && !alive(control) })
		s.waitFor("the new control", func() bool { return s.controlPID() != control })
	}
	noneFailed(t, l)
	if len(l.pids) != 3 {
		t.Fatalf("answers by process: %v", l.pids)
	}
}

func TestRequestsUnderWayOutliveAnUpgrade(t *testing.T) {
	t.Parallel()
	s := newSite(t, "TEST_DELAY=1.5")
	s.supervise()
	old := s.dataPID()
	answers := make(chan *status, 5)
	for range cap(answers) {
		go func() { answers <- s.get() }()
	}
	time.Sleep(300 * time.Millisecond)
	s.signal(syscall.SIGUSR2)
	for range cap(answers) {
		if st := <-answers; st == nil || st.pid != old {
			t.Errorf("got %+v, want an answer of process %d", st, old)
		}
	}
	s.waitFor("the old process's end", func() bool { return !alive(old) })
}

func TestUpgradeToABinaryThatDoesNotWorkIsCalledOff(t *testing.T) {
	for name, script := range map[string]string{"ends": "exit 1", "hangs": "exec sleep 60"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "TEST_READY=0.7")
			s.supervise()
			data, control := s.dataPID(), s.controlPID()
			l := s.load(10)
			s.script(script)
			s.signal(syscall.SIGUSR2)
			s.waitFor("the failure's report", func() bool {
				return s.logged(`"data process not replaced, the old one goes on"`)
			})
			if s.dataPID() != data || !alive(control) {
				t.Fatal("an old process is gone")
			}
			if n := len(s.processes()); n != 3 {
				t.Fatalf("%d processes", n)
			}
			s.install(os.Args[0])
			s.signal(syscall.SIGUSR2) // a good one is taken after that
			s.waitFor("the upgrade", func() bool { return !alive(data) })
			noneFailed(t, l)
		})
	}
}

func TestNewSupervisorAdoptsWhatAKilledOneLeft(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.supervise()
	l := s.load(50)
	for range 2 {
		data, control := s.dataPID(), s.controlPID()
		kill(t, s.sup.Process.Pid)
		_ = s.ended()
		s.waitFor("control's end", func() bool { return !alive(control) })
		if s.dataPID() != data {
			t.Fatal("the orphan does not serve")
		}
		s.supervise()
		s.waitFor("the orphan's end", func() bool { return !alive(data) })
		s.waitFor("the new control", func() bool { return s.controlPID() != control })
	}
	noneFailed(t, l)
	if len(l.pids) != 3 {
		t.Fatalf("answers by process: %v", l.pids)
	}
}

func TestOrphanThatNobodyAdoptsDrainsAndEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, "TEST_ORPHAN=1")
	s.supervise()
	data := s.dataPID()
	kill(t, s.sup.Process.Pid)
	_ = s.ended()
	if s.dataPID() != data {
		t.Fatal("the orphan does not serve")
	}
	s.waitFor("the orphan's end", func() bool { return !alive(data) })
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("the address still answers")
	}
	s.supervise() // nothing stands in the way of the next
}

func TestSupervisorKilledInTheMiddleOfAnUpgrade(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.supervise()
	l := s.load(20)
	for _, after := range []time.Duration{0, 10, 50, 200} {
		s.signal(syscall.SIGUSR2)
		time.Sleep(after * time.Millisecond)
		kill(t, s.sup.Process.Pid)
		_ = s.ended()
		s.supervise()
		s.waitFor("three processes", func() bool { return len(s.processes()) == 3 })
	}
	noneFailed(t, l)
}

func TestSecondSupervisorIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.supervise()
	out, err := s.command().CombinedOutput()
	if err == nil || !strings.Contains(string(out), "kind=conflict") ||
		!strings.Contains(string(out), "process "+pidText(s)) {
		t.Fatalf("got %v: %s", err, out)
	}
}

func TestAddressOfAnotherProgramIsAClearError(t *testing.T) {
	t.Parallel()
	s := newSite(t, "TEST_ADOPT=0.3")
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	out, err := s.command().CombinedOutput()
	if err == nil || !strings.Contains(string(out), "kind=conflict") || !strings.Contains(string(out), s.addr) {
		t.Fatalf("got %v: %s", err, out)
	}
}

func TestDataWithoutATableIsReadyWithTheFirstOne(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, name := range []string{"table.json", "table.json.1"} {
		_ = os.Remove(s.path(name))
	}
	s.supervise()
	if st := s.get(); st.epoch != 7 {
		t.Fatalf("got %+v", st)
	}
	s.waitFor("the table on disk", func() bool { _, err := os.Stat(s.path("table.json")); return err == nil })
	s.waitFor("readiness", func() bool { return s.logged(`"child ready" in=supervisor role=data`) })
	s.waitFor("the events", func() bool { return strings.Join(notes(s.dir, "events"), " ") == "started tabled" })
}

func TestEverythingKilledServesAgainFromDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, "TEST_CONTROL=mute")
	s.supervise()
	for _, pid := range append(s.processes(), s.sup.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = s.ended()
	s.waitFor("the end of all", func() bool { return len(s.processes()) == 0 })
	s.supervise()
	if st := s.get(); st.epoch != 5 || st.linked {
		t.Fatalf("got %+v", st)
	}
}
