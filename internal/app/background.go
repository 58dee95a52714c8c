package app

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/incident"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/report"
)

// lifeBefore is how long before an incident opened the program's own life
// bears on it.
const lifeBefore = 30 * time.Second

// background is what a report of the incident needs beside its timeline.
func (c *control) background(ctx context.Context, in apiv1.Incident) (api.Background, error) {
	g := api.Background{Version: c.opt.Version, Now: time.Now().UTC()}
	samples, err := c.desk.Samples(ctx, in.ID)
	if err != nil {
		return g, err
	}
	for _, s := range samples {
		g.Samples = append(g.Samples, sampleDoc(s))
	}
	if g.Life, err = c.life(ctx, in); err != nil {
		return g, err
	}
	e := c.estate.Load()
	g.Told = e.Notify.Webhook != nil
	for _, id := range in.Services {
		if s, ok := e.Service(estate.ServiceID(id)); ok {
			g.Services = append(g.Services, serviceFacts(e, s))
		}
	}
	return g, nil
}

// life gives the program's own entries in the incident's time, and those about
// dependencies. An origin's verdict is in the timeline, or of another incident.
func (c *control) life(ctx context.Context, in apiv1.Incident) ([]journal.Entry, error) {
	q := journal.Query{From: in.Opened.Add(-lifeBefore), To: in.Closed, Oldest: true, Limit: 1000}
	q.Kinds = []journal.Kind{journal.KindStart, journal.KindStop, journal.KindLink, journal.KindReload}
	own, err := c.journal.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	q.Kinds = []journal.Kind{journal.KindVerdict}
	verdicts, err := c.journal.Query(ctx, q)
	if err != nil {
		return nil, err
	}
	return append(own.Entries, slices.DeleteFunc(verdicts.Entries, func(e journal.Entry) bool { return e.Service != "" })...), nil
}

func serviceFacts(e *estate.Estate, s *estate.Service) report.Service {
	f := report.Service{ID: string(s.ID), RTO: s.Objective.RTO, Availability: s.Objective.Availability, CostPerHour: s.CostPerHour}
	for _, n := range s.Needs {
		_, served := e.Service(estate.ServiceID(n))
		checked := slices.ContainsFunc(e.Dependencies, func(d estate.Dependency) bool { return string(d.ID) == n && d.Check != nil })
		if !served && !checked {
			f.Unwatched = append(f.Unwatched, n)
		}
	}
	for _, o := range s.Origins {
		f.Sites = append(f.Sites, string(o.Site))
	}
	return f
}

func sampleDoc(s incident.Sample) apiv1.ReportSample {
	doc := apiv1.ReportSample{
		From: s.From, To: s.To, Requests: s.Requests, Failed: s.Failed, MaybeApplied: s.MaybeApplied, Truncated: s.Truncated,
		Retried: s.Retried, Hedged: s.Hedged, Resumed: s.Resumed, ServerErrors: s.ServerErrors, LongestMS: s.LongestMS, Cut: s.Cut, Entry: s.Entry,
	}
	for _, site := range slices.Sorted(maps.Keys(s.Sites)) {
		p := s.Sites[site]
		doc.Sites = append(doc.Sites, apiv1.SiteSample{Site: string(site), Attempts: p.Attempts, Failures: p.Failures, P95MS: p.P95MS})
	}
	for _, id := range slices.Sorted(maps.Keys(s.Services)) {
		if p := s.Services[id]; p.Hurt > 0 {
			doc.Services = append(doc.Services, apiv1.ServiceSample{Service: string(id), Requests: p.Requests, Hurt: p.Hurt})
		}
	}
	return doc
}
