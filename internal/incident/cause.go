package incident

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
)

// finding is how one cause is named. The text completes "shop at virginia".
type finding struct {
	kind      CauseKind
	certainty journal.Certainty
	text      string
}

var findings = map[health.Cause]finding{
	health.CauseRefused:  {OriginRefuses, journal.Inferred, "refuses connections: the process or the machine is gone"},
	health.CauseTimeout:  {OriginFrozen, journal.Inferred, "accepts connections and does not answer: frozen or overloaded"},
	health.CauseConnect:  {OriginUnreachable, journal.Observed, "cannot be reached"},
	health.CauseReset:    {OriginResets, journal.Observed, "closes connections without an answer"},
	health.CauseStatus:   {Errors, journal.Observed, "answers with application errors"},
	health.CauseProtocol: {Errors, journal.Observed, "answers with application errors"},
	health.CauseBody:     {Errors, journal.Observed, "answers with application errors"},
	health.CauseDNS:      {DNS, journal.Observed, "has a name that does not resolve"},
	health.CauseTLS:      {TLS, journal.Observed, "fails the TLS handshake"},
	health.CauseNone:     {UnknownCause, journal.Observed, "is unwell for a reason that is not known"},
}

// rank derives causes, severity, site and title from what the incident holds.
func (b *book) rank(r *record) {
	in := &r.Incident
	sites := r.sites()
	switch {
	case len(sites) == 1:
		in.Site = sites[0]
	case len(sites) > 1:
		in.Site = ""
	}
	running := in.State != Closed // after that, what is unwell is so for another reason
	for _, s := range sites {
		if running && !slices.Contains(r.SitesOut, s) && b.siteOut(s) {
			r.SitesOut = append(r.SitesOut, s)
		}
	}
	in.Causes = r.causes()
	if sev := b.severity(r); running && sev.rank() > in.Severity.rank() {
		in.Severity = sev
	}
	in.Title = r.title()
}

// sites gives the sites of the origins held, in order.
func (r *record) sites() []estate.SiteID {
	var ids []estate.SiteID
	for _, h := range r.Held {
		ids = append(ids, h.Target.Site)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// siteOut reports whether every origin declared at the site is unwell.
func (b *book) siteOut(id estate.SiteID) bool {
	if b.estate == nil {
		return false
	}
	n := 0
	for i := range b.estate.Services {
		s := &b.estate.Services[i]
		if _, ok := s.Origin(id); !ok {
			continue
		}
		if l := b.levels[estate.Target{Service: s.ID, Site: id}]; l == nil || !l.unwell() {
			return false
		}
		n++
	}
	return n > 0
}

func (b *book) severity(r *record) Severity {
	for _, h := range r.Held {
		if b.exhausted(h.Target.Service) {
			return Critical
		}
	}
	if r.Incident.Impact.hurt() > 0 {
		return Major
	}
	return Minor
}

// exhausted reports whether the service has no well origin left.
func (b *book) exhausted(id estate.ServiceID) bool {
	if b.estate == nil {
		return false
	}
	if bucket, ok := id.Bucket(); ok {
		return b.tooFew(bucket)
	}
	s, ok := b.estate.Service(id)
	if !ok {
		return false
	}
	for _, o := range s.Origins {
		if l := b.levels[estate.Target{Service: id, Site: o.Site}]; l == nil || !l.unwell() {
			return false
		}
	}
	return true
}

// tooFew reports whether more of the bucket's replicas are unwell than it can
// do without.
func (b *book) tooFew(id estate.BucketID) bool {
	bucket, ok := b.estate.Bucket(id)
	if !ok {
		return false
	}
	n := 0
	for _, r := range bucket.Replicas {
		if l := b.levels[estate.BucketTarget(id, r.Site)]; l != nil && l.unwell() {
			n++
		}
	}
	return n > bucket.Faults()
}

// causes ranks by the share of the evidence that a cause explains.
func (r *record) causes() []Cause {
	evidence := r.evidence()
	total := 0
	for _, t := range evidence {
		total += t.N
	}
	if total == 0 {
		return []Cause{r.trafficCause()}
	}
	var causes []Cause
	for _, s := range r.SitesOut {
		at := slices.DeleteFunc(slices.Clone(evidence), func(t tally) bool { return t.Target.Site != s })
		c := causeOf(at, total, finding{SiteDown, journal.Inferred, ""})
		c.Text = fmt.Sprintf("every origin at %s was unwell at once (%s): the site is down or cut off", s, list(services(at)))
		causes = append(causes, c)
	}
	for _, kind := range kinds(evidence) {
		of := slices.DeleteFunc(slices.Clone(evidence), func(t tally) bool { return findings[t.Cause].kind != kind })
		causes = append(causes, causeOf(of, total, findings[of[0].Cause]))
	}
	slices.SortStableFunc(causes, func(a, b Cause) int { return cmp.Compare(b.Score, a.Score) })
	return causes
}

// evidence gives the tallies as causes count them: an origin that refuses
// connections reset the ones that it had, for the same reason; and an unknown
// reason says nothing beside a known one.
func (r *record) evidence() []tally {
	has := func(t estate.Target, c func(health.Cause) bool) bool {
		return slices.ContainsFunc(r.Tally, func(o tally) bool { return o.Target == t && c(o.Cause) })
	}
	var out []tally
	for _, t := range r.Tally {
		switch {
		case t.Cause == health.CauseNone && has(t.Target, func(c health.Cause) bool { return c != health.CauseNone }):
			continue
		case t.Cause == health.CauseReset && has(t.Target, func(c health.Cause) bool { return c == health.CauseRefused }):
			t.Cause = health.CauseRefused
		}
		if _, ok := findings[t.Cause]; !ok {
			t.Cause = health.CauseNone // a cause of a later version
		}
		out = append(out, t)
	}
	return out
}

// trafficCause explains an incident that rests on failed requests alone.
func (r *record) trafficCause() Cause {
	c := Cause{Kind: UnknownCause, Site: r.Incident.Site, Certainty: journal.Observed, Score: 1}
	if len(r.Incident.Services) == 1 {
		c.Service = r.Incident.Services[0]
	}
	if r.Incident.Site == "" {
		c.Text = fmt.Sprintf("requests of %s fail, and no check says why", list(r.Incident.Services))
		return c
	}
	c.Kind, c.Certainty = Errors, journal.Inferred
	c.Text = fmt.Sprintf("requests of %s fail, and every failed attempt was at %s", list(r.Incident.Services), r.Incident.Site)
	return c
}

// causeOf sums up the tallies that one cause explains.
func causeOf(ts []tally, total int, f finding) Cause {
	c := Cause{Kind: f.kind, Certainty: f.certainty}
	n := 0
	var targets []string
	for _, t := range ts {
		n += t.N
		c.Entries = append(c.Entries, t.Entries...)
		targets = append(targets, string(t.Target.Service)+" at "+string(t.Target.Site))
	}
	if s := services(ts); len(s) == 1 {
		c.Service = s[0]
	}
	c.Site = ts[0].Target.Site
	if slices.ContainsFunc(ts, func(t tally) bool { return t.Target.Site != c.Site }) {
		c.Site = ""
	}
	slices.Sort(c.Entries)
	c.Entries = slices.Compact(c.Entries)
	slices.Sort(targets)
	c.Text = list(slices.Compact(targets)) + " " + f.text
	c.Score = float64(n) / float64(total)
	return c
}

func services(ts []tally) []estate.ServiceID {
	var ids []estate.ServiceID
	for _, t := range ts {
		ids = append(ids, t.Target.Service)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// kinds gives the kinds of cause in the evidence, in order.
func kinds(ts []tally) []CauseKind {
	var ks []CauseKind
	for _, t := range ts {
		ks = append(ks, findings[t.Cause].kind)
	}
	slices.Sort(ks)
	return slices.Compact(ks)
}

// list joins names as a sentence does.
func list[S ~string](names []S) string {
	var b strings.Builder
	for i, n := range names {
		switch {
		case i > 0 && i == len(names)-1:
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(n))
	}
	return b.String()
}
