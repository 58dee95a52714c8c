package health

import "time"

// streak counts how the newest attempts of one kind went.
type streak struct {
	oks, fails int
	refused    int  // refusals at the end of the failures
	lost       bool // every failure of the run may be a lost packet
	confirmed  bool // the run was held to be an outage
	lastOK     Result
	lastFail   Result
}

func (s *streak) add(r Result) {
	if r.OK {
		s.oks++
		s.fails, s.refused, s.confirmed = 0, 0, false
		s.lastOK = r
		return
	}
	s.lost = (s.fails == 0 || s.lost) && losable(r.Cause)
	s.oks = 0
	s.fails++
	s.refused++
	if r.Cause != CauseRefused {
		s.refused = 0
	}
	s.lastFail = r
}

// restart forgets the counts and keeps the last results, for evidence.
func (s *streak) restart() { *s = streak{lastOK: s.lastOK, lastFail: s.lastFail} }

// losable reports whether a healthy origin behind a lossy network fails
// attempts with this cause.
func losable(c Cause) bool { return c == CauseTimeout || c == CauseConnect }

// lossMemory is how many checks the measured share of stray failures looks
// back, and lossPrior how many passed ones it starts from.
const (
	lossMemory = 500
	lossPrior  = 20
)

// lossMeter measures the share of checks that fail for no lasting reason, as
// a moving average. Runs that were held to be an outage are not counted.
type lossMeter struct {
	n     int
	share float64
}

func (m *lossMeter) add(failed bool) {
	m.n = min(max(m.n, lossPrior)+1, lossMemory)
	x := 0.0
	if failed {
		x = 1
	}
	m.share += (x - m.share) / float64(m.n)
}

// damper delays the return of a target that keeps going down.
type damper struct {
	n       int       // times it went down, halved after each half-life of stability
	lastBad time.Time // last failure of a run that was held to be an outage
	passing bool      // it would be up but for the hold
	stable  time.Time // begin of the half-life under way
}

func (m *damper) flap() {
	if m.n < 64 { // far beyond any HoldMax
		m.n++
	}
	m.passing = false
}

func (m *damper) decay(now time.Time, halfLife time.Duration) {
	for m.n > 0 && now.Sub(m.stable) >= halfLife {
		m.n /= 2
		m.stable = m.stable.Add(halfLife)
	}
}
