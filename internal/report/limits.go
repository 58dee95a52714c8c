package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// lateAfter is how much later than it happened an entry may be written before
// the report says so.
const lateAfter = 5 * time.Second

// says makes a statement.
func says(entries []int64, format string, args ...any) apiv1.ReportStatement {
	return apiv1.ReportStatement{Text: fmt.Sprintf(format, args...), Entries: entries}
}

// cannotTell lists what nobody should read out of the report. Each line is
// there because of something in this incident's data.
func (f *Facts) cannotTell(leftOut int) []apiv1.ReportStatement {
	in, m := f.Incident, f.Incident.Impact
	list := []apiv1.ReportStatement{}
	add := func(s ...apiv1.ReportStatement) { list = append(list, s...) }
	if in.State != apiv1.IncidentClosed {
		add(says(nil, "How it ends: the incident is not closed, and every number here may still grow."))
	}
	add(f.absences()...)
	add(f.uncounted()...)
	if !onlyBuckets(in) {
		add(f.unsampled()...)
		add(says(nil, "Who the users were: Spare counts requests, not people. One person may be behind many of the %s.", count(m.Requests, "request")))
	}
	add(says(nil, "Requests that never reached Spare (name resolution, the network in front of it) are in no number."))
	if c := in.Causes; len(c) > 0 {
		add(says(c[0].Entries, "Why it happened inside %s: Spare sees from outside that %s, and not what is behind it.", or(in.Site, "the origins"), c[0].Text))
	} else {
		add(says(nil, "Why it happened: nothing that was seen explains it."))
	}
	if needs := f.unwatched(); len(needs) > 0 {
		add(says(nil, "Whether %s had trouble: the estate file declares no check of it.", strings.Join(needs, ", ")))
	}
	add(says(nil, "What the providers said: no provider's status feed was watched."))
	if m.ServerErrors > 0 {
		add(says(nil, "Whether the %s that origins answered with a status of 500 or above hurt users: they were passed on as they came, and are not counted as failed.", count(m.ServerErrors, "request")))
	}
	if m.MaybeApplied > 0 {
		add(says(nil, "Whether %s had their effect: the origin was lost after they were sent.", count(m.MaybeApplied, "request")))
	}
	add(f.clocks()...)
	if f.Cut {
		add(says(nil, "All of the timeline: the journal holds more entries about this incident than are read for a report."))
	}
	if leftOut > 0 {
		add(says(nil, "%s left out of the timeline here; \"spare journal --incident %s\" has those of the incident.", was(uint64(leftOut), "line"), in.ID))
	}
	return list
}

// absences says when the control process was not there to record.
func (f *Facts) absences() []apiv1.ReportStatement {
	var list []apiv1.ReportStatement
	for i, e := range f.Entries {
		if !controlStart(e) || i == 0 || e.At.Before(f.Incident.Opened) {
			continue
		}
		last := time.Time{}
		for _, b := range f.Entries[:i] {
			if b.Recorded.Before(e.At) && b.Recorded.After(last) {
				last = b.Recorded
			}
		}
		for _, s := range f.Samples {
			if s.To.Before(e.At) && s.To.After(last) {
				last = s.To
			}
		}
		if last.IsZero() {
			continue
		}
		list = append(list, says([]int64{e.ID}, "What the checks would have said while the control process was away: it came back at %s, and what came before was recorded by %s at the latest. Traffic went on; its requests were counted late, all at once.", precise(e.At), precise(last)))
	}
	return list
}

// unsampled says of which times there is no count, or a coarse one.
func (f *Facts) unsampled() []apiv1.ReportStatement {
	if len(f.Samples) == 0 {
		return []apiv1.ReportStatement{says(nil, "How the requests spread over time: there are only totals of this incident, and no counts by the second.")}
	}
	var list []apiv1.ReportStatement
	missing, cut := time.Duration(0), false
	for i, s := range f.Samples {
		cut = cut || s.Cut
		if i > 0 {
			missing += max(0, s.From.Sub(f.Samples[i-1].To))
		}
	}
	last := f.Samples[len(f.Samples)-1].To
	missing += max(0, f.Samples[0].From.Sub(f.Incident.Opened))
	if tail := f.end().Sub(last); tail > 3*time.Second {
		missing += tail
	}
	if missing > 0 {
		list = append(list, says(nil, "Requests over time for %s of the incident: nothing was reported about it, and the chart has a gap there.", span(missing)))
	}
	if w := f.coarsest(); w > time.Second {
		list = append(list, says(nil, "What happened within a second everywhere: some counts are of up to %s at once.", span(w)))
	}
	if cut {
		list = append(list, says(nil, "Every site and service over time: the incident had more than a count by the second holds."))
	}
	return list
}

func (f *Facts) coarsest() time.Duration {
	var w time.Duration
	for _, s := range f.Samples {
		w = max(w, s.To.Sub(s.From))
	}
	return w
}

// clocks says where times do not agree.
func (f *Facts) clocks() []apiv1.ReportStatement {
	var list []apiv1.ReportStatement
	var late, early []int64
	var most time.Duration
	for _, e := range f.Entries {
		if e.Recorded.IsZero() {
			continue
		}
		switch d := e.Recorded.Sub(e.At); {
		case d > lateAfter && e.Kind != "telemetry":
			late, most = append(late, e.ID), max(most, d)
		case d < -time.Second:
			early = append(early, e.ID)
		}
	}
	if len(late) > 0 {
		list = append(list, says(first(late, 10), "The exact order of %s: written down up to %s after they happened.", count(uint64(len(late)), "line"), span(most)))
	}
	if len(early) > 0 {
		list = append(list, says(first(early, 10), "The exact time of %s: they are dated later than they were written down, so a clock was set back or two clocks disagree.", count(uint64(len(early)), "line")))
	}
	if t := f.Incident.Times.Recovered; !t.IsZero() && t.Before(f.Incident.Opened) || f.end().Before(f.Incident.Opened) {
		list = append(list, says(nil, "How long it took: its end is dated before its beginning, so clocks disagree."))
	}
	return list
}

func first(list []int64, n int) []int64 { return list[:min(len(list), n)] }

// unwatched is what the incident's services need and nothing checks.
func (f *Facts) unwatched() []string {
	var all []string
	for _, s := range f.Services {
		for _, n := range s.Unwatched {
			if !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	return all[:min(len(all), 20)]
}

// hints are what the data suggests for the action items.
func (f *Facts) hints(losses []apiv1.Loss) []apiv1.ReportStatement {
	list := []apiv1.ReportStatement{}
	for _, l := range losses {
		s, ok := f.service(l.Service)
		if !ok {
			list = append(list, says(nil, "Service %s is no longer in the estate file, so nothing is said of its objectives.", l.Service))
			continue
		}
		list = append(list, f.rto(s, l)...)
		list = append(list, f.availability(s, l)...)
		list = append(list, f.spares(s)...)
	}
	m := f.Incident.Impact
	if m.MaybeApplied > 0 {
		list = append(list, says(nil, "%s an unknown effect: reconcile them. With Idempotency-Key and retry_writes: true Spare may repeat such requests.", had(m.MaybeApplied)))
	}
	if m.Truncated > 0 {
		list = append(list, says(nil, "%s cut: an origin that gives strong ETags and accepts ranges lets Spare go on from another site.", was(m.Truncated, "answer")))
	}
	if !f.Told {
		list = append(list, says(nil, "Nobody was told: declare notify.webhook."))
	}
	return list
}

func had(n uint64) string { return count(n, "request") + " had" }

// rto measures how long the service's users had to wait for a way around: until
// its traffic first left the trouble, or later if requests were still hurt.
func (f *Facts) rto(s Service, l apiv1.Loss) []apiv1.ReportStatement {
	opened := f.Incident.Opened
	var at time.Time
	var entries []int64
	for _, e := range f.Entries {
		if e.Service == s.ID && (e.Kind == "eject" || e.Kind == "switch") && !e.At.Before(opened) {
			at, entries = e.At, []int64{e.ID}
			break
		}
	}
	atMost := ""
	for _, p := range f.Samples {
		if slices.ContainsFunc(p.Services, func(q apiv1.ServiceSample) bool { return q.Service == s.ID && q.Hurt > 0 }) && p.To.After(opened) && p.To.After(at) {
			at, atMost = p.To, "at most "
			if p.Entry != 0 {
				entries = []int64{p.Entry}
			}
		}
	}
	what := "rto of " + s.ID
	if s.RTO == 0 {
		return []apiv1.ReportStatement{says(nil, "No %s is declared, so this incident cannot be judged by it.", what)}
	}
	what = fmt.Sprintf("Objective rto %s of %s", s.RTO, s.ID)
	took, verdict := at.Sub(opened), "missed"
	switch {
	case at.IsZero() && l.Hurt == 0:
		return []apiv1.ReportStatement{says(nil, "%s: nothing had to be moved and no request was hurt - kept.", what)}
	case at.IsZero():
		return []apiv1.ReportStatement{says(nil, "%s: requests were hurt and the data does not say until when - cannot be judged.", what)}
	case took <= s.RTO:
		verdict = "kept"
	}
	return []apiv1.ReportStatement{says(entries, "%s: measured %s%s from the first evidence, and the slowest answer took %s ms - %s.", what, atMost, span(took), millis(f.longest(s.ID)), verdict)}
}

func (f *Facts) longest(service string) float64 {
	for _, i := range f.Incident.Impact.Services {
		if i.Service == service {
			return i.LongestMS
		}
	}
	return 0
}

func (f *Facts) availability(s Service, l apiv1.Loss) []apiv1.ReportStatement {
	if l.BudgetMS == 0 {
		return nil
	}
	verdict := "not used up by this incident"
	if l.BudgetShare > 1 {
		verdict = "used up by this incident alone"
	}
	return []apiv1.ReportStatement{says(nil, "Objective availability %g %% of %s: %s lost of the %s that 30 days allow (%s) - %s.",
		s.Availability, s.ID, span(fromMS(l.LostMS)), span(fromMS(l.BudgetMS)), percent(l.BudgetShare), verdict)}
}

func (f *Facts) spares(s Service) []apiv1.ReportStatement {
	if len(s.Sites) == 1 {
		return []apiv1.ReportStatement{says(nil, "Service %s has one site only: nothing could take over.", s.ID)}
	}
	var list []apiv1.ReportStatement
	one, none := f.lone(s)
	if none > 0 {
		list = append(list, says(nil, "Service %s had no well site for %s.", s.ID, span(none)))
	}
	if one > 0 {
		list = append(list, says(nil, "Service %s was left with one site and without a spare for %s.", s.ID, span(one)))
	}
	return list
}
