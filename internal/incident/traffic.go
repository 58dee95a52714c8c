package incident

import (
	"maps"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/state"
)

const (
	lookBack    = 30 * time.Second   // how long reports are kept for incidents that open later
	leadMin     = 2 * time.Second    // counted before the first evidence in any case
	leadGap     = 5 * time.Second    // longest pause within trouble that leads up to the evidence
	ringMax     = 2048               // reports kept for a service
	aheadMax    = 1024               // events remembered beyond a gap in a source's sequence
	silentAfter = 30 * time.Second   // a data process that says nothing for so long has no say
	sourceTTL   = 7 * 24 * time.Hour // and after this it is forgotten
)

// source is what is known of one data process.
type source struct {
	Seq    uint64                       `json:"seq"` // all events up to here were seen
	Ahead  map[uint64]bool              `json:"ahead,omitempty"`
	Counts map[estate.ServiceID]counted `json:"counts"`
	Last   time.Time                    `json:"last"`        // when it was last heard
	At     time.Time                    `json:"at,omitzero"` // of its last report

	rev   state.Revision
	dirty bool
	seen  time.Time // as Last, but a restart makes it new
}

// counted is a service's cumulative counters, as the source reported them.
type counted struct {
	Counts   Counts                   `json:"counts"`
	Attempts map[estate.SiteID]uint64 `json:"attempts,omitempty"`
	Failures map[estate.SiteID]uint64 `json:"failures,omitempty"` // of the attempts
}

// delta is what happened between two reports of a source about a service.
type delta struct {
	source string
	since  time.Time // of the first report
	at     time.Time // of the second report
	counts Counts
	sites  []siteDelta
	before counted // the first report
	taken  bool    // an incident counts it
}

// unexplained is trouble of a service with no origin known to be unwell.
type unexplained struct {
	first, last time.Time // reports
	seen, due   time.Time // our clock
	sites       map[estate.SiteID]bool
}

func (b *book) source(name string, now time.Time) *source {
	s := b.sources[name]
	if s == nil {
		s = &source{Counts: map[estate.ServiceID]counted{}}
		b.sources[name] = s
	}
	s.seen, s.Last, s.dirty = now, now.UTC(), true
	return s
}

// fresh reports whether the event is new. Sequence 0 is not numbered, and
// always new.
func (s *source) fresh(seq uint64) bool {
	if seq == 0 {
		return true
	}
	if seq <= s.Seq || s.Ahead[seq] {
		return false
	}
	if s.Ahead == nil {
		s.Ahead = map[uint64]bool{}
	}
	s.Ahead[seq] = true
	if len(s.Ahead) > aheadMax {
		s.Seq = slices.Min(slices.Collect(maps.Keys(s.Ahead))) - 1 // the gap will not be filled any more
	}
	for s.Ahead[s.Seq+1] {
		s.Seq++
		delete(s.Ahead, s.Seq)
	}
	return true
}

func (b *book) traffic(now time.Time, name string, at time.Time, list []health.Traffic) {
	src := b.source(name, now)
	at = orNow(at, now)
	since := src.At
	for _, t := range list {
		if b.estate != nil {
			if _, ok := b.estate.Service(t.Service); !ok {
				continue
			}
		}
		b.report(now, name, src, at, t)
	}
	if at.After(since) {
		src.At = at
		b.heard(since, at)
	}
	for _, r := range b.running() {
		if r.dirty {
			b.review(now, at, r)
		}
	}
}

// report takes in one service's counters. A report that is behind the last one
// came late and says nothing new.
func (b *book) report(now time.Time, name string, src *source, at time.Time, t health.Traffic) {
	before, after := src.Counts[t.Service], countedOf(t)
	if after.behind(before) {
		return
	}
	src.Counts[t.Service] = after
	b.reported[t.Service] = now
	for _, o := range t.Origins {
		b.flag(now, name, at, estate.Target{Service: t.Service, Site: o.Site}, o.Ejected)
	}
	d := delta{source: name, since: src.At, at: at, counts: after.Counts.minus(before.Counts), before: before}
	d.counts.LongestMS = float64(t.LongestNS) / 1e6
	if d.counts == (Counts{}) {
		return
	}
	d.sites = after.sitesSince(before, t)
	b.account(t.Service, &d)
	ring := append(b.ring[t.Service], d)
	b.ring[t.Service] = ring[max(0, len(ring)-ringMax):]
	if d.counts.hurt() > 0 {
		b.fail(now, t.Service, at, after.failedSince(before))
	}
}

// flag corrects an origin's level by what a report says, in case an event was
// lost. Reports from before the last event do not count.
func (b *book) flag(now time.Time, name string, at time.Time, t estate.Target, ejected bool) {
	if !b.declared(t) {
		return
	}
	var since, back time.Time
	if l := b.levels[t]; l != nil {
		since, back = l.Ejected[name], l.back[name]
	}
	switch {
	case ejected && since.IsZero() && at.After(back):
		b.ejected(now, name, t, at, health.CauseNone)
	case !ejected && !since.IsZero() && at.After(since):
		b.readmitted(now, name, t, at)
	}
}

// account adds the delta to the incidents whose window it falls in.
func (b *book) account(svc estate.ServiceID, d *delta) {
	for _, r := range append(b.running(), b.closed()...) {
		from, ok := r.From[svc]
		if ok {
			r.sample(svc, d)
		}
		if !ok || !d.at.After(from) || r.Incident.State == Closed && d.at.After(r.Incident.Closed) {
			continue
		}
		r.Incident.Impact.add(svc, d.counts)
		r.dirty, d.taken = true, true
	}
}

// cover makes the incident count the service's requests from a little before
// at. What it counted already stays counted once.
func (b *book) cover(r *record, svc estate.ServiceID, at time.Time) {
	if !r.hasService(svc) {
		r.Incident.Services = append(r.Incident.Services, svc)
		slices.Sort(r.Incident.Services)
	}
	from := b.lead(svc, at)
	until := r.Incident.Closed // zero: no end
	if old, ok := r.From[svc]; ok {
		if !from.Before(old) {
			return
		}
		until = old
	} else {
		b.backfill(r, svc)
	}
	r.From[svc] = from
	r.dirty = true
	for i := range b.ring[svc] {
		d := &b.ring[svc][i]
		if d.at.After(from) && (until.IsZero() || !d.at.After(until)) {
			r.Incident.Impact.add(svc, d.counts)
			b.take(d, true)
		}
	}
}

// release takes back what a closed incident counted after its end.
func (b *book) release(r *record) {
	for svc, from := range r.From {
		for i := range b.ring[svc] {
			d := &b.ring[svc][i]
			if d.at.After(from) && d.at.After(r.Incident.Closed) {
				r.Incident.Impact.sub(svc, d.counts)
				b.take(d, false)
			}
		}
	}
}

// take notes whether an incident counts the report, which changes what its
// source may be stored as.
func (b *book) take(d *delta, taken bool) {
	d.taken = taken
	if s := b.sources[d.source]; s != nil {
		s.dirty = true
	}
}

// lead gives the time after which reports belong to evidence that happened at
// the given time: it follows reports of trouble back from there, but not into
// an incident that was closed by then.
func (b *book) lead(svc estate.ServiceID, at time.Time) time.Time {
	from := b.trail(svc, at)
	for _, r := range b.closed() {
		if r.hasService(svc) && r.Incident.Closed.Before(at) {
			from = later(from, r.Incident.Closed)
		}
	}
	return from
}

func (b *book) trail(svc estate.ServiceID, at time.Time) time.Time {
	from, edge := at.Add(-leadMin), at
	for _, d := range slices.Backward(b.ring[svc]) {
		switch {
		case d.at.After(at) || !d.counts.troubled():
		case at.Sub(d.at) > lookBack || edge.Sub(d.at) > leadGap:
			return from
		default:
			edge = d.at
			if !d.at.After(from) {
				from = d.at.Add(-1)
			}
		}
	}
	return from
}

// fail notes that requests of a service failed.
func (b *book) fail(now time.Time, svc estate.ServiceID, at time.Time, sites []estate.SiteID) {
	if r := b.responsible(svc, sites); r != nil {
		r.Trouble[svc] = at
		r.troubleSeen, r.dirty = now, true
		r.begin(at)
		b.cover(r, svc, at)
		return
	}
	for _, r := range b.closed() {
		if r.hasService(svc) && !at.After(r.Incident.Closed) {
			return // counted there, by account
		}
	}
	u := b.trouble[svc]
	if u == nil {
		u = &unexplained{first: at, due: now.Add(b.settle), sites: map[estate.SiteID]bool{}}
		b.trouble[svc] = u
	}
	u.last, u.seen = later(u.last, at), now
	for _, s := range sites {
		u.sites[s] = true
	}
}

// responsible finds the running incident that explains failed requests: one
// that holds an unwell origin of the service, else one about a site where
// attempts failed, else any that holds the service.
func (b *book) responsible(svc estate.ServiceID, sites []estate.SiteID) *record {
	rules := []func(r *record) bool{
		func(r *record) bool {
			return slices.ContainsFunc(r.Held, func(h held) bool {
				l := b.levels[h.Target]
				return h.Target.Service == svc && l != nil && l.unwell()
			})
		},
		func(r *record) bool { return slices.Contains(sites, r.Incident.Site) },
		func(r *record) bool { return true },
	}
	running := slices.DeleteFunc(b.running(), func(r *record) bool { return !r.hasService(svc) })
	for _, fits := range rules {
		if i := slices.IndexFunc(running, fits); i >= 0 {
			return running[i]
		}
	}
	return nil
}

// explain hands trouble that waited for an explanation to the incident.
func (b *book) explain(r *record, svc estate.ServiceID) {
	u := b.trouble[svc]
	if u == nil {
		return
	}
	delete(b.trouble, svc)
	r.begin(u.first)
	r.Trouble[svc] = u.last
	r.troubleSeen, r.dirty = u.seen, true
	b.cover(r, svc, u.first)
}

// reveal opens incidents for trouble that nothing explained in time.
func (b *book) reveal(now time.Time) {
	for _, svc := range slices.Sorted(maps.Keys(b.trouble)) {
		u := b.trouble[svc]
		if now.Before(u.due) {
			continue
		}
		var site estate.SiteID
		if len(u.sites) == 1 {
			site = slices.Collect(maps.Keys(u.sites))[0]
		}
		running := b.running()
		i := slices.IndexFunc(running, func(r *record) bool { return site != "" && r.Incident.Site == site })
		var r *record
		if i >= 0 {
			r = running[i]
		} else {
			r = b.open(u.first, site)
			r.Incident.Times.Detected = u.first
		}
		b.explain(r, svc)
		b.review(now, now, r)
	}
}
