package health

import (
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

// Detector holds the evidence about one target and gives its [Verdict]. It
// starts from Unknown. It is not safe for concurrent use.
//
//	d := health.NewDetector(target, health.PolicyOf(check), time.Now())
//	if v, changed := d.Check(result); changed { ... }
//	if d.WantsFresh() { runner.Fresh(target) }
//
// Its time is the newest that any call gave it and never runs backwards. The
// reasons behind the rules, and their measured effect, are in DESIGN.md.
type Detector struct {
	target estate.Target
	policy Policy
	now    time.Time

	seen   [2]time.Time // newest keep-alive and newest fresh result
	heard  time.Time    // newest result
	keepOK bool         // the newest keep-alive result is recent and passed

	checks streak // what speaks of liveness
	fresh  streak // new connections, while keep-alive checks pass
	loss   lossMeter
	eject  ejection
	damp   damper

	proven  bool  // a check passed since the evidence began
	down    bool  // held to be down; left only by passed checks
	unsure  bool  // down when the results ceased
	brittle bool  // new connections fail
	lossy   bool  // too many stray failures
	taken   bool  // it was an ejection that made a failed check count
	cause   Cause // of down
	other   rival // the cause that may replace it
	grey    Cause // of brittle or lossy, as it was when that began

	verdict Verdict
}

// rival is a cause other than that of a Down verdict, which has to last
// before it takes its place: otherwise alternating causes make a stream of
// changes about one outage.
type rival struct {
	cause Cause
	n     int
	since time.Time
}

const rivalAfter = 10 * time.Second

// NewDetector gives a detector that has seen nothing.
func NewDetector(t estate.Target, p Policy, now time.Time) *Detector {
	d := &Detector{target: t, policy: p.withDefaults(), now: now.UTC()}
	d.verdict = Verdict{Target: t, State: Unknown, Since: d.now}
	d.verdict.Evidence = d.evidence()
	return d
}

// Verdict is what is held now, with evidence as of the newest call.
func (d *Detector) Verdict() Verdict {
	v := d.verdict
	v.Evidence = d.evidence()
	return v
}

// Check takes an active check's result in and reports whether the verdict's
// state or cause changed. It ignores results of other targets, results not
// newer than the newest one of their mode, and results that came too late to
// say anything. The verdict it gives when nothing changed has the evidence of
// the last change; [Detector.Verdict] renders the newest.
func (d *Detector) Check(r Result) (Verdict, bool) {
	mode := 0
	if r.Fresh {
		mode = 1
	}
	r.At = r.At.UTC()
	if r.Target != d.target || !r.At.After(d.seen[mode]) || d.now.Sub(r.At) > d.policy.StaleAfter {
		return d.verdict, false
	}
	d.seen[mode] = r.At
	d.advance(r.At)
	d.note(r)
	d.judge()
	return d.settle()
}

// Live takes in what the data path did on its own: [Ejected] and [Readmitted]
// events; others, and repeated ones, are ignored. The event's clock may be
// another process's: it moves the detector's time only a little.
func (d *Detector) Live(e Event) (Verdict, bool) {
	if e.Target != d.target {
		return d.verdict, false
	}
	at := d.now
	if lead := e.At.Sub(at); lead > 0 && lead <= d.policy.StaleAfter/2 {
		at = e.At.UTC()
	}
	d.advance(at)
	if d.eject.hear(e, at) {
		d.eject.plain = d.eject.plain || d.down
		d.judge()
	}
	return d.settle()
}

// Tick tells the detector that time passed: evidence goes stale, a hold-down
// ends, an ejection fades. Call it about once a second.
func (d *Detector) Tick(now time.Time) (Verdict, bool) {
	d.advance(now.UTC())
	d.judge()
	return d.settle()
}

// WantsFresh reports whether an immediate attempt on a new connection would
// settle what is in doubt. It stays true until such a result comes.
func (d *Detector) WantsFresh() bool {
	switch {
	case d.down:
		return false
	case d.checks.refused >= 2:
		return true
	case !d.keepOK:
		return false
	case d.brittle:
		return d.fresh.oks > 0
	default:
		return d.fresh.fails > 0
	}
}

// advance moves the time and lets evidence age.
func (d *Detector) advance(now time.Time) {
	if now.After(d.now) {
		d.now = now
	}
	d.eject.age(d.now, d.policy)
	if d.stale() {
		d.lapse()
	}
	if !d.down {
		d.damp.decay(d.now, d.policy.HalfLife)
	}
}

func (d *Detector) stale() bool { return d.now.Sub(d.heard) > d.policy.StaleAfter }

// lapse forgets what the results said when they have ceased. That the target
// was down is remembered: it comes up by passed checks alone.
func (d *Detector) lapse() {
	d.checks.restart()
	d.fresh.restart()
	d.keepOK, d.proven, d.brittle = false, false, false
	d.unsure = d.down
	d.damp.stable = d.now // no decay while nothing is known
}

// note adds a result to what it speaks of. A failure on a new connection says
// nothing of liveness while keep-alive checks pass.
func (d *Detector) note(r Result) {
	if r.At.After(d.heard) {
		d.heard = r.At
	}
	if !r.OK {
		r.Cause = someCause(r.Cause)
	}
	if r.Fresh && (d.keepOK || r.OK) {
		d.fresh.add(r)
		if !d.brittle && d.fresh.fails >= d.policy.DownAfter {
			d.brittle, d.grey = true, r.Cause
		}
		d.brittle = d.brittle && d.fresh.oks < d.policy.UpAfter
	}
	if r.Fresh && !r.OK && d.keepOK {
		return
	}
	if !r.Fresh {
		d.keepOK = r.OK
	}
	if r.OK {
		d.proven = true
		d.measure()
	} else if d.down {
		d.rename(r)
	}
	d.checks.add(r)
}

// measure counts a passed check, and the stray failures that it ends.
func (d *Detector) measure() {
	for range d.checks.fails {
		if !d.checks.confirmed {
			d.loss.add(true)
		}
	}
	d.loss.add(false)
	switch {
	case d.lossy:
		d.lossy = d.loss.share >= d.policy.LossDegraded/2
	case d.loss.share >= d.policy.LossDegraded:
		d.lossy = true
		if !d.brittle {
			d.grey = d.checks.lastFail.Cause
		}
	}
}

// rename gives an outage that goes on another cause when that has lasted.
func (d *Detector) rename(r Result) {
	switch r.Cause {
	case d.cause:
		d.other = rival{}
	case d.other.cause:
		d.other.n++
		if d.other.n >= d.policy.DownAfter && r.At.Sub(d.other.since) >= rivalAfter {
			d.cause, d.other = r.Cause, rival{}
		}
	default:
		d.other = rival{cause: r.Cause, n: 1, since: r.At}
	}
}

// judge moves the target to down, or lets it come back.
func (d *Detector) judge() {
	switch {
	case d.failed():
		d.fall()
	case !d.down || d.checks.oks < d.policy.UpAfter:
	case d.now.Before(d.heldUntil()):
		d.damp.passing = true
	default:
		d.down, d.unsure, d.taken = false, false, false
		d.eject.weighs = d.eject.standing
		d.damp.passing, d.damp.stable = false, d.now
	}
}

func (d *Detector) heldUntil() time.Time {
	return d.damp.lastBad.Add(d.policy.hold(d.damp.n))
}

// failed reports whether the failures at the end of the checks are an outage.
func (d *Detector) failed() bool {
	c := &d.checks
	switch {
	case c.fails == 0:
		return false
	case c.confirmed, d.eject.standing:
		return true
	case c.refused >= 3 && c.lastFail.Fresh:
		return true
	case c.refused == c.fails:
		// Nobody made the fresh attempt that was asked for.
		return c.fails >= max(d.policy.DownAfter, 3)
	case c.lost:
		return c.fails >= d.policy.downAfterLoss(d.loss.share)
	default:
		return c.fails >= d.policy.DownAfter
	}
}

func (d *Detector) fall() {
	if !d.down {
		d.down, d.taken = true, d.eject.standing
		d.cause, d.other = d.checks.lastFail.Cause, rival{}
		d.brittle = false
		d.fresh.restart()
		d.damp.flap()
	} else if d.damp.passing {
		d.damp.flap() // it flapped while it was held
	}
	d.unsure = false
	d.eject.plain = true
	d.checks.confirmed = true
	d.damp.lastBad = d.checks.lastFail.At
}

// settle derives the verdict from what is held.
func (d *Detector) settle() (Verdict, bool) {
	state, cause := d.state()
	if state == d.verdict.State && cause == d.verdict.Cause {
		return d.verdict, false
	}
	if state != d.verdict.State {
		d.verdict.Since = d.now
	}
	d.verdict.State, d.verdict.Cause = state, cause
	d.verdict.Evidence = d.evidence()
	return d.verdict, true
}

func (d *Detector) state() (State, Cause) {
	switch {
	case d.down && !d.unsure:
		return Down, d.cause
	case d.eject.weighs:
		return Degraded, d.eject.cause
	case !d.proven || d.down:
		return Unknown, CauseNone
	case d.brittle, d.lossy:
		return Degraded, d.grey
	default:
		return Up, CauseNone
	}
}
