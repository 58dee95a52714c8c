package robustness_test

import (
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// underLoad does something to a running Spare and wants no request to fail.
func underLoad(t *testing.T, bin string, do func(t *testing.T, s *spare, a, b *origin)) *spare {
	t.Helper()
	a, b := startOrigins(t, "nginx")
	s := newSpare(t, "  shop:\n"+pair(a.url(), b.url()))
	s.bin = bin
	s.start()
	l := startLoad(t, s.http, mixed)
	time.Sleep(time.Second)
	do(t, s, a, b)
	time.Sleep(time.Second)
	all := l.stop()
	all.wantNoFailure(t, 500)
	audit2(t, all, a, b)
	return s
}

// mixed is mostly reads, with an order now and then.
func mixed(n int) request {
	if n%5 == 0 {
		return posts(n)
	}
	return gets(n)
}

// audit2 wants no order to have arrived twice.
func audit2(t *testing.T, all ledger, origins ...*origin) {
	t.Helper()
	seen := counts(origins...)
	for i := range all {
		if r := &all[i]; r.req.method == "POST" && seen["POST "+r.req.target] > 1 {
			t.Errorf("arrived %d times: %v", seen["POST "+r.req.target], r)
		}
	}
}

// actions are what an operator, or a crash, does to Spare itself.
var actions = []struct {
	name string
	do   func(t *testing.T, s *spare, a, b *origin)
}{
	{"reload", reloadTwice},
	{"bad file", refuseBadFile},
	{"SIGUSR2", replaceBinary},
	{"kill -9 of control", killControl},
	{"kill -9 of the supervisor", killSupervisor},
}

func TestNothingDoneToSpareCostsARequest(t *testing.T) {
	for _, one := range actions {
		t.Run(one.name, func(t *testing.T) { underLoad(t, binary, one.do) })
	}
}

// TestNoDataRace does the same to a Spare built with the race detector.
func TestNoDataRace(t *testing.T) {
	if !nightly {
		t.Skip("nightly: it builds Spare with the race detector")
	}
	bin := raceBinary(t)
	for _, one := range actions {
		t.Run(one.name, func(t *testing.T) {
			s := underLoad(t, bin, one.do)
			s.stop()
			if log := s.log(); strings.Contains(string(log), "DATA RACE") {
				t.Errorf("data race:\n%s", log)
			}
		})
	}
}

func reloadTwice(t *testing.T, s *spare, a, b *origin) {
	for i, more := range []string{"    cost_per_hour: 100\n", "    cost_per_hour: 200\n    limits: {timeout: 20s}\n"} {
		s.write("  shop:\n" + pair(a.url(), b.url()) + more)
		s.tell(syscall.SIGHUP)
		n := 0
		waitFor(t, "the reload in the journal", func() bool {
			n = 0
			for _, e := range s.journal() {
				if e.Kind == "reload" && e.Level == "info" {
					n++
				}
			}
			return n > i
		})
	}
}

func refuseBadFile(t *testing.T, s *spare, a, b *origin) {
	good, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, s.config, strings.Replace(string(good), "origins:", "orgins:", 1))
	s.tell(syscall.SIGHUP)
	e := s.recorded("the refusal", func(e entry) bool { return e.Kind == "reload" && e.Level == "error" })
	if !strings.Contains(e.Message, "orgins") || !strings.Contains(e.Message, "origins") || !strings.Contains(e.Message, "spare.yaml:9:5") {
		t.Errorf("the journal does not say what is wrong, and where: %q", e.Message)
	}
	st, err := s.status()
	if err != nil || !strings.Contains(st.Config.Error, "orgins") {
		t.Errorf("the status does not say what is wrong: %q, %v", st.Config.Error, err)
	}
	out, msg, code := s.cli("status", "--json", "--api", "http://"+s.api)
	var doc status
	if err := json.Unmarshal([]byte(out), &doc); code != 0 || err != nil || !strings.Contains(doc.Config.Error, "orgins") {
		t.Errorf("spare status --json: exit %d, %s%s", code, out, msg)
	}
	if len(st.Services) != 1 || st.Services[0].State != "up" {
		t.Errorf("the file before is not in force: %+v", st.Services)
	}
	writeFile(t, s.config, string(good))
	s.tell(syscall.SIGHUP)
	waitFor(t, "the error to be gone", func() bool {
		st, err := s.status()
		return err == nil && st.Config.Error == ""
	})
}

func replaceBinary(t *testing.T, s *spare, a, b *origin) {
	for range rounds(3, 20) {
		data, control := s.child("data"), s.child("control")
		s.tell(syscall.SIGUSR2)
		waitFor(t, "both processes to be others", func() bool {
			d, c := s.child("data"), s.child("control")
			return d != 0 && c != 0 && d != data && c != control && !alive(data)
		})
	}
}

func killControl(t *testing.T, s *spare, a, b *origin) {
	for range rounds(3, 10) {
		s.waitChild("control", s.killChild("control"))
		time.Sleep(300 * time.Millisecond)
	}
	s.waitReady()
}

func killSupervisor(t *testing.T, s *spare, a, b *origin) {
	for range rounds(2, 10) {
		s.waitReady()
		old, data := s.run, s.child("data")
		if err := syscall.Kill(old.pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		if !alive(data) {
			t.Fatal("the data process died with its supervisor")
		}
		s.exec()
		s.waitChild("data", 0)
		s.waitReady()
		old.waitGone()
	}
}
