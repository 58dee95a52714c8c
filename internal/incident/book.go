package incident

import (
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

// book is all that a Desk knows. It is plain data under one goroutine: it does
// no I/O and takes the time as a parameter, so that tests can drive it.
type book struct {
	hold, window, settle time.Duration

	estate   *estate.Estate
	levels   map[estate.Target]*level
	records  map[string]*record // not yet filed: open, monitoring, or closed with work left
	filed    map[string]bool    // IDs of all closed incidents in the store
	recent   []*record          // filed a short while ago, for evidence that comes late
	sources  map[string]*source
	ring     map[estate.ServiceID][]delta // recent reports, oldest first
	trouble  map[estate.ServiceID]*unexplained
	reported map[estate.ServiceID]time.Time // when a report about the service was last taken in
	switches []move                         // recent ones, for incidents that open later
	gone     []string                       // sources to remove from the store
	urgent   bool                           // something changed that must be stored at once
}

// level is what is held of one origin now.
type level struct {
	Down    bool                 `json:"down,omitempty"`    // from a verdict of Down until one of Up
	Ejected map[string]time.Time `json:"ejected,omitempty"` // by data process, since
	Since   time.Time            `json:"since"`             // when it became unwell

	cause health.Cause
	back  map[string]time.Time // by data process: when it was last readmitted
	grace time.Time            // no new incident before this: the evidence was about a closed one
}

func (l *level) unwell() bool { return l.Down || len(l.Ejected) > 0 }

// move is a service's switch from one site to another.
type move struct {
	service  estate.ServiceID
	from, to estate.SiteID
	at       time.Time
}

// sighting is one piece of evidence that an origin is unwell.
type sighting struct {
	target estate.Target
	cause  health.Cause
	at     time.Time
	eject  bool // by a data path, not by a verdict
}

func newBook(o Options) *book {
	return &book{
		hold: o.Hold, window: o.Window, settle: o.Settle, estate: o.Estate,
		levels:   map[estate.Target]*level{},
		records:  map[string]*record{},
		filed:    map[string]bool{},
		sources:  map[string]*source{},
		ring:     map[estate.ServiceID][]delta{},
		trouble:  map[estate.ServiceID]*unexplained{},
		reported: map[estate.ServiceID]time.Time{},
	}
}

func (b *book) level(t estate.Target) *level {
	l := b.levels[t]
	if l == nil {
		l = &level{}
		b.levels[t] = l
	}
	return l
}

// declared reports whether the estate has the origin. Without an estate
// everything is believed.
func (b *book) declared(t estate.Target) bool {
	if b.estate == nil {
		return true
	}
	if id, ok := t.Service.Bucket(); ok {
		bucket, ok := b.estate.Bucket(id)
		if !ok {
			return false
		}
		_, ok = bucket.Replica(t.Site)
		return ok
	}
	s, ok := b.estate.Service(t.Service)
	if !ok {
		return false
	}
	_, ok = s.Origin(t.Site)
	return ok
}

// load puts another estate in force. What it no longer declares cannot be
// unwell.
func (b *book) load(now time.Time, e *estate.Estate) {
	b.estate = e
	for t := range b.levels {
		if !b.declared(t) {
			delete(b.levels, t)
			b.changed(now, now, t)
		}
	}
	if e == nil {
		return
	}
	for _, r := range b.records {
		for svc := range r.Trouble {
			if _, ok := e.Service(svc); !ok {
				delete(r.Trouble, svc)
			}
		}
	}
}

func (b *book) verdict(now time.Time, v health.Verdict) {
	if !b.declared(v.Target) {
		return
	}
	l := b.level(v.Target)
	switch {
	case v.State == health.Down && !l.Down:
		at := orNow(v.Since, now)
		b.mark(l, at, v.Cause)
		l.Down = true
		b.sight(now, sighting{target: v.Target, cause: v.Cause, at: at})
	case v.State == health.Up && l.Down:
		l.Down = false
		b.changed(now, orNow(v.Since, now), v.Target)
	}
}

func (b *book) event(now time.Time, e health.Event) {
	src := b.source(e.Source, now)
	if !src.fresh(e.Seq) || !b.declared(e.Target) {
		return
	}
	switch e.Kind {
	case health.Ejected:
		b.ejected(now, e.Source, e.Target, orNow(e.At, now), e.Cause)
	case health.Readmitted:
		b.readmitted(now, e.Source, e.Target, orNow(e.At, now))
	}
}

func (b *book) ejected(now time.Time, source string, t estate.Target, at time.Time, c health.Cause) {
	l := b.level(t)
	// An ejection that was over before it became known is evidence all the same.
	if at.After(l.back[source]) {
		b.mark(l, at, c)
		if l.Ejected == nil {
			l.Ejected = map[string]time.Time{}
		}
		l.Ejected[source] = at
	}
	b.sight(now, sighting{target: t, cause: c, at: at, eject: true})
}

func (b *book) readmitted(now time.Time, source string, t estate.Target, at time.Time) {
	l := b.level(t)
	if l.back == nil {
		l.back = map[string]time.Time{}
	}
	if at.After(l.back[source]) {
		l.back[source] = at
	}
	if since, ok := l.Ejected[source]; ok && !since.After(at) {
		delete(l.Ejected, source)
		b.changed(now, at, t)
	}
}

func (b *book) mark(l *level, at time.Time, c health.Cause) {
	if !l.unwell() {
		l.Since = at
	}
	l.cause = c
}

func (b *book) switched(m move) {
	b.switches = append(b.switches, m)
	for _, r := range b.running() {
		if slices.Contains(r.Incident.Services, m.service) {
			b.noteSwitch(r, m)
		}
	}
}

func (b *book) noteSwitch(r *record, m move) {
	if t := r.Incident.Times.Switched; t.IsZero() || m.at.Before(t) {
		r.Incident.Times.Switched = m.at.UTC()
		r.dirty, b.urgent = true, true
	}
}

// running gives the incidents that are not closed, the oldest first.
func (b *book) running() []*record {
	var rs []*record
	for _, r := range b.records {
		if r.Incident.State != Closed {
			rs = append(rs, r)
		}
	}
	slices.SortFunc(rs, byID)
	return rs
}

// changed takes a new look at the incidents that hold the origin.
func (b *book) changed(now, at time.Time, t estate.Target) {
	for _, r := range b.running() {
		if r.holds(t) {
			r.dirty = true
			b.review(now, at, r)
		}
	}
}

func orNow(t, now time.Time) time.Time {
	if t.IsZero() || t.After(now) {
		return now.UTC()
	}
	return t.UTC()
}
