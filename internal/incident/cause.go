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

// ofReplicas are the texts that differ for a bucket's replica: what answers
// there is a provider.
var ofReplicas = map[CauseKind]string{
	OriginRefuses: "refuses connections: the provider is gone, or nothing listens there",
	OriginFrozen:  "does not answer in time: the provider is frozen, overloaded or cut off",
	Errors:        "fails its requests, or lost what it held",
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

// siteOut reports whether every origin and every replica declared at the site
// is unwell.
func (b *book) siteOut(id estate.SiteID) bool {
	if b.estate == nil {
		return false
	}
	var all []estate.Target
	for i := range b.estate.Services {
		s := &b.estate.Services[i]
		if _, ok := s.Origin(id); ok {
			all = append(all, estate.Target{Service: s.ID, Site: id})
		}
	}
	for i := range b.estate.Buckets {
		bucket := &b.estate.Buckets[i]
		if _, ok := bucket.Replica(id); ok {
			all = append(all, estate.BucketTarget(bucket.ID, id))
		}
	}
	return len(all) > 0 && !slices.ContainsFunc(all, func(t estate.Target) bool { return !b.unwellAt(t) })
}

func (b *book) unwellAt(t estate.Target) bool {
	l := b.levels[t]
	return l != nil && l.unwell()
}

func (b *book) severity(r *record) Severity {
	worst := Minor
	if r.Incident.Impact.hurt() > 0 {
		worst = Major
	}
	for _, h := range r.Held {
		if b.exhausted(h.Target.Service) {
			return Critical
		}
		if id, ok := h.Target.Service.Bucket(); ok && b.readOnly(id) {
			worst = Major
		}
	}
	return worst
}

// exhausted reports whether the service has no well origin left, or the bucket
// no majority of its replicas.
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
	return !slices.ContainsFunc(s.Origins, func(o estate.Origin) bool {
		return !b.unwellAt(estate.Target{Service: id, Site: o.Site})
	})
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
		if b.unwellAt(estate.BucketTarget(id, r.Site)) {
			n++
		}
	}
	return n > bucket.Faults()
}

// readOnly reports whether the bucket refuses PUTs: their bytes must be at one
// more site than may be lost, unless it is declared to do with fewer.
func (b *book) readOnly(id estate.BucketID) bool {
	if b.estate == nil {
		return false
	}
	bucket, ok := b.estate.Bucket(id)
	if !ok || bucket.Degraded {
		return false
	}
	well := 0
	for _, r := range bucket.Replicas {
		if !r.Witness && !b.unwellAt(estate.BucketTarget(id, r.Site)) {
			well++
		}
	}
	return well <= bucket.Faults()
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
		c.Text = fmt.Sprintf("%s at %s was unwell at once (%s): the site is down or cut off", everything(services(at)), s, list(subjects(services(at))))
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
		c.Text = fmt.Sprintf("requests of %s fail, and no check says why", list(subjects(r.Incident.Services)))
		return c
	}
	c.Kind, c.Certainty = Errors, journal.Inferred
	c.Text = fmt.Sprintf("requests of %s fail, and every failed attempt was at %s", list(subjects(r.Incident.Services)), r.Incident.Site)
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
		targets = append(targets, subject(t.Target.Service)+" at "+string(t.Target.Site))
	}
	of := services(ts)
	if len(of) == 1 {
		c.Service = of[0]
	}
	if text, ok := ofReplicas[f.kind]; ok && onlyBuckets(of) {
		f.text = text
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

// everything says what the services and buckets have at a site.
func everything(ids []estate.ServiceID) string {
	switch {
	case onlyBuckets(ids):
		return "every replica"
	case slices.ContainsFunc(ids, func(id estate.ServiceID) bool { _, ok := id.Bucket(); return ok }):
		return "every origin and replica"
	default:
		return "every origin"
	}
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
