package robustness_test

import (
	"testing"
	"time"
)

// TestHarnessSeesFailures takes both origins away: a ledger without a failure
// after that would be blind.
func TestHarnessSeesFailures(t *testing.T) {
	a, b := startOrigins(t, "nginx")
	s := startSpare(t, a, b, "")
	l := startLoad(t, s.http, mixed)
	time.Sleep(500 * time.Millisecond)
	a.run.kill()
	b.run.kill()
	time.Sleep(500 * time.Millisecond)
	all := l.stop()
	t.Log(all)
	if len(all.failures()) < 50 || all.from("alpha") < 50 {
		t.Errorf("the ledger holds %d failures", len(all.failures()))
	}
	for i := range all {
		if r := &all[i]; r.status == 503 && r.maybe != "false" {
			t.Errorf("an answer of Spare's own says nothing about the request's effect: %v", r)
		}
	}
}

// TestHarnessSeesLostConnections kills Spare itself.
func TestHarnessSeesLostConnections(t *testing.T) {
	a, b := startOrigins(t, "nginx")
	s := startSpare(t, a, b, "")
	l := startLoad(t, s.http, gets)
	time.Sleep(500 * time.Millisecond)
	s.run.kill()
	time.Sleep(300 * time.Millisecond)
	all := l.stop()
	t.Log(all)
	broken := 0
	for i := range all {
		if all[i].err != nil {
			broken++
		}
	}
	if broken < 30 {
		t.Errorf("the ledger holds %d broken connections", broken)
	}
}
