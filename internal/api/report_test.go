package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/report"
)

const reportPath = "/api/v1/incidents/2026-03-01-7fbd2c/report"

func TestReportComesInThreeForms(t *testing.T) {
	srv := server(apitest.New())
	var doc apiv1.Report
	for _, query := range []string{"", "?format=json"} {
		w := ask(srv, "GET", reportPath+query, "")
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("%v: %s", err, w.Body)
		}
	}
	if doc.Incident.ID != "2026-03-01-7fbd2c" || len(doc.Timeline) != 2 || len(doc.Samples) != 60 || doc.Losses[0].Hurt != 1 {
		t.Errorf("report %+v", doc)
	}
	md := ask(srv, "GET", reportPath+"?format=md", "")
	if h := md.Header().Get("Content-Type"); h != "text/markdown; charset=utf-8" || md.Body.String() != string(report.Markdown(doc)) {
		t.Errorf("%s:\n%s", h, md.Body)
	}
	page := ask(srv, "GET", reportPath+"?format=html", "")
	if h := page.Header(); h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("Content-Security-Policy") != report.CSP() {
		t.Errorf("header %v", h)
	}
	if !strings.Contains(page.Body.String(), `href="/api/v1/journal?after=1&amp;limit=1&amp;order=oldest"`) {
		t.Error("the page does not lead to the journal")
	}
}

func TestReportRefusesWhatItCannotGive(t *testing.T) {
	b := apitest.New()
	for target, code := range map[string]int{
		"/api/v1/incidents/none/report":         404,
		reportPath + "?format=pdf":              400,
		reportPath + "?format=md&format=html":   400,
		reportPath + "?fromat=md":               400,
		reportPath + "?format=":                 400,
		"/api/v1/incidents/%3Cb%3E/report":      404,
		"/api/v1/incidents//report?format=html": 307, // to the clean path, where nothing is
	} {
		if w := ask(server(b), "GET", target, ""); w.Code != code {
			t.Errorf("%s: %d, want %d: %s", target, w.Code, code, w.Body)
		}
	}
	if w := ask(server(b, closedReads), "GET", reportPath, ""); w.Code != 401 {
		t.Errorf("without the token: %d", w.Code)
	}
	b.Fail(errs.E(errs.Unavailable, "the store went away"))
	if w := ask(server(b), "GET", reportPath+"?format=html", ""); w.Code != 503 {
		t.Errorf("with the store away: %d", w.Code)
	}
}
