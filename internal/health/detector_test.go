package health

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/estate"
)

// bench drives a detector by a script. Each step happens a second after the
// one before.
//
//   - a keep-alive check passes        f+ ... on a new connection
//     timeout, refused, ...  it fails     f:timeout ... on a new connection
//     eject, readmit  the data path       tick, wait:DURATION  time passes
type bench struct {
	*testing.T
	d   *Detector
	now time.Time
	seq uint64
}

func newBench(t *testing.T, p Policy) *bench {
	now := time.Date(2025, 10, 20, 10, 0, 0, 0, time.UTC)
	return &bench{T: t, d: NewDetector(simTarget, p, now), now: now}
}

func (b *bench) play(script string) {
	b.Helper()
	for step := range strings.FieldsSeq(script) {
		b.now = b.now.Add(time.Second)
		before := b.d.Verdict()
		v, changed := b.step(step)
		if was := before.State != v.State || before.Cause != v.Cause; was != changed {
			b.Fatalf("step %s: changed = %t, but %s/%s -> %s/%s", step, changed, before.State, before.Cause, v.State, v.Cause)
		}
	}
}

func (b *bench) step(step string) (Verdict, bool) {
	if d, ok := strings.CutPrefix(step, "wait:"); ok {
		wait, err := time.ParseDuration(d)
		if err != nil {
			b.Fatal(err)
		}
		b.now = b.now.Add(wait - time.Second)
		return b.d.Tick(b.now)
	}
	switch step {
	case "tick":
		return b.d.Tick(b.now)
	case "eject", "readmit":
		b.seq++
		kind := map[string]EventKind{"eject": Ejected, "readmit": Readmitted}[step]
		return b.d.Live(Event{Source: "data", Seq: b.seq, At: b.now, Kind: kind, Target: simTarget, Cause: CauseReset})
	}
	r := Result{Target: simTarget, At: b.now, Latency: 12 * time.Millisecond}
	if rest, ok := strings.CutPrefix(step, "f"); ok && (rest == "+" || strings.HasPrefix(rest, ":")) {
		r.Fresh, step = true, strings.TrimPrefix(rest, ":")
	}
	r.OK = step == "+"
	if !r.OK {
		r.Cause = Cause(step)
	}
	return b.d.Check(r)
}

func (b *bench) want(s State, c Cause) {
	b.Helper()
	if v := b.d.Verdict(); v.State != s || v.Cause != c {
		b.Fatalf("got %s/%s, want %s/%s: %s", v.State, v.Cause, s, c, v.Evidence)
	}
}

func TestVerdict(t *testing.T) {
	tests := []struct {
		name, script string
		state        State
		cause        Cause
	}{
		{"nothing seen", "", Unknown, ""},
		{"first pass brings it up", "+", Up, ""},
		{"one failure proves nothing", "timeout", Unknown, ""},
		{"never passed, goes down", "timeout timeout timeout", Down, CauseTimeout},
		{"two failures in a row", "+ status status", Up, ""},
		{"three failures in a row", "+ status status status", Down, CauseStatus},
		{"a pass between", "+ status status + status status", Up, ""},
		{"one pass after down", "+ reset reset reset +", Down, CauseReset},
		{"two passes after down", "+ reset reset reset + +", Up, ""},
		{"two passes with a failure between", "+ reset reset reset + reset +", Down, CauseReset},
		{"mixed causes", "+ reset status body", Down, CauseBody},

		{"two refusals wait", "+ refused refused", Up, ""},
		{"confirmed by a new connection", "+ refused refused f:refused", Down, CauseRefused},
		{"denied by a new connection", "+ refused refused f+ refused refused", Up, ""},
		{"confirmed before the second check", "+ refused f:refused f:refused", Down, CauseRefused},
		{"never confirmed", "+ refused refused refused", Down, CauseRefused},

		{"new connections fail", "+ f:tls + f:tls + f:tls +", Degraded, CauseTLS},
		{"new connections fail twice", "+ f:dns + f:dns +", Up, ""},
		{"they work once", "+ f:tls f:tls f:tls f+", Degraded, CauseTLS},
		{"they work again", "+ f:tls f:tls f:tls f+ f+", Up, ""},
		{"and then all fails", "+ f:tls f:tls f:tls tls tls tls", Down, CauseTLS},
		{"back without a fresh attempt", "+ f:tls f:tls f:tls tls tls tls + +", Up, ""},
		{"only fresh attempts", "f+ f:timeout f:timeout f:timeout", Down, CauseTimeout},

		{"ejected with passing checks", "+ eject +", Degraded, CauseReset},
		{"ejected, then a failed check", "+ eject timeout", Down, CauseTimeout},
		{"a failed check, then ejected", "+ timeout eject", Down, CauseTimeout},
		{"ejected before any check", "eject", Degraded, CauseReset},
		{"readmission alone brings nothing up", "+ eject timeout readmit", Down, CauseTimeout},
		{"readmitted, one pass", "+ eject timeout readmit +", Down, CauseTimeout},
		{"readmitted, two passes", "+ eject timeout readmit + +", Up, ""},
		{"passes, still ejected", "+ eject timeout + + +", Degraded, CauseReset},
		{"passes, ejected, readmitted", "+ eject timeout + + + readmit", Up, ""},
		{"grey failure lingers", "+ eject + readmit +", Degraded, CauseReset},
		{"grey failure then one failure", "+ eject + readmit status", Degraded, CauseReset},
		{"readmitted without ejection", "+ readmit", Up, ""},
		{"an outage explains an ejection before it", "+ eject + readmit reset reset reset + +", Up, ""},

		{"results cease while up", "+ wait:10s", Unknown, ""},
		{"results cease while down", "+ body body body wait:10s", Unknown, ""},
		{"a failure after silence", "+ status status wait:10s status", Unknown, ""},
		{"a pass after silence", "+ wait:10s +", Up, ""},
		{"down, silent, one pass", "+ body body body wait:10s +", Unknown, ""},
		{"down, silent, two passes", "+ body body body wait:10s + +", Up, ""},
		{"down, silent, fails again", "+ body body body wait:10s body body body", Down, CauseBody},
		{"ejected, silent", "+ eject wait:10s", Degraded, CauseReset},
		{"an ejection that nobody took back", "+ eject wait:6m +", Up, ""},
		{"gap without a tick", "+ status status wait:1s", Up, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Policy{})
			b.play(tt.script)
			b.want(tt.state, tt.cause)
		})
	}
}

func TestRefusalsDoNotWaitForDownAfter(t *testing.T) {
	b := newBench(t, Policy{DownAfter: 6})
	b.play("+ refused refused f:refused")
	b.want(Down, CauseRefused)
	b = newBench(t, Policy{DownAfter: 6})
	b.play("+ refused refused refused refused refused")
	b.want(Up, "")
	b.play("refused")
	b.want(Down, CauseRefused)
}

func TestWantsFreshOnlyWhenItSettlesSomething(t *testing.T) {
	for script, want := range map[string]bool{
		"":                                false,
		"+ refused":                       false,
		"+ refused refused":               true,
		"+ timeout timeout":               false,
		"+ refused refused f:refused":     false,
		"+ refused refused f+":            false,
		"+ refused refused f:timeout":     false,
		"+ f:tls":                         true,
		"+ f:tls f:tls f:tls":             false,
		"+ f:tls f:tls f:tls f+":          true,
		"+ f:tls f:tls f:tls f+ f+":       false,
		"+ f:tls timeout":                 false, // keep-alive fails too: nothing to tell apart
		"f:timeout":                       false,
		"+ refused refused refused wait:": false,
	} {
		b := newBench(t, Policy{})
		b.play(strings.TrimSuffix(script, " wait:"))
		if got := b.d.WantsFresh(); got != want {
			t.Errorf("after %q: %t, want %t", script, got, want)
		}
	}
}

func TestGreyEjectionAgesOutAfterReadmission(t *testing.T) {
	b := newBench(t, Policy{EjectionAge: 5 * time.Second})
	b.play("+ eject + readmit + + + +")
	b.want(Degraded, CauseReset)
	b.play("+ +")
	b.want(Up, "")
}

func TestHoldDownDoublesWithEachFlap(t *testing.T) {
	b := newBench(t, Policy{HoldBase: 4 * time.Second, HoldMax: 20 * time.Second})
	b.play("+")
	// Up comes at the first check at or after the hold, counted from the last failure.
	for i, hold := range []int{4, 8, 16, 20, 20} {
		b.play("status status status")
		b.want(Down, CauseStatus)
		for range hold - 1 {
			b.play("+")
			b.want(Down, CauseStatus)
		}
		b.play("+")
		if v := b.d.Verdict(); v.State != Up {
			t.Fatalf("flap %d: %s after a hold of %d s: %s", i, v.State, hold, v.Evidence)
		}
	}
}

func TestHoldEndsByTick(t *testing.T) {
	b := newBench(t, Policy{HoldBase: 4 * time.Second})
	b.play("+ status status status + + tick")
	b.want(Down, CauseStatus)
	b.play("tick")
	b.want(Up, "")
}

func TestFlapsWhileHeldAreNotPassedOn(t *testing.T) {
	b := newBench(t, Policy{HoldBase: 8 * time.Second})
	b.play("+ status status status")
	changes := 0
	for range 20 {
		for _, step := range strings.Fields("+ + + + status status status") {
			b.now = b.now.Add(time.Second)
			if _, changed := b.step(step); changed {
				changes++
			}
		}
	}
	b.want(Down, CauseStatus)
	if changes != 0 {
		t.Errorf("%d changes passed on", changes)
	}
}

func TestStabilityForgivesFlaps(t *testing.T) {
	b := newBench(t, Policy{HoldBase: 2 * time.Second, HalfLife: time.Minute})
	b.play("+ status status status + + status status status + + + + status status status" + strings.Repeat(" +", 9))
	b.want(Up, "")
	b.play(strings.Repeat("+ ", 150)) // 3 flaps -> 1 -> 0
	b.play("status status status + +")
	b.want(Up, "")
}

func TestLossRaisesTheThresholdAndRefusalsDoNot(t *testing.T) {
	b := newBench(t, Policy{})
	for range 200 {
		b.play("+ + + + + + + + + timeout")
	}
	b.want(Up, "")
	b.play("timeout timeout timeout timeout timeout")
	b.want(Up, "")
	b.play("timeout timeout timeout")
	b.want(Down, CauseTimeout)
	b.play(strings.Repeat("+ ", 4) + "refused refused f:refused")
	b.want(Down, CauseRefused)
}

func TestManyStrayFailuresAreDegraded(t *testing.T) {
	b := newBench(t, Policy{})
	b.play(strings.Repeat("+ + + status ", 100))
	b.want(Degraded, CauseStatus)
	b.play(strings.Repeat("+ ", 600))
	b.want(Up, "")
}

func TestAlternatingCausesOfOneOutageAreNotNews(t *testing.T) {
	b := newBench(t, Policy{})
	b.play("+ timeout timeout timeout timeout")
	for range 50 {
		b.play("reset timeout refused reset")
		b.want(Down, CauseTimeout)
	}
	for range 50 {
		b.play("reset reset reset")
		b.want(Down, CauseTimeout)
		b.play("timeout timeout timeout")
	}
	b.play(strings.Repeat("refused ", 12))
	b.want(Down, CauseRefused)
}

func TestOldAndForeignEvidenceIsIgnored(t *testing.T) {
	b := newBench(t, Policy{})
	b.play("+ + status status")
	fail := Result{Target: simTarget, At: b.now.Add(-time.Second), Cause: CauseStatus}
	foreign := Result{Target: estate.Target{Service: "shop", Site: "belgium"}, At: b.now.Add(time.Second), Cause: CauseStatus}
	again := Result{Target: simTarget, At: b.now, Cause: CauseStatus}
	late := Result{Target: simTarget, At: b.now.Add(-time.Minute), Cause: CauseStatus, Fresh: true}
	for _, r := range []Result{fail, foreign, again, late} {
		if v, changed := b.d.Check(r); changed {
			t.Errorf("%+v changed the verdict to %s", r, v.State)
		}
	}
	for _, e := range []Event{
		{Source: "data", Seq: 1, Kind: Ejected, At: b.now, Target: foreign.Target},
		{Source: "data", Seq: 1, Kind: Tabled, At: b.now, Target: simTarget},
	} {
		if v, changed := b.d.Live(e); changed {
			t.Errorf("%+v changed the verdict to %s", e, v.State)
		}
	}
	b.want(Up, "")
	b.play("+ eject readmit")
	b.d.Live(Event{Source: "data", Seq: 1, Kind: Ejected, At: b.now, Target: simTarget})
	b.play("+ wait:31s +")
	b.want(Up, "")
}

func TestEventsFromAWrongClockDoNotMakeEvidenceStale(t *testing.T) {
	b := newBench(t, Policy{})
	b.play("+")
	b.d.Live(Event{Source: "data", Seq: 1, Kind: Ejected, At: b.now.Add(24 * time.Hour), Target: simTarget, Cause: CauseReset})
	b.play("+ + status")
	b.want(Down, CauseStatus)
}

func TestEvidenceIsReadable(t *testing.T) {
	for script, want := range map[string]string{
		"":                    "no check has ended yet",
		"+":                   "last check passed in 12ms (10:00:01.000)",
		"+ reset":             "1 check failed so far: connection closed before an answer (last 10:00:02.000)",
		"+ reset reset reset": "3 checks in a row failed: connection closed before an answer (last 10:00:04.000)",
		"+ eject +":           "taken out by live traffic at 10:00:02.000: connection closed before an answer; checks pass",
		"+ eject timeout": "taken out by live traffic at 10:00:02.000 (connection closed before an answer), " +
			"then a check failed: no answer in time (last 10:00:03.000)",
		"+ f:dns f:dns f:dns": "keep-alive checks pass, new connections fail: name did not resolve (last 10:00:04.000)",
		"+ wait:10s":          "no check has ended for 10s (last 10:00:01.000)",
		"+ body body body +":  "1 of 2 checks passed since the last failure: body cut, stalled or without the wanted text (last 10:00:04.000)",
		"timeout":             "not enough checks yet: 1 check failed: no answer in time (last 10:00:01.000)",
		"+ eject + readmit +": "back in live traffic since 10:00:04.000, taken out by live traffic at 10:00:02.000: connection closed before an answer; checks pass",
		"+ body body body + + body body body + +": "passes checks again; went down 2 times lately, held down until 10:00:11.000; " +
			"last failure: body cut, stalled or without the wanted text (last 10:00:09.000)",
	} {
		p := Policy{}
		if strings.Count(script, "body") > 3 {
			p.HoldBase = 1001 * time.Millisecond
			want = strings.Replace(want, "10:00:11.000", "10:00:11.002", 1)
		}
		b := newBench(t, p)
		b.play(script)
		if diff := cmp.Diff(want, b.d.Verdict().Evidence); diff != "" {
			t.Errorf("after %q (-want +got):\n%s", script, diff)
		}
	}
}

func TestEvidenceKeepsToOneLine(t *testing.T) {
	b := newBench(t, Policy{})
	b.d.Check(Result{Target: simTarget, At: b.now, Cause: CauseStatus, Detail: "503\r\n\x1b[31mfake entry" + strings.Repeat("é", 1000)})
	v := b.d.Verdict()
	if strings.ContainsAny(v.Evidence, "\r\n\x1b") || len(v.Evidence) > 300 {
		t.Errorf("evidence %q", v.Evidence)
	}
}
