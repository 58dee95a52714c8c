package health

import "time"

// ejection is what the data path last said of a target: that it took it out
// of rotation, and whether it took it back.
type ejection struct {
	source   string
	seq      uint64
	weighs   bool // the ejection still bears on the verdict
	standing bool // the target is out of rotation
	plain    bool // an outage that checks saw explains it
	at       time.Time
	back     time.Time // when it was taken back
	cause    Cause
	detail   string
}

// hear takes an event in, and reports whether it is news.
func (j *ejection) hear(e Event, at time.Time) bool {
	if e.Source == j.source && e.Seq <= j.seq {
		return false
	}
	switch e.Kind {
	case Ejected:
		j.weighs, j.standing, j.plain = true, true, false
		j.at, j.cause, j.detail = at, someCause(e.Cause), e.Detail
	case Readmitted:
		if j.standing {
			j.standing, j.back = false, at
			j.weighs = !j.plain
		}
	default:
		return false
	}
	j.source, j.seq = e.Source, e.Seq
	return true
}

// age lets an ejection fade: a while after the readmission, or when nobody
// has spoken of it for long. One that an outage explains does not linger:
// that the outage is over is for checks to say, and they do.
func (j *ejection) age(now time.Time, p Policy) {
	if j.standing && now.Sub(j.at) > p.EjectionMax {
		j.weighs, j.standing = false, false
	}
	if j.weighs && !j.standing && now.Sub(j.back) > p.EjectionAge {
		j.weighs = false
	}
}

// someCause keeps a verdict from having no cause when the evidence names none.
func someCause(c Cause) Cause {
	if c == CauseNone {
		return CauseProtocol
	}
	return c
}
