package incident

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
)

// Sample says what happened to the requests of an incident's services in a
// short span of time: a second at first, longer in incidents that last (see
// widthAt). A span in which nobody reported, because the control process was
// away, is one long sample with all that came in afterwards. Without a sample,
// nothing is known of a time; one of no requests says that there were none.
type Sample struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Counts
	Sites map[estate.SiteID]SiteSample `json:"sites,omitempty"`
	// Services has those that were hurt in this span.
	Services map[estate.ServiceID]ServiceSample `json:"services,omitempty"`
	Cut      bool                               `json:"cut,omitempty"`   // there were more sites or services than it holds
	Entry    int64                              `json:"entry,omitempty"` // journal ID; 0 = not written yet
}

// SiteSample is what a site had of a sample. Attempts are requests sent to it,
// hedges and retries included.
type SiteSample struct {
	Attempts uint64  `json:"attempts"`
	Failures uint64  `json:"failures,omitempty"`
	P95MS    float64 `json:"p95_ms,omitempty"` // the slowest service's, to the response head
}

// ServiceSample is what a service had of a sample.
type ServiceSample struct {
	Requests uint64 `json:"requests"`
	Hurt     uint64 `json:"hurt,omitempty"` // failed, cut, or maybe applied
}

const (
	sampleLead   = lookBack        // how long before an incident opened its samples begin
	sampleSettle = 2 * time.Second // reports about a span come until then
	samplesEach  = 12              // in one journal entry
	samplesWait  = 120             // that are not written yet; beyond that the oldest are joined
	sampleNames  = 64              // services in a sample
	sampleSites  = 32              // and sites
	seriesMax    = 2400            // journal entries of one incident: more than a week
	entriesWait  = 100             // the journal is long out of order: keep its room for the story
)

// widthAt gives the length of samples at an incident's age, so that what a
// long incident takes in the journal stays bounded.
func widthAt(age time.Duration) time.Duration {
	switch {
	case age < 10*time.Minute:
		return time.Second
	case age < 2*time.Hour:
		return 10 * time.Second
	default:
		return time.Minute
	}
}

// series holds an incident's samples until they are in the journal. It is
// stored with the counters that the samples were taken from, so that a restart
// neither loses a request nor counts one twice.
type series struct {
	Until   time.Time `json:"until,omitzero"` // what was before this is written, or gone
	Pending []Sample  `json:"pending,omitempty"`
	Written int       `json:"written,omitempty"` // journal entries
}

// siteDelta is a site's part of a delta.
type siteDelta struct {
	site               estate.SiteID
	attempts, failures uint64
	p95MS              float64
}

// at gives the sample that a report made at the given time belongs to; nil
// when that time is over and written. The source's report before it was made
// at since.
func (s *series) at(opened, since, at time.Time) *Sample {
	if at.Before(s.Until) || s.Written >= seriesMax {
		return nil
	}
	if i := slices.IndexFunc(s.Pending, func(p Sample) bool { return !at.Before(p.From) && at.Before(p.To) }); i >= 0 {
		return &s.Pending[i]
	}
	width := widthAt(at.Sub(opened))
	p := Sample{From: at.Truncate(width), To: at.Truncate(width).Add(width)}
	if !since.IsZero() && at.Sub(since) > 2*width {
		p.From = since.Truncate(time.Second) // it tells of all the time in between
	}
	p.From = later(later(p.From, opened.Add(-sampleLead).Truncate(time.Second)), s.Until).UTC()
	i, _ := slices.BinarySearchFunc(s.Pending, p.To, func(q Sample, to time.Time) int { return q.To.Compare(to) })
	if i > 0 {
		p.From = later(p.From, s.Pending[i-1].To)
	}
	if i < len(s.Pending) && s.Pending[i].From.Before(p.To) {
		p.To = s.Pending[i].From
	}
	s.Pending = slices.Insert(s.Pending, i, p)
	if len(s.Pending) > samplesWait {
		s.Pending[1].join(s.Pending[0])
		s.Pending = slices.Delete(s.Pending, 0, 1)
		i--
	}
	return &s.Pending[max(0, i)]
}

// join makes s the sample of both spans; p's is right before its own.
func (s *Sample) join(p Sample) {
	s.From, s.Counts, s.Cut = p.From, s.plus(p.Counts), s.Cut || p.Cut
	for site, part := range p.Sites {
		s.site(siteDelta{site, part.Attempts, part.Failures, part.P95MS})
	}
	for svc, part := range p.Services {
		s.service(svc, part)
	}
}

func (s *Sample) add(svc estate.ServiceID, d *delta) {
	s.Counts = s.plus(d.counts)
	for _, part := range d.sites {
		s.site(part)
	}
	s.service(svc, ServiceSample{Requests: d.counts.Requests, Hurt: d.counts.hurt()})
}

func (s *Sample) site(d siteDelta) {
	was, ok := s.Sites[d.site]
	if !ok && len(s.Sites) >= sampleSites {
		s.Cut = true
		return
	}
	if s.Sites == nil {
		s.Sites = map[estate.SiteID]SiteSample{}
	}
	s.Sites[d.site] = SiteSample{was.Attempts + d.attempts, was.Failures + d.failures, max(was.P95MS, d.p95MS)}
}

func (s *Sample) service(svc estate.ServiceID, p ServiceSample) {
	was, ok := s.Services[svc]
	if !ok && len(s.Services) >= sampleNames {
		s.Cut = true
		return
	}
	if s.Services == nil {
		s.Services = map[estate.ServiceID]ServiceSample{}
	}
	s.Services[svc] = ServiceSample{was.Requests + p.Requests, was.Hurt + p.Hurt}
}

// sample adds the delta to the incident's series.
func (r *record) sample(svc estate.ServiceID, d *delta) {
	if r.Incident.State == Closed {
		return
	}
	if s := r.Series.at(r.Incident.Opened, d.since, d.at); s != nil {
		s.add(svc, d)
	}
}

// backfill samples the service's reports from before it joined the incident.
func (b *book) backfill(r *record, svc estate.ServiceID) {
	for i := range b.ring[svc] {
		if d := &b.ring[svc][i]; d.at.After(r.Incident.Opened.Add(-sampleLead)) {
			r.sample(svc, d)
		}
	}
}

// heard notes in the running incidents that a data process reported, so that
// no requests can be told from no report.
func (b *book) heard(since, at time.Time) {
	for _, r := range b.running() {
		if r.Series.at(r.Incident.Opened, since, at) != nil {
			r.dirty = true
		}
	}
}

// writeSamples queues journal entries of the samples whose time is over; all of
// them, at the incident's end.
func (r *record) writeSamples(now time.Time, all bool) {
	s := &r.Series
	for {
		ready := len(s.Pending)
		for !all && ready > 0 && now.Before(s.Pending[ready-1].To.Add(sampleSettle)) {
			ready--
		}
		if ready == 0 || !all && (ready < samplesEach || len(r.Entries) >= entriesWait) {
			return
		}
		r.writeEntry(s.Pending[:min(ready, samplesEach)])
		s.Pending = slices.Delete(s.Pending, 0, min(ready, samplesEach))
	}
}

func (r *record) writeEntry(list []Sample) {
	s, sum := &r.Series, Counts{}
	for i := range list {
		sum = sum.plus(list[i].Counts)
		for svc, part := range list[i].Services {
			if part.Hurt == 0 {
				delete(list[i].Services, svc)
			}
		}
	}
	from, to := list[0].From, list[len(list)-1].To
	data, err := json.Marshal(telemetry{list})
	if err != nil {
		data = nil // plain values: cannot fail
	}
	s.Written++
	s.Until = to
	r.Entries = append(r.Entries, waiting{journal.Entry{
		At: to, Kind: journal.KindTelemetry, Level: journal.Info, Certainty: journal.Observed, Incident: r.Incident.ID, Actor: "data", Data: data,
		Message: fmt.Sprintf("%d requests in %s: %d failed, %d maybe applied, %d cut, longest %.0f ms",
			sum.Requests, to.Sub(from), sum.Failed, sum.MaybeApplied, sum.Truncated, sum.LongestMS),
	}, fmt.Sprintf("telemetry/%s/%d", r.Incident.ID, s.Written)})
	r.dirty = true
}

// telemetry is the Data of a [journal.KindTelemetry] entry.
type telemetry struct {
	Samples []Sample `json:"samples"`
}

// samplesOf reads the samples of journal entries, oldest first.
func samplesOf(entries []journal.Entry) []Sample {
	var all []Sample
	for _, e := range entries {
		var t telemetry
		if json.Unmarshal(e.Data, &t) != nil {
			continue // another version's; the report says that nothing is known of the time
		}
		for _, s := range t.Samples {
			s.Entry = e.ID
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b Sample) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	return all
}
