package incident

import (
	"cmp"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/notify"
)

// keepRecent is how long a closed incident still takes in evidence about its
// own time.
const keepRecent = 10 * time.Minute

// sight brings a sighting to the incident where it belongs.
func (b *book) sight(now time.Time, s sighting) {
	r := b.group(s.target, s.at)
	if r != nil && b.overBy(now, r, s.at) {
		b.close(r, r.Incident.Times.Recovered.Add(b.hold))
		r = nil
	}
	if r == nil || s.at.Before(r.Incident.Opened) {
		if old := b.closedAround(s.target, s.at); old != nil {
			b.addLate(now, old, s)
			return
		}
	}
	if r == nil {
		r = b.open(s.at, s.target.Site)
	}
	r.add(s)
	b.cover(r, s.target.Service, s.at)
	b.explain(r, s.target.Service)
	b.review(now, now, r)
}

// overBy reports whether the incident's hold-down was over when late evidence
// happened, although we only learn of it during the hold-down. What happens now
// continues the incident: a restart makes the hold-down longer.
func (b *book) overBy(now time.Time, r *record, at time.Time) bool {
	return r.Incident.State == Monitoring && now.Sub(at) >= b.hold && at.Sub(r.Incident.Times.Recovered) >= b.hold
}

// addLate takes a sighting into the closed incident of its time. If the origin
// is still unwell, other evidence will say so; tick gives that a while to come.
func (b *book) addLate(now time.Time, r *record, s sighting) {
	r.add(s)
	b.cover(r, s.target.Service, s.at)
	b.rank(r)
	b.level(s.target).grace = now.Add(b.hold)
	b.urgent = true
}

// group finds the running incident for an unwell origin. The package comment
// has the rule.
func (b *book) group(t estate.Target, at time.Time) *record {
	rules := []func(r *record) bool{
		func(r *record) bool { return r.holds(t) },
		func(r *record) bool { return r.Incident.Site == t.Site },
		func(r *record) bool { return r.Incident.Site == "" && r.hasService(t.Service) },
		func(r *record) bool {
			return len(r.Incident.Services) == 1 && r.hasService(t.Service) && at.Sub(r.Incident.Opened).Abs() < b.window
		},
	}
	running := b.running()
	for _, fits := range rules {
		if i := slices.IndexFunc(running, fits); i >= 0 {
			return running[i]
		}
	}
	return nil
}

// closedAround finds the closed incident that evidence from its own time
// belongs to.
func (b *book) closedAround(t estate.Target, at time.Time) *record {
	for _, r := range b.closed() {
		in := &r.Incident
		if at.After(in.Closed) || at.Before(in.Opened.Add(-b.window)) {
			continue
		}
		if in.Site == t.Site || in.Site == "" && r.hasService(t.Service) {
			return r
		}
	}
	return nil
}

// closed gives the incidents that closed a short while ago.
func (b *book) closed() []*record {
	rs := slices.Clone(b.recent)
	for _, r := range b.records {
		if r.Incident.State == Closed {
			rs = append(rs, r)
		}
	}
	return rs
}

func (b *book) open(at time.Time, site estate.SiteID) *record {
	r := &record{
		Incident: Incident{
			State: Open, Severity: Minor, Site: site, Opened: at.UTC(),
			Services: []estate.ServiceID{}, Causes: []Cause{},
			Impact: Impact{Services: map[estate.ServiceID]Counts{}},
		},
		Trouble: map[estate.ServiceID]time.Time{},
		From:    map[estate.ServiceID]time.Time{},
		dirty:   true,
	}
	for n := int64(0); ; n++ {
		r.Incident.ID = idAt(at, n)
		if b.records[r.Incident.ID] == nil && !b.filed[r.Incident.ID] {
			break
		}
	}
	b.records[r.Incident.ID] = r
	return r
}

func (b *book) close(r *record, at time.Time) {
	r.Incident.State = Closed
	r.Incident.Closed = at.UTC()
	b.release(r)
	r.writeSamples(at, true)
	r.Notices = append(r.Notices, notify.IncidentClosed)
	r.tell(at, "closed", journal.Info, closedMessage(&r.Incident))
	r.said = r.summary()
	b.urgent = true
}

// review derives an incident's state, site, severity, causes and title from
// what it holds, and says what changed. at is when the latest evidence
// happened.
func (b *book) review(now, at time.Time, r *record) {
	in := &r.Incident
	switch {
	case b.unwell(now, r):
		in.State = Open
		r.wellSince = time.Time{}
	case in.State == Open:
		in.State = Monitoring
		in.Times.Recovered = later(at, in.Opened).UTC()
		r.wellSince = now
		clear(r.Trouble)
	}
	b.rank(r)
	for _, m := range b.switches {
		if r.hasService(m.service) && !m.at.Before(in.Opened) {
			b.noteSwitch(r, m)
		}
	}
	b.announce(now, r)
}

// unwell reports whether anything that the incident holds is not well, or not
// known to be.
func (b *book) unwell(now time.Time, r *record) bool {
	for _, h := range r.Held {
		if l := b.levels[h.Target]; l != nil && l.unwell() {
			return true
		}
	}
	if len(r.Trouble) == 0 {
		return false
	}
	if now.Sub(r.troubleSeen) < b.settle {
		return true
	}
	for svc := range r.Trouble {
		if !b.reported[svc].After(r.troubleSeen) {
			return true // nothing was heard of it since
		}
	}
	return false
}

func (b *book) announce(now time.Time, r *record) {
	is, was := r.summary(), r.said
	if is == was {
		return
	}
	id, level := r.Incident.ID, journal.Warn
	if is.severity == Critical {
		level = journal.Error
	}
	switch {
	case was.state == "":
		r.Notices = append(r.Notices, notify.IncidentOpened)
		r.tell(r.Incident.Opened, "opened", level, "incident "+id+" opened: "+is.title)
	case was.state == Monitoring && is.state == Open:
		r.tell(now, "continued", level, "incident "+id+" continues: "+is.title)
	case is.state == Open:
		r.tell(now, "changed", level, "incident "+id+" is now "+string(is.severity)+": "+is.title)
	}
	if is.state == Monitoring && was.state != Monitoring {
		r.tell(r.Incident.Times.Recovered, "monitoring", journal.Info,
			"incident "+id+": all is well again; it closes if that lasts "+b.hold.String())
	}
	r.said = is
	r.dirty, b.urgent = true, true
}

// tick does what only time brings about.
func (b *book) tick(now time.Time) {
	b.forget(now)
	b.reveal(now)
	for _, t := range b.loose(now) {
		l := b.levels[t]
		b.sight(now, sighting{target: t, cause: l.cause, at: later(l.Since, l.grace)})
	}
	for _, r := range b.running() {
		r.writeSamples(now, false)
		b.review(now, now, r)
		if r.Incident.State != Monitoring {
			continue
		}
		if r.wellSince.IsZero() {
			r.wellSince = now // restored: the hold-down starts anew
		}
		if now.Sub(r.wellSince) >= b.hold {
			b.close(r, now)
		}
	}
}

// loose gives the unwell origins that no running incident holds, in order:
// those whose evidence was about a closed incident, and those of incidents
// that another controller closed.
func (b *book) loose(now time.Time) []estate.Target {
	var ts []estate.Target
	running := b.running()
	for t, l := range b.levels {
		if l.unwell() && !now.Before(l.grace) && !slices.ContainsFunc(running, func(r *record) bool { return r.holds(t) }) {
			ts = append(ts, t)
		}
	}
	slices.SortFunc(ts, func(a, b estate.Target) int { return cmp.Compare(a.String(), b.String()) })
	return ts
}

// forget drops what is too old to matter.
func (b *book) forget(now time.Time) {
	b.recent = slices.DeleteFunc(b.recent, func(r *record) bool {
		return !r.dirty && now.Sub(r.Incident.Closed) > keepRecent
	})
	b.switches = slices.DeleteFunc(b.switches, func(m move) bool { return now.Sub(m.at) > lookBack })
	b.forgetTraffic(now)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
