package health

import (
	"math"
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

// Policy says how evidence becomes a verdict. Every zero field means its
// default, so the zero Policy is usable.
type Policy struct {
	// DownAfter failed checks in a row take a target down, and UpAfter passed
	// ones bring it back. Defaults 3 and 2, as HAProxy's fall and rise.
	DownAfter, UpAfter int

	// Every is the time between two checks; default 1 s. StaleAfter is how
	// long a verdict stands with no result at all before it turns to Unknown;
	// default five intervals, at least 3 s.
	Every, StaleAfter time.Duration

	// A target that went down n times before stays down until 2^n * HoldBase
	// after its last failure, at most HoldMax. n is halved after each HalfLife
	// out of Down. Defaults 1 s, 5 min, 10 min.
	HoldBase, HoldMax, HalfLife time.Duration

	// EjectionAge is how long an ejection weighs on the verdict after the data
	// path took the target back; default 30 s. EjectionMax bounds one that
	// nobody took back, because the data process may be gone; default 5 min.
	EjectionAge, EjectionMax time.Duration

	// LossDegraded is the share of stray failures among recent checks (0-1)
	// from which a target that never fails often enough in a row is Degraded;
	// it ends at half of that. Default 0.15.
	LossDegraded float64
}

// PolicyOf gives the policy of a declared check. An attempt may last longer
// than the interval, so that staleness allows for its timeout.
func PolicyOf(c estate.Check) Policy {
	p := Policy{DownAfter: c.DownAfter, UpAfter: c.UpAfter, Every: c.Every}.withDefaults()
	p.StaleAfter += 2 * max(c.Timeout, 0)
	return p
}

func (p Policy) withDefaults() Policy {
	p.DownAfter = orDefault(p.DownAfter, 3)
	p.UpAfter = orDefault(p.UpAfter, 2)
	p.Every = orDefault(p.Every, time.Second)
	p.StaleAfter = orDefault(p.StaleAfter, max(5*p.Every, 3*time.Second))
	p.HoldBase = orDefault(p.HoldBase, time.Second)
	p.HoldMax = orDefault(p.HoldMax, 5*time.Minute)
	p.HalfLife = orDefault(p.HalfLife, 10*time.Minute)
	p.EjectionAge = orDefault(p.EjectionAge, 30*time.Second)
	p.EjectionMax = orDefault(p.EjectionMax, 5*time.Minute)
	p.LossDegraded = orDefault(p.LossDegraded, 0.15)
	return p
}

func orDefault[T int | float64 | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// hold is how long a target that went down for the n-th time (from 1) must go
// without failing before it may come up. It is the exponential back-off of
// BGP route flap damping (RFC 2439) and of Envoy's outlier ejection time.
func (p Policy) hold(n int) time.Duration {
	h := p.HoldBase
	for i := 1; i < n && h < p.HoldMax; i++ {
		h *= 2
	}
	return min(h, p.HoldMax)
}

// falseRun is the chance per check that we accept for a run of lost checks to
// be taken for an outage: about one in 200 days at five checks a second.
const falseRun = 1e-8

// downAfterLoss is how many lost checks in a row it takes when the share loss
// of checks is lost anyway: DownAfter where little is lost, more where chance
// alone would make such runs, and never more than three times DownAfter.
func (p Policy) downAfterLoss(loss float64) int {
	if loss <= 0 {
		return p.DownAfter
	}
	if loss >= 1 {
		return 3 * p.DownAfter
	}
	k := int(math.Ceil(math.Log(falseRun) / math.Log(loss)))
	return min(max(k, p.DownAfter), 3*p.DownAfter)
}
