package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/report"
)

// timelineFull is a timeline's length from which on it may not be whole.
const timelineFull = 10_000

// Background is what a report needs beside the incident and its timeline.
type Background struct {
	Life     []journal.Entry // the program's own in that time: starts, stops, links, reloads, verdicts on dependencies
	Samples  []apiv1.ReportSample
	Services []report.Service // those of the incident that the estate declares
	Told     bool             // somebody is told of incidents
	Version  string           // of the program
	Now      time.Time
}

// Report makes the report of an incident from what the backend knows.
// NotFound: there is none of that name.
func Report(ctx context.Context, b Backend, id string) (apiv1.Report, error) {
	in, err := b.Incident(ctx, id)
	if err != nil {
		return apiv1.Report{}, err
	}
	lines, err := b.Timeline(ctx, in.ID)
	if err != nil {
		return apiv1.Report{}, err
	}
	g, err := b.Background(ctx, in)
	if err != nil {
		return apiv1.Report{}, err
	}
	return report.Build(report.Facts{
		Incident: in, Entries: entries(slices.Concat(lines, g.Life)), Cut: len(lines) >= timelineFull,
		Samples: g.Samples, Services: g.Services, Told: g.Told, Version: g.Version, Now: g.Now,
	}), nil
}

// report answers in the form that is asked for. The page brings its own
// policy, so that it may be shown and saved as it is.
func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	form := "json"
	if r.URL.Query().Has("format") {
		form = r.URL.Query().Get("format")
	}
	if !slices.Contains(apiv1.ReportFormats(), form) || len(r.URL.Query()["format"]) > 1 {
		s.fail(w, r, errs.E(errs.Invalid, "parameter format=%q is none of md, html, json", form))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	doc, err := Report(ctx, s.Backend, r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var body []byte
	media := "text/markdown; charset=utf-8"
	switch form {
	case "md":
		body = report.Markdown(doc)
	case "html":
		media = "text/html; charset=utf-8"
		w.Header().Set("Content-Security-Policy", report.CSP())
		w.Header().Set("Referrer-Policy", "no-referrer")
		body = report.HTML(doc, report.Links{Journal: "/api/v1/journal"})
	default:
		s.write(w, http.StatusOK, doc)
		return
	}
	w.Header().Set("Content-Type", media)
	_, _ = w.Write(body) // the client is gone, and nobody else wants to know
}
