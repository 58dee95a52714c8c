package health

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

var phrases = map[Cause]string{
	CauseDNS:      "name did not resolve",
	CauseRefused:  "connection refused",
	CauseConnect:  "no connection",
	CauseTLS:      "TLS handshake or certificate",
	CauseReset:    "connection closed before an answer",
	CauseTimeout:  "no answer in time",
	CauseProtocol: "answer is not HTTP",
	CauseStatus:   "status not accepted",
	CauseBody:     "body cut, stalled or without the wanted text",
}

// Phrase gives the cause in words, as evidence lines use them.
func (c Cause) Phrase() string {
	if p, ok := phrases[c]; ok {
		return p
	}
	return clean(string(c))
}

// evidence is the line that a person reads at 3 a.m.: what was seen, how
// often, when last, and what is being waited for. Times are UTC.
func (d *Detector) evidence() string {
	c := &d.checks
	switch {
	case d.down && !d.unsure:
		return d.downEvidence()
	case d.eject.weighs:
		return d.ejectedEvidence()
	case d.heard.IsZero():
		return "no check has ended yet"
	case d.stale():
		return fmt.Sprintf("no check has ended for %s (last %s)", short(d.now.Sub(d.heard)), clock(d.heard))
	case !d.proven || d.down:
		if c.fails > 0 {
			return fmt.Sprintf("not enough checks yet: %s failed: %s", count(c.fails), why(c.lastFail))
		}
		return fmt.Sprintf("not enough checks yet: %s passed (last %s)", count(c.oks), clock(c.lastOK.At))
	case d.brittle:
		return fmt.Sprintf("keep-alive checks pass, new connections fail: %s", why(d.fresh.lastFail))
	case d.lossy:
		return fmt.Sprintf("%.0f %% of recent checks failed: %s", 100*d.loss.share, why(c.lastFail))
	case c.fails > 0:
		return fmt.Sprintf("%s failed so far: %s", count(c.fails), why(c.lastFail))
	default:
		return fmt.Sprintf("last check passed in %s (%s)", short(c.lastOK.Latency), clock(c.lastOK.At))
	}
}

func (d *Detector) downEvidence() string {
	c := &d.checks
	fail := why(c.lastFail)
	switch {
	case d.damp.passing && c.oks > 0:
		return fmt.Sprintf("passes checks again; went down %d times lately, held down until %s; last failure: %s",
			d.damp.n, clock(d.heldUntil()), fail)
	case c.oks > 0:
		return fmt.Sprintf("%d of %d checks passed since the last failure: %s", c.oks, d.policy.UpAfter, fail)
	case d.taken && c.fails < d.policy.DownAfter:
		return fmt.Sprintf("taken out by live traffic at %s (%s), then a check failed: %s",
			clock(d.eject.at), d.eject.why(), fail)
	default:
		return fmt.Sprintf("%s in a row failed: %s", count(c.fails), fail)
	}
}

func (d *Detector) ejectedEvidence() string {
	s := fmt.Sprintf("taken out by live traffic at %s: %s", clock(d.eject.at), d.eject.why())
	if !d.eject.standing {
		s = fmt.Sprintf("back in live traffic since %s, %s", clock(d.eject.back), s)
	}
	switch {
	case d.stale():
		return s + "; no recent check"
	case d.checks.fails > 0:
		return s + "; newest check failed: " + why(d.checks.lastFail)
	default:
		return s + "; checks pass"
	}
}

func (j *ejection) why() string { return describe(j.cause, j.detail) }

// why says how an attempt failed, and when.
func why(r Result) string {
	return fmt.Sprintf("%s (last %s)", describe(r.Cause, r.Detail), clock(r.At))
}

func describe(c Cause, detail string) string {
	p, detail := c.Phrase(), clean(detail)
	if detail == "" || strings.Contains(detail, p) {
		return p
	}
	return p + ": " + detail
}

// clean keeps what an origin said from breaking or flooding the line.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	const most = 160
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

func short(d time.Duration) string {
	switch {
	case d > time.Minute:
		return d.Round(time.Second).String()
	case d > time.Second:
		return d.Round(100 * time.Millisecond).String()
	default:
		return d.Round(100 * time.Microsecond).String()
	}
}

func count(n int) string {
	if n == 1 {
		return "1 check"
	}
	return fmt.Sprintf("%d checks", n)
}
