// Package report makes the post-incident report: what happened, to whom, how
// fast it was noticed and mended, and what the data cannot tell.
//
// It is pure. [Build] takes what is known of an incident, [Facts], and gives
// the document, [apiv1.Report]; [Markdown], [HTML] and encoding/json write it.
// The same facts give the same bytes. All text that came from outside is made
// printable by Build and escaped by each writer.
//
//	doc := report.Build(report.Facts{Incident: in, Entries: lines, Samples: samples, Now: now})
//	page := report.HTML(doc, report.Links{Journal: "/api/v1/journal"})
package report

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sparecloud/spare/internal/apiv1"
)

// Facts are what a report is made of.
type Facts struct {
	Incident apiv1.Incident
	Entries  []apiv1.Entry // of the timeline, and of the program's own life in that time
	Cut      bool          // there were more entries than Entries holds
	Samples  []apiv1.ReportSample
	Services []Service // those of the incident that the estate declares
	Told     bool      // somebody is told of incidents
	Version  string    // of the program
	Now      time.Time
}

// Service is what the estate says of a service.
type Service struct {
	ID           string
	Sites        []string // in order of preference
	RTO          time.Duration
	Availability float64 // per cent; 0 = not declared
	CostPerHour  float64
	Unwatched    []string // what it needs and nothing checks
}

const (
	maxLines   = 400 // of the timeline
	maxText    = 600 // characters of one text
	maxSamples = 240
	month      = 30 * 24 * time.Hour // that an availability objective is for
)

// Build makes the report.
func Build(f Facts) apiv1.Report {
	f.clean()
	r := apiv1.Report{
		Generated: f.Now.UTC().Truncate(time.Second), Spare: f.Version, Final: f.Incident.State == apiv1.IncidentClosed,
		Incident: f.Incident, Checklist: checklist(),
	}
	r.Milestones = f.milestones()
	r.Losses = f.losses()
	r.Summary = f.summary(r.Losses)
	r.Trigger, r.Conditions = f.causes()
	r.Response = f.response()
	r.Timeline, r.LeftOut = f.timeline()
	r.CannotTell = f.cannotTell(r.LeftOut)
	r.Hints = f.hints(r.Losses)
	r.Samples = thin(f.Samples, maxSamples)
	return r
}

// clean makes everything printable and puts it in order. It works on copies.
func (f *Facts) clean() {
	f.Version = plain(f.Version)
	in := &f.Incident
	in.ID, in.Title, in.Site, in.Severity, in.State = plain(in.ID), plain(in.Title), plain(in.Site), plain(in.Severity), plain(in.State)
	in.Services = plainAll(in.Services)
	in.Causes = slices.Clone(in.Causes)
	for i := range in.Causes {
		c := &in.Causes[i]
		c.Kind, c.Site, c.Service, c.Text, c.Certainty = plain(c.Kind), plain(c.Site), plain(c.Service), plain(c.Text), plain(c.Certainty)
	}
	in.Impact.Services = slices.Clone(in.Impact.Services)
	for i := range in.Impact.Services {
		in.Impact.Services[i].Service = plain(in.Impact.Services[i].Service)
	}
	f.Entries = slices.Clone(f.Entries)
	for i := range f.Entries {
		e := &f.Entries[i]
		e.At, e.Kind, e.Level, e.Certainty = e.At.UTC(), plain(e.Kind), plain(e.Level), plain(e.Certainty)
		e.Service, e.Site, e.Actor, e.Message = plain(e.Service), plain(e.Site), plain(e.Actor), plain(e.Message)
	}
	slices.SortStableFunc(f.Entries, func(a, b apiv1.Entry) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	f.Entries = slices.CompactFunc(f.Entries, func(a, b apiv1.Entry) bool { return a.ID == b.ID })
	f.Samples = cleanSamples(f.Samples)
	f.Services = slices.Clone(f.Services)
	for i := range f.Services {
		s := &f.Services[i]
		s.ID, s.Sites, s.Unwatched = plain(s.ID), plainAll(s.Sites), plainAll(s.Unwatched)
	}
}

func plainAll(list []string) []string {
	list = slices.Clone(list)
	for i := range list {
		list[i] = plain(list[i])
	}
	return list
}

func cleanSamples(list []apiv1.ReportSample) []apiv1.ReportSample {
	list = slices.Clone(list)
	for i := range list {
		s := &list[i]
		s.From, s.To = s.From.UTC(), s.To.UTC()
		s.Sites, s.Services = slices.Clone(s.Sites), slices.Clone(s.Services)
		for j := range s.Sites {
			s.Sites[j].Site = plain(s.Sites[j].Site)
		}
		for j := range s.Services {
			s.Services[j].Service = plain(s.Services[j].Service)
		}
	}
	list = slices.DeleteFunc(list, func(s apiv1.ReportSample) bool { return !s.To.After(s.From) })
	slices.SortStableFunc(list, func(a, b apiv1.ReportSample) int { return a.From.Compare(b.From) })
	return list
}

// plain makes one printable line of a text from outside, and cuts a very long
// one. Marks that turn the direction of writing are not printable.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		default:
			return r
		}
	}, strings.ToValidUTF8(s, "?"))
	if n := len(s); n > maxText {
		if runes := []rune(s); len(runes) > maxText {
			return string(runes[:maxText]) + "…"
		}
	}
	return s
}

// end is when the incident ended, or the time of the report.
func (f *Facts) end() time.Time {
	if !f.Incident.Closed.IsZero() {
		return f.Incident.Closed
	}
	return f.Now
}

// service gives what the estate says of a service.
func (f *Facts) service(id string) (Service, bool) {
	i := slices.IndexFunc(f.Services, func(s Service) bool { return s.ID == id })
	if i < 0 {
		return Service{}, false
	}
	return f.Services[i], true
}

func hurt(failed, maybe, truncated uint64) uint64 { return failed + maybe + truncated }

func checklist() []string {
	return []string{
		"Root cause inside the site that failed, with its owner",
		"Users and partners who must be told",
		"What would have made this incident shorter, or kept it from happening",
		"Who does it, and until when",
	}
}
