package health

import (
	"math/rand/v2"
	"testing"
	"time"
)

var allCauses = []Cause{CauseDNS, CauseRefused, CauseConnect, CauseTLS, CauseReset, CauseTimeout, CauseProtocol, CauseStatus, CauseBody, CauseNone, "odd"}

// FuzzDetector plays any sequence of results, events and times, out of order
// too, and checks what must always hold. Each step is two bytes: what, and
// when.
func FuzzDetector(f *testing.F) {
	f.Add([]byte{0, 10, 0, 10, 40, 10, 40, 10, 41, 10, 255, 200})
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, script []byte) { playRandom(t, script) })
}

func TestRandomEvidenceKeepsTheInvariants(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 0))
	for round := range 3000 {
		b := make([]byte, 2*rng.IntN(200))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		if playRandom(t, b); t.Failed() {
			t.Fatalf("seed %d, round %d", seed, round)
		}
	}
}

func playRandom(t *testing.T, script []byte) {
	d := NewDetector(simTarget, Policy{HoldBase: 2 * time.Second, HalfLife: time.Minute}, simStart)
	now := simStart
	var lastOK, heard time.Time
	prev := d.Verdict()
	for i := 0; i+1 < len(script); i += 2 {
		what, when := script[i], script[i+1]
		at := now.Add(step(when))
		var v Verdict
		var changed bool
		var newer bool
		switch {
		case what < 200:
			r := Result{Target: simTarget, At: at, Fresh: what&1 == 1, OK: what < 80}
			if !r.OK {
				r.Cause = allCauses[int(what)%len(allCauses)]
			}
			if r.OK && at.After(lastOK) {
				lastOK = at
			}
			if newer = at.After(heard); newer {
				heard = at
			}
			v, changed = d.Check(r)
		case what < 240:
			kind := []EventKind{Ejected, Readmitted, Tabled}[what%3]
			v, changed = d.Live(Event{Source: "data", Seq: uint64(what % 16), At: at, Kind: kind, Target: simTarget})
		default:
			v, changed = d.Tick(at)
		}
		if at.After(now) && what >= 240 || newer {
			now = at
		}
		checkStep(t, d, prev, v, changed)
		if v.State == Up && (lastOK.IsZero() || d.now.Sub(heard) > d.policy.StaleAfter) {
			t.Fatalf("up without a recent passed check: %s", v.Evidence)
		}
		prev = v
	}
}

// step turns a byte into a move of time: mostly small, sometimes back, rarely
// far.
func step(b byte) time.Duration {
	switch {
	case b < 20:
		return -time.Duration(b) * 300 * time.Millisecond
	case b > 250:
		return time.Duration(b) * time.Minute
	case b > 240:
		return time.Duration(b-240) * 4 * time.Second
	default:
		return time.Duration(b) * 10 * time.Millisecond
	}
}

func checkStep(t *testing.T, d *Detector, prev, v Verdict, changed bool) {
	t.Helper()
	if was := prev.State != v.State || prev.Cause != v.Cause; was != changed {
		t.Fatalf("changed = %t from %+v to %+v", changed, prev, v)
	}
	if v.Since.Before(prev.Since) || v.State == prev.State && !v.Since.Equal(prev.Since) {
		t.Fatalf("since went from %+v to %+v", prev, v)
	}
	if (v.State == Down || v.State == Degraded) != (v.Cause != CauseNone) {
		t.Fatalf("%s with cause %q", v.State, v.Cause)
	}
	now := d.Verdict()
	if now.State != v.State || now.Since != v.Since || now.Evidence == "" || v.Evidence == "" {
		t.Fatalf("Verdict() = %+v, last answer %+v", now, v)
	}
}

func BenchmarkDetectorCheck(b *testing.B) {
	d := NewDetector(simTarget, Policy{}, simStart)
	at := simStart
	for b.Loop() {
		at = at.Add(200 * time.Millisecond)
		d.Check(Result{Target: simTarget, At: at, OK: true})
	}
}
