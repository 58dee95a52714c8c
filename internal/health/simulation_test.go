package health

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	simDays = flag.Float64("sim.days", 0.5, "simulated days per row of TestSimulation")
	simSeed = flag.Uint64("sim.seed", 20251020, "seed of TestSimulation")
)

const day = 24 * time.Hour

// rates are the two check speeds that are simulated.
var rates = []struct {
	name           string
	every, timeout time.Duration
}{
	{"200ms", 200 * time.Millisecond, 250 * time.Millisecond},
	{"1s", time.Second, time.Second},
}

// TestSimulation prints the tables of DESIGN.md and asserts generous bounds
// on what they show.
//
//	go test ./internal/health -run TestSimulation -v -sim.days=20
func TestSimulation(t *testing.T) {
	t.Logf("seed %d, %g days a row", *simSeed, *simDays)
	length := time.Duration(*simDays * float64(day))
	t.Run("loss", func(t *testing.T) { simLoss(t, length) })
	t.Run("outage", func(t *testing.T) { simOutage(t, length) })
	t.Run("flapping", func(t *testing.T) { simFlapping(t, length) })
	t.Run("recovery", simRecovery)
}

// simLoss: no outage at all, so that every Down is false.
func simLoss(t *testing.T, length time.Duration) {
	t.Log("| checks | loss | false downs a day | plain 3/2 counter | minutes a day in false Down | Degraded a day |")
	for _, r := range rates {
		for _, loss := range []float64{0, 0.01, 0.05, 0.10, 0.20} {
			o := sim{every: r.every, timeout: r.timeout, fresh: 10 * time.Second, length: length,
				world: lossy(loss, CauseTimeout, nil), seed: *simSeed}.run()
			days := length.Hours() / 24
			t.Logf("| %s | %.0f %% | %.2f | %.1f | %.1f | %.1f |", r.name, 100*loss, float64(o.falseDn)/days,
				float64(o.plainDn)/days, o.wrongly.Minutes()/days, float64(o.falseDeg)/days)
			if loss <= 0.01 && o.falseDn > 0 {
				t.Errorf("%s, loss %.0f %%: %d false downs, want none (seed %d)", r.name, 100*loss, o.falseDn, *simSeed)
			}
			if loss == 0 && len(o.changes) != 1 {
				t.Errorf("%s: %d changes without any failure, want the first one only", r.name, len(o.changes))
			}
			if float64(o.falseDn)/days > 10 {
				t.Errorf("%s, loss %.0f %%: %d false downs in %g days (seed %d)", r.name, 100*loss, o.falseDn, days, *simSeed)
			}
		}
		simBursts(t, r.name, sim{every: r.every, timeout: r.timeout, fresh: 10 * time.Second, length: length, world: bursts(), seed: *simSeed})
	}
}

// simBursts: losses that come together, which no threshold can tell from a
// short outage. It is shown, and only its damping is asserted.
func simBursts(t *testing.T, name string, s sim) {
	o := s.run()
	days := s.length.Hours() / 24
	_, worst := o.downs()
	t.Logf("| %s | bursts, 1.2 %% | %.2f | %.1f | %.1f | %.1f |", name, float64(o.falseDn)/days,
		float64(o.plainDn)/days, o.wrongly.Minutes()/days, float64(o.falseDeg)/days)
	if worst > 20 {
		t.Errorf("%s: %d downs in an hour of bursts (seed %d)", name, worst, *simSeed)
	}
}

// simOutage: an outage of two minutes in each hour, of each kind.
func simOutage(t *testing.T, length time.Duration) {
	t.Log("| checks | loss | outage | data path | detected | p50 | p99 | recovery p50 | p99 | false downs a day |")
	for _, r := range rates {
		for _, c := range []struct {
			loss  float64
			cause Cause
			eject time.Duration
		}{
			{0, CauseRefused, 0},
			{0, CauseTimeout, 0},
			{0, CauseStatus, 0},
			{0.01, CauseTimeout, 0},
			{0.05, CauseTimeout, 0},
			{0.10, CauseTimeout, 0},
			{0.20, CauseTimeout, 0},
			{0, CauseTimeout, 100 * time.Millisecond},
			{0.10, CauseTimeout, 100 * time.Millisecond},
		} {
			outages := everyHour(length, 2*time.Minute, rand.New(rand.NewPCG(*simSeed, 2)))
			o := sim{every: r.every, timeout: r.timeout, fresh: 10 * time.Second, length: length, outages: outages,
				ejectAfter: c.eject, world: lossy(c.loss, c.cause, outages), seed: *simSeed}.run()
			t.Logf("| %s | %.0f %% | %s | %s | %d/%d | %s | %s | %s | %s | %.2f |", r.name, 100*c.loss, c.cause, ejects(c.eject),
				len(o.detect), len(outages), sec(percentile(o.detect, .5)), sec(percentile(o.detect, .99)),
				sec(percentile(o.recover, .5)), sec(percentile(o.recover, .99)), float64(o.falseDn)/(length.Hours()/24))
			if o.missed > 0 {
				t.Errorf("%d of %d outages missed (seed %d)", o.missed, len(outages), *simSeed)
			}
			// Never Up in a hard outage for longer than the slowest rule takes.
			if bound := 3*3*(r.every*11/10+r.timeout) + time.Second; o.upInDown > bound {
				t.Errorf("%s: Up for %s within an outage, want at most %s (seed %d)", r.name, o.upInDown, bound, *simSeed)
			}
		}
	}
}

func ejects(after time.Duration) string {
	if after == 0 {
		return "silent"
	}
	return "ejects after " + after.String()
}

// simFlapping: up and down in turn, a day long.
func simFlapping(t *testing.T, length time.Duration) {
	t.Log("| checks | up | down | flaps a day | passed on | most in an hour | plain 3/2 counter | longest Up in an outage |")
	for _, r := range rates {
		for _, c := range []struct{ up, down time.Duration }{
			{2 * time.Second, 2 * time.Second},
			{10 * time.Second, 10 * time.Second},
			{30 * time.Second, 30 * time.Second},
			{4 * time.Minute, time.Minute},
			{20 * time.Minute, time.Minute},
		} {
			outages := flapping(length, c.up, c.down)
			o := sim{every: r.every, timeout: r.timeout, fresh: 10 * time.Second, length: length, outages: outages,
				world: lossy(0, CauseRefused, outages), seed: *simSeed}.run()
			total, worst := o.downs()
			days := length.Hours() / 24
			t.Logf("| %s | %s | %s | %.0f | %.1f | %d | %.0f | %s |", r.name, c.up, c.down, float64(len(outages))/days,
				float64(total)/days, worst, float64(o.plainDn)/days, sec(o.upInDown))
			if worst > 20 {
				t.Errorf("%s, %s/%s: %d downs in an hour, damping should pass on at most 20 (seed %d)", r.name, c.up, c.down, worst, *simSeed)
			}
		}
	}
}

// simRecovery: a long outage, and one from which the origin comes back slowly.
func simRecovery(t *testing.T) {
	t.Log("| checks | after an outage of | comes back | downs | time to the last Up |")
	for _, r := range rates {
		for _, c := range []struct{ outage, ramp time.Duration }{
			{6 * time.Hour, 0}, {15 * time.Hour, 0}, {10 * time.Minute, 10 * time.Minute}, {10 * time.Minute, time.Hour},
		} {
			out := span{time.Hour, time.Hour + c.outage}
			ramp := func(at time.Duration, rng *rand.Rand) Cause {
				switch {
				case at < out.from:
					return CauseNone
				case at < out.to:
					return CauseTimeout
				case at < out.to+c.ramp && rng.Float64() > float64(at-out.to)/float64(c.ramp):
					return CauseStatus
				}
				return CauseNone
			}
			o := sim{every: r.every, timeout: r.timeout, fresh: 10 * time.Second, length: out.to + c.ramp + 3*time.Hour,
				outages: []span{out}, world: ramp, seed: *simSeed}.run()
			total, _ := o.downs()
			last := o.changes[len(o.changes)-1]
			back := last.Since.Sub(simStart) - out.to
			how := "at once"
			if c.ramp > 0 {
				how = fmt.Sprintf("over %s", c.ramp)
			}
			t.Logf("| %s | %s | %s | %d | %s |", r.name, c.outage, how, total, sec(back))
			if last.State != Up {
				t.Errorf("%s: ends %s, want up: %s", r.name, last.State, last.Evidence)
			}
			if c.ramp == 0 && (total != 1 || back > 5*time.Second) {
				t.Errorf("%s: %d downs, Up %s after the end of a plain outage", r.name, total, back)
			}
			if total > 15 {
				t.Errorf("%s: %d downs in one slow recovery", r.name, total)
			}
		}
	}
}

func sec(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
