package replica

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The simulator. Several gateways, each a Bucket of its own, work over the same
// members in one synctest bubble. Every call of a driver parks at a gate
// (sim_gate_test.go); a scheduler waits until nothing moves, sorts what is
// parked by names that do not depend on goroutines, and lets one event happen
// that the seed chooses (sim_schedule_test.go, sim_fate_test.go): so a seed
// decides a history. What clients saw is checked for linearizability with
// porcupine, and what members hold with invariants (sim_check_test.go). Defects
// that are built in between show that the checks find them (sim_mutant_test.go).
//
//	go test -run Linearizable -sim.seed 637 ./internal/blob/replica
//	SPARE_SIM=100000 go test -timeout 2h -run Linearizable ./internal/blob/replica
var simSeed = flag.Uint64("sim.seed", 0, "run this one schedule of the simulator and print its events")

// schedules gives how many to run: SPARE_SIM says so, or fallback; fewer with
// the race detector, and twenty times as many at night.
func schedules(t *testing.T, fallback int) uint64 {
	t.Helper()
	if s := os.Getenv("SPARE_SIM"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("SPARE_SIM: %v", err)
		}
		return uint64(n)
	}
	switch {
	case simRaces:
		return uint64(fallback * 3 / 50)
	case os.Getenv("SPARE_NIGHTLY") != "":
		return uint64(fallback * 20)
	}
	return uint64(fallback)
}

// simulate runs the schedule that the seed stands for.
func simulate(t *testing.T, seed uint64, mutant *simMutant, logging bool) *simRun {
	t.Helper()
	run := &simRun{}
	var shape func(*simPlan)
	if mutant != nil {
		shape = mutant.shape
	}
	synctest.Test(t, func(*testing.T) {
		w := newSimWorld(newSimPlan(seed, shape), mutant)
		w.logging = logging
		w.run()
		if !w.plan.wipes {
			w.rest("before repair", w.plan.faultless() && !w.plan.adopt)
		}
		w.readAll(simAtRest)
		w.shut()
		w.rest(simAtRest, true)
		if w.probe != nil {
			w.probe.read(w)
			run.probe = w.probe
		}
		for _, g := range w.gates {
			run.counts = append(run.counts, g.b.counts())
		}
		run.plan, run.history, run.broken, run.events, run.steps = w.plan, w.history, w.broken, w.events, w.step
	})
	return run
}

func (r *simRun) String() string {
	var b strings.Builder
	p := r.plan
	fmt.Fprintf(&b, "seed %d: %d members, %d with bodies, tags %v, degraded %v, grace %v, adopt %v\n", p.seed, p.members, p.data, p.tags, p.degraded, p.timing.Grace, p.adopt)
	for _, e := range r.events {
		fmt.Fprintln(&b, e)
	}
	for _, o := range r.history {
		fmt.Fprintln(&b, o)
	}
	if r.probe != nil {
		for _, o := range r.probe.reads {
			fmt.Fprintf(&b, "without %v: %v\n", r.probe.lost, o)
		}
	}
	return b.String()
}

func TestHistoriesAreLinearizable(t *testing.T) {
	if *simSeed != 0 {
		r := simulate(t, *simSeed, nil, true)
		t.Logf("%v\n%s", r, r.verdict())
		if r.verdict() != "" {
			t.Fail()
		}
		return
	}
	began := time.Now()
	n := schedules(t, 5000)
	var steps, done atomic.Uint64
	workers := uint64(runtime.GOMAXPROCS(0))
	t.Run("", func(t *testing.T) {
		for first := range workers {
			t.Run(fmt.Sprint(first), func(t *testing.T) {
				t.Parallel()
				for seed := 1 + first; seed <= n; seed += workers {
					r := simulate(t, seed, nil, false)
					steps.Add(uint64(r.steps))
					done.Add(1)
					if bad := r.verdict(); bad != "" {
						t.Fatalf("%s\n%v\n-sim.seed %d shows it again", bad, simulate(t, seed, nil, true), seed)
					}
				}
			})
		}
	})
	took := time.Since(began)
	t.Logf("%d schedules, %d steps, %v: %.0f schedules a second", done.Load(), steps.Load(), took.Round(time.Millisecond), float64(done.Load())/took.Seconds())
}

func TestSeedDecidesAll(t *testing.T) {
	n := uint64(100)
	if simRaces {
		n = 20
	}
	for seed := range n {
		a, b := simulate(t, seed+1, nil, true).String(), simulate(t, seed+1, nil, true).String()
		if a == b {
			continue
		}
		as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
		for i := range as {
			if i >= len(bs) || as[i] != bs[i] {
				t.Fatalf("seed %d: line %d differs:\n%s\n%s\nafter\n%s", seed+1, i, as[i], bs[min(i, len(bs)-1)], strings.Join(as[max(0, i-20):i], "\n"))
			}
		}
	}
}
