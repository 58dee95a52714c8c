package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// milestones are the incident's times in order, each with the entry that says
// so.
func (f *Facts) milestones() []apiv1.Milestone {
	in := f.Incident
	list := []apiv1.Milestone{}
	add := func(name string, at time.Time, entry int64) {
		if !at.IsZero() {
			list = append(list, apiv1.Milestone{Name: name, At: at.UTC(), AfterMS: apiv1.Milliseconds(at.Sub(in.Opened)), Entry: entry})
		}
	}
	add("first_evidence", in.Opened, f.nearest(in.Opened, "eject", "verdict", "incident"))
	add("detected", in.Times.Detected, f.nearest(in.Times.Detected, "eject", "verdict", "incident"))
	add("ejected", in.Times.Ejected, f.nearest(in.Times.Ejected, "eject"))
	add("switched", in.Times.Switched, f.nearest(in.Times.Switched, "switch"))
	add("recovered", in.Times.Recovered, f.nearest(in.Times.Recovered, "incident"))
	add("closed", in.Closed, f.nearest(in.Closed, "incident"))
	slices.SortStableFunc(list, func(a, b apiv1.Milestone) int { return a.At.Compare(b.At) })
	return list
}

// nearest gives the entry of one of the kinds that happened right at that
// time, the first kind first; 0 when there is none.
func (f *Facts) nearest(at time.Time, kinds ...string) int64 {
	for _, k := range kinds {
		for _, e := range f.Entries {
			if e.Kind == k && e.At.Sub(at).Abs() <= time.Millisecond {
				return e.ID
			}
		}
	}
	return 0
}

// summary is two sentences: what happened, and what it did to users.
func (f *Facts) summary(losses []apiv1.Loss) []string {
	in := f.Incident
	what := in.Title
	if len(in.Causes) > 0 && in.Causes[0].Text != "" {
		what += " - " + in.Causes[0].Text
	}
	var when string
	switch to := in.Times.Recovered; {
	case to.IsZero() || in.State == apiv1.IncidentOpen:
		when = fmt.Sprintf("Since %s UTC (%s so far)", clock(in.Opened), span(f.Now.Sub(in.Opened)))
	default:
		when = fmt.Sprintf("From %s to %s UTC (%s)", clock(in.Opened), to.UTC().Format("15:04:05"), span(to.Sub(in.Opened)))
	}
	return []string{sentence(when + ", " + what), sentence(f.consequence(losses))}
}

func (f *Facts) consequence(losses []apiv1.Loss) string {
	m := f.Incident.Impact
	var parts []string
	n := hurt(m.Failed, m.MaybeApplied, m.Truncated)
	switch {
	case m.Requests == 0 && n == 0 && len(buckets(f.Incident)) > 0:
		parts = append(parts, "What it did to requests is not in numbers: "+whatBuckets)
	case m.Requests == 0 && n == 0:
		parts = append(parts, "No request was counted, so nobody is known to have been hurt")
	case n == 0:
		parts = append(parts, fmt.Sprintf("None of %s failed", count(m.Requests, "request")))
	default:
		parts = append(parts, fmt.Sprintf("Of %s, %s", count(m.Requests, "request"), harms(m)))
	}
	if at, how := f.away(f.Incident.Site); !at.IsZero() {
		after := "with the first evidence"
		if took := at.Sub(f.Incident.Opened); took >= 5*time.Millisecond {
			after = span(took) + " after the first evidence"
		}
		parts = append(parts, how+" "+after)
	}
	if saved := m.Retried + m.Hedged + m.Resumed; saved > 0 {
		parts = append(parts, fmt.Sprintf("%s repeated, hedged or resumed at another site", was(saved, "request")))
	}
	var money float64
	for _, l := range losses {
		money += l.Money
	}
	if money > 0 {
		parts = append(parts, fmt.Sprintf("the loss by cost_per_hour is %.2f", money))
	}
	return strings.Join(parts, "; ")
}

// harms says what went wrong with requests, and leaves out what did not.
func harms(m apiv1.Impact) string {
	var list []string
	for _, h := range []struct {
		n    uint64
		what string
	}{{m.Failed, "failed"}, {m.MaybeApplied, "may or may not have been applied"}, {m.Truncated, "got a cut answer"}} {
		if h.n > 0 {
			list = append(list, number(h.n)+" "+h.what)
		}
	}
	return strings.Join(list, ", ")
}

// away is when traffic first left the trouble.
func (f *Facts) away(site string) (time.Time, string) {
	t := f.Incident.Times
	if !t.Ejected.IsZero() && (t.Switched.IsZero() || !t.Switched.Before(t.Ejected)) {
		return t.Ejected, "traffic left " + or(site, "the origin") + " by itself"
	}
	return t.Switched, "traffic was moved"
}

// causes tells the trigger from what else bore on the incident.
func (f *Facts) causes() (*apiv1.Cause, []apiv1.ReportStatement) {
	list := []apiv1.ReportStatement{}
	var trigger *apiv1.Cause
	for i, c := range f.Incident.Causes {
		if i == 0 {
			trigger = &f.Incident.Causes[0]
			continue
		}
		list = append(list, apiv1.ReportStatement{
			Text:    fmt.Sprintf("%s (%s, explains %.0f %% of the evidence)", c.Text, c.Certainty, 100*c.Score),
			Entries: c.Entries,
		})
	}
	for _, e := range f.Entries {
		before := f.Incident.Opened.Sub(e.At)
		switch {
		case before > 0 && slices.Contains([]string{"reload", "operator", "override"}, e.Kind):
			list = append(list, apiv1.ReportStatement{Text: fmt.Sprintf("Changed %s before: %s", span(before), e.Message), Entries: []int64{e.ID}})
		case e.Kind == "verdict" && e.Service == "" && e.Level != "info" && !e.At.After(f.end()):
			list = append(list, apiv1.ReportStatement{Text: fmt.Sprintf("At %s %s", precise(e.At), e.Message), Entries: []int64{e.ID}})
		case before <= 0 && controlStart(e):
			list = append(list, apiv1.ReportStatement{Text: "Spare's control process began anew during the incident", Entries: []int64{e.ID}})
		}
	}
	return trigger, list
}

// response lists what Spare did, and what people did.
func (f *Facts) response() []apiv1.ReportLine {
	list := []apiv1.ReportLine{}
	for _, e := range f.Entries {
		if !e.At.Before(f.Incident.Opened) && slices.Contains([]string{"eject", "readmit", "switch", "fence", "operator", "override", "notify", "reload"}, e.Kind) {
			list = append(list, lineOf(e))
		}
	}
	return list[:min(len(list), maxLines)]
}

// timeline gives the entries, and of too many those that say most: what only
// keeps the books goes first, then the middle.
func (f *Facts) timeline() ([]apiv1.ReportLine, int) {
	list := []apiv1.ReportLine{}
	for _, e := range f.Entries {
		if e.Kind != "telemetry" {
			list = append(list, lineOf(e))
		}
	}
	all := len(list)
	if all > maxLines {
		list = slices.DeleteFunc(list, func(l apiv1.ReportLine) bool {
			return l.Level == "info" && slices.Contains([]string{"table", "link", "verdict", "notify"}, l.Kind)
		})
	}
	if n := len(list); n > maxLines {
		list = slices.Concat(list[:maxLines/2], list[n-maxLines/2:])
	}
	return list, all - len(list)
}

func lineOf(e apiv1.Entry) apiv1.ReportLine {
	return apiv1.ReportLine{
		Entry: e.ID, At: e.At, Kind: e.Kind, Level: e.Level, Certainty: e.Certainty,
		Service: e.Service, Site: e.Site, Actor: e.Actor, Text: e.Message,
	}
}

// controlStart reports whether the entry is the control process's first.
func controlStart(e apiv1.Entry) bool { return e.Kind == "start" && e.Actor == "spare" }

// standing follows how many of a service's origins are well.
type standing struct {
	out     map[string]bool
	ejected map[string]bool
}

// lone gives how long at most one of the service's sites was well, and how
// long none was.
func (f *Facts) lone(s Service) (one, none time.Duration) {
	now := standing{map[string]bool{}, map[string]bool{}}
	last := f.Incident.Opened
	step := func(until time.Time) {
		if until.After(f.end()) {
			until = f.end()
		}
		if until.After(last) {
			switch well := now.well(s.Sites); {
			case well == 0:
				none += until.Sub(last)
			case well == 1 && len(s.Sites) > 1:
				one += until.Sub(last)
			}
			last = until
		}
	}
	for _, e := range f.Entries {
		if e.Service == s.ID && e.Site != "" {
			step(e.At)
			now.note(e)
		}
	}
	step(f.end())
	return one, none
}

func (s standing) note(e apiv1.Entry) {
	switch e.Kind {
	case "eject":
		s.ejected[e.Site] = true
	case "readmit":
		delete(s.ejected, e.Site)
	case "verdict":
		var v struct{ State string }
		if json.Unmarshal(e.Data, &v) == nil {
			s.out[e.Site] = v.State == "down"
		}
	}
}

func (s standing) well(sites []string) int {
	n := 0
	for _, site := range sites {
		if !s.out[site] && !s.ejected[site] {
			n++
		}
	}
	return n
}
