package edge

import (
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/health"
)

// outlier judges an origin by live traffic alone (after Envoy's outlier
// detection: consecutive failures, success rate). The origin's mutex guards
// it.
type outlier struct {
	failures     int       // attempts without a usable answer, in a row
	stalls       int       // overtaken while silent, in a row
	stalledSince time.Time // when the first of them was asked
	window       [10]tally
	recent       uint64 // the last 64 outcomes, newest lowest; 1 = bad
	recentAt     time.Time
	strikes      int // ejections that still count towards the next one's length
	last         time.Time
	cause        health.Cause // of the last ejection
	until        time.Time    // not readmitted before
}

type tally struct {
	second    int64
	good, bad int
}

// Thresholds of ejection.
const (
	failuresToEject = 3
	stallsToEject   = 3
	silenceToEject  = 100 * time.Millisecond // a pause as a busy machine makes it is no reason
	badToEject      = 10                     // at least so many bad attempts in ten seconds ...
	badShare        = retryShare             // ... and so large a share of all: below it the retry budget suffices
	badInARow       = 8
	badOf64         = 26              // 40 % of the last 64 outcomes
	recentMemory    = 5 * time.Second // outcomes further apart say nothing together
	baseEjection    = time.Second
	softEjection    = 5 * time.Second // for an origin that answers, with errors
	maxEjection     = 2 * time.Minute
	strikeMemory    = 5 * time.Minute
)

func (j *outlier) slot(now time.Time) *tally {
	s := now.Unix()
	t := &j.window[s%int64(len(j.window))]
	if t.second != s {
		*t = tally{second: s}
	}
	return t
}

// rate gives the 5xx answers of the window and their share.
func (j *outlier) rate(now time.Time) (bad int, share float64) {
	total := 0
	for _, t := range j.window {
		if now.Unix()-t.second < int64(len(j.window)) {
			bad += t.bad
			total += t.bad + t.good
		}
	}
	if total == 0 {
		return 0, 0
	}
	return bad, float64(bad) / float64(total)
}

// eject gives how long the origin stays out at least: it doubles with every
// ejection of the last minutes.
func (j *outlier) eject(now time.Time, base time.Duration) time.Duration {
	if now.Sub(j.last) > strikeMemory {
		j.strikes = 0
	}
	d := min(base<<min(j.strikes, 10), maxEjection)
	j.strikes++
	j.last, j.until = now, now.Add(d)
	j.failures, j.stalls = 0, 0
	j.window, j.recent = [10]tally{}, 0
	return d
}

// note takes one outcome in.
func (j *outlier) note(bad bool, now time.Time) {
	if now.Sub(j.recentAt) > recentMemory {
		j.recent = 0
	}
	j.recentAt = now
	j.recent <<= 1
	if bad {
		j.recent |= 1
		j.slot(now).bad++
	} else {
		j.slot(now).good++
	}
}

// spoilt reports whether the last outcomes are bad in a row, or for a good
// part. The window is slow to see a turn after much good traffic; this is not.
func (j *outlier) spoilt() bool {
	return bits.OnesCount64(j.recent) >= badOf64 || j.recent&(1<<badInARow-1) == 1<<badInARow-1
}

// good notes a usable answer.
func (o *origin) good() {
	o.mu.Lock()
	o.judge.failures, o.judge.stalls = 0, 0
	o.judge.note(false, time.Now())
	o.mu.Unlock()
}

// bad notes an answer that is a 5xx, or whose body broke off, where another
// origin did, or may do, better.
func (e *Edge) bad(s *service, o *origin, cause health.Cause, detail string) {
	o.mu.Lock()
	now := time.Now()
	o.judge.failures, o.judge.stalls = 0, 0
	o.judge.note(true, now)
	n, share := o.judge.rate(now)
	spoilt := o.judge.spoilt()
	o.mu.Unlock()
	if (spoilt || n >= badToEject && share >= badShare) && s.othersBetter(o, share, now) {
		e.eject(s, o, softEjection, cause, fmt.Sprintf("%s: %d bad answers in 10 s, %.0f %% of all", detail, n, share*100))
	}
}

// badStatus is bad for an answer's status.
func (e *Edge) badStatus(s *service, out *outcome) {
	e.bad(s, out.c.o, health.CauseStatus, fmt.Sprintf("status %d", out.resp.Status))
}

// failed notes an attempt without a usable answer.
func (e *Edge) failed(s *service, o *origin, cause health.Cause, err error) {
	o.failures.Add(1)
	now := time.Now()
	o.mu.Lock()
	o.judge.failures++
	o.judge.note(true, now)
	n := o.judge.failures
	bad, share := o.judge.rate(now)
	o.mu.Unlock()
	switch {
	case n >= failuresToEject:
		o.confirmed.Store(true)
		e.eject(s, o, baseEjection, cause, fmt.Sprintf("%d attempts in a row failed: %v", n, err))
	case bad >= badToEject && share >= badShare && s.othersBetter(o, share, now):
		e.eject(s, o, baseEjection, cause, fmt.Sprintf("%d bad attempts in 10 s, %.0f %% of all: %v", bad, share*100, err))
	}
}

// stalled notes that another origin overtook this one, which was asked at the
// given time and has been silent since.
func (e *Edge) stalled(s *service, o *origin, since time.Time) {
	o.failures.Add(1)
	o.mu.Lock()
	if o.judge.stalls == 0 {
		o.judge.stalledSince = since
	}
	o.judge.stalls++
	n, silence := o.judge.stalls, time.Since(o.judge.stalledSince)
	o.mu.Unlock()
	if n >= stallsToEject && silence >= silenceToEject {
		e.eject(s, o, baseEjection, health.CauseTimeout, fmt.Sprintf("silent for %s while another origin answered %d times", silence.Round(time.Millisecond), n))
	}
}

// othersBetter reports whether some other serving origin has at most half of
// the share of errors: errors that all origins give are the application's.
func (s *service) othersBetter(o *origin, share float64, now time.Time) bool {
	for _, c := range s.origins {
		if c.o == o || c.tier() == tierOut || !c.open() {
			continue
		}
		c.o.mu.Lock()
		_, theirs := c.o.judge.rate(now)
		c.o.mu.Unlock()
		if theirs <= share/2 {
			return true
		}
	}
	return false
}

// eject takes o out of rotation at once, if another origin of the service
// serves: the last one is never taken. Requests that wait on it and can go
// elsewhere do so now.
func (e *Edge) eject(s *service, o *origin, base time.Duration, cause health.Cause, detail string) {
	if now := e.inForce.Load(); now != nil && now.byID[s.cfg.ID] != nil {
		s = now.byID[s.cfg.ID]
	}
	e.mu.Lock()
	if o.ejected.Load() || !s.spares(o, cause) {
		if !o.ejected.Load() && cause != health.CauseStatus {
			s.hurry(o)
		}
		e.mu.Unlock()
		return
	}
	o.ejected.Store(true)
	o.suspected.Store(false)
	e.out[o] = struct{}{}
	o.mu.Lock()
	o.passed = 0
	o.judge.cause = cause
	least := o.judge.eject(time.Now(), base)
	o.mu.Unlock()
	e.mu.Unlock()
	o.ejections.Add(1)
	o.release()
	e.opt.Log.Warn("origin ejected", "service", o.target.Service, "site", o.target.Site, "cause", string(cause), "detail", detail, "at_least", least)
	e.report(health.Event{Kind: health.Ejected, Target: o.target, Cause: cause, Detail: detail})
}

// hurry has the ejected origins checked without further delay: o, the last
// that serves, has failed.
func (s *service) hurry(o *origin) {
	for _, c := range s.origins {
		if c.o != o && c.o.ejected.Load() {
			c.o.mu.Lock()
			c.o.judge.until = time.Now()
			c.o.mu.Unlock()
		}
	}
}

// spares reports whether o may go: someone else must serve, and an origin
// that still answers, if with errors, goes only while at least half stay. One
// that the table no longer names has gone already.
func (s *service) spares(o *origin, cause health.Cause) bool {
	if !slices.ContainsFunc(s.origins, func(c candidate) bool { return c.o == o }) {
		return false
	}
	serving, out := 0, 0
	for _, c := range s.origins {
		switch {
		case c.o == o || !c.open():
		case c.tier() == tierOut:
			out++
		default:
			serving++
		}
	}
	if cause == health.CauseStatus && out+1 > (serving+out+1)/2 {
		return false
	}
	return serving > 0
}

// gone reports whether the origin was ejected because it does not answer at
// all, rather than for what it answers. That others were faster for a moment,
// while it paused, does not suffice.
func (o *origin) gone() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.confirmed.Load() && o.judge.cause != health.CauseStatus && o.judge.cause != health.CauseBody
}
