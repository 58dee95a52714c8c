package robustness_test

import (
	"net/http"
	"syscall"
	"testing"
	"time"
)

// audit compares the ledger with what the origins say that they got.
func audit(t *testing.T, all ledger, origins ...*origin) {
	t.Helper()
	seen := counts(origins...)
	failed, lost, applied := 0, 0, 0
	for i := range all {
		r := &all[i]
		n := seen[r.req.method+" "+r.req.target]
		switch {
		case n > 1:
			t.Errorf("arrived %d times: %v", n, r)
		case r.fine() && n == 0 && origins[0].kind == "node":
			t.Errorf("answered, but arrived nowhere: %v", r)
		}
		if r.took > time.Second {
			t.Logf("slow: %v", r)
		}
		if r.status/100 == 2 {
			continue
		}
		failed++
		switch r.maybe {
		case "true":
			applied += n
		case "false":
			if n != 0 {
				t.Errorf("said not to be applied, but arrived: %v", r)
			}
		default:
			lost++
			t.Errorf("no 2xx, and nothing about its effect: %v", r)
		}
	}
	took, _ := all.longest()
	t.Logf("%d POSTs, %d without 2xx (of which %d had arrived, %d said nothing), longest response %v", len(all), failed, applied, lost, took.Round(time.Millisecond))
	if len(all) < 500 || len(seen) == 0 {
		t.Error("the load did not run")
	}
}

func TestNoPostArrivesTwice(t *testing.T) {
	faults := map[string]func(t *testing.T, o *origin){
		"kill": func(t *testing.T, o *origin) {
			o.run.kill()
			time.Sleep(1500 * time.Millisecond)
			o.start()
			time.Sleep(time.Second)
		},
		"freeze": func(t *testing.T, o *origin) {
			o.run.signal(syscall.SIGSTOP)
			time.Sleep(2 * time.Second)
			o.run.signal(syscall.SIGCONT)
			time.Sleep(time.Second)
		},
	}
	for _, c := range []struct{ kind, fault string }{{"node", "kill"}, {"node", "freeze"}, {"nginx", "kill"}, {"nginx", "freeze"}} {
		t.Run(c.kind+" "+c.fault, func(t *testing.T) {
			a, b := startOrigins(t, c.kind)
			s := startSpare(t, a, b, "    limits: {timeout: 3s}\n")
			l := startLoad(t, s.http, posts)
			time.Sleep(time.Second)
			for range rounds(1, 5) {
				faults[c.fault](t, a)
			}
			all := l.stop()
			time.Sleep(300 * time.Millisecond) // the origin reads what waited for it
			audit(t, all, a, b)
		})
	}
}

// TestKeyedPostIsNotRepeatedWithoutConsent sends an Idempotency-Key to a
// service that never agreed to repeats.
func TestKeyedPostIsNotRepeatedWithoutConsent(t *testing.T) {
	a, b := startOrigins(t, "node")
	s := startSpare(t, a, b, "")
	l := startLoad(t, s.http, func(n int) request {
		q := posts(n)
		q.fields = "Idempotency-Key: " + q.target + "\r\n"
		return q
	})
	time.Sleep(time.Second)
	a.run.kill()
	time.Sleep(1500 * time.Millisecond)
	audit(t, l.stop(), a, b)
}

// TestRefusedPostsGoOn checks that a POST of which nothing was sent is no
// loss: after the first moment every POST is served by the other origin.
func TestRefusedPostsGoOn(t *testing.T) {
	a, b := startOrigins(t, "node")
	s := startSpare(t, a, b, "")
	a.run.kill()
	for n := range 50 {
		if r := once(s.http, posts(n)); r.status != http.StatusCreated || r.origin != "beta" {
			t.Errorf("POST to a dead origin, nothing sent: %v", &r)
		}
	}
}
