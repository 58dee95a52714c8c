package apitest

import (
	"encoding/json"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/journal"
)

func ago(d time.Duration) time.Time { return Noon.Add(-d) }

func status() apiv1.Status {
	return apiv1.Status{
		Version: "1.2.3", At: Noon, Epoch: 7, Estate: "5e1f", IncidentsOpen: 1,
		Config: apiv1.Config{Path: "/etc/spare/spare.yaml", Loaded: ago(time.Hour)},
		Sites: []apiv1.Site{{ID: "virginia", Provider: "aws", Region: "us-east-1"}, {ID: "belgium", Provider: "gcp", Region: "europe-west1", Zone: "europe-west1-b"},
			{ID: "basement", Provider: "self", Region: "home"}},
		Services: []apiv1.Service{{
			ID: "shop", Hosts: []string{"shop.example.com"}, Policy: "primary", Writes: "one_site",
			Active: "belgium", State: apiv1.ServiceDegraded,
			Origins: []apiv1.Origin{
				{Site: "virginia", URL: "https://shop-a.example.com", Weight: 1, State: "down", Verdict: "down", Cause: "refused",
					Since: ago(90 * time.Second), Evidence: "3 checks in a row: connection refused", Ejected: true,
					Requests: 4000, Failures: 12, P50MS: 4.2, P95MS: 9.75, P99MS: 18},
				{Site: "belgium", URL: "https://shop-b.example.com", Weight: 1, State: "up", Verdict: "up",
					Since: ago(time.Hour), Evidence: "last 10 checks passed",
					Requests: 27000, P50MS: 5, P95MS: 11.5, P99MS: 21.125},
			},
			Traffic: apiv1.Traffic{Requests: 31000, Retried: 12, Hedged: 40, HedgeWins: 9, Resumed: 1, MaybeApplied: 1, LongestMS: 212.5},
			Overrides: []apiv1.Override{{Kind: apiv1.OverrideDrain, Site: "virginia", Until: Noon.Add(time.Hour),
				Reason: "disk change", Actor: "token:ana"}},
			Pending: &apiv1.PendingMove{From: "virginia", To: "belgium", Due: Noon.Add(4 * time.Second)},
		}, {
			ID: "blog", Policy: "balance", Writes: "anywhere", State: apiv1.ServiceUp,
			Origins: []apiv1.Origin{{Site: "belgium", URL: "http://10.0.0.7:8080", Weight: 1, State: "up", Verdict: "up",
				Since: ago(time.Hour), Evidence: "last 10 checks passed"}},
		}},
		Buckets:       buckets(),
		DataProcesses: []apiv1.DataProcess{{Incarnation: "d-1", PID: 4711, Epoch: 7, Linked: true, Since: ago(time.Hour), RSSBytes: 31 << 20}},
	}
}

func incidents() []apiv1.Incident {
	return []apiv1.Incident{
		{ID: "2026-03-01-7fbd2c", Title: "virginia is down", Severity: "minor", State: apiv1.IncidentOpen,
			Site: "virginia", Services: []string{"shop"}, Opened: ago(90 * time.Second), DurationMS: 90000,
			Times: apiv1.Times{Detected: ago(90 * time.Second), Ejected: ago(90*time.Second - 40*time.Millisecond), Switched: ago(88 * time.Second)},
			Causes: []apiv1.Cause{{Kind: "origin_refuses", Site: "virginia", Service: "shop", Certainty: "observed", Score: 1,
				Text: "connections to shop at virginia are refused"}},
			Impact: apiv1.Impact{Requests: 2600, Retried: 12, Hedged: 4, MaybeApplied: 1, LongestMS: 212.5, Services: []apiv1.ServiceImpact{
				{Service: "shop", Requests: 2600, Retried: 12, Hedged: 4, MaybeApplied: 1, LongestMS: 212.5}}}},
		{ID: "2026-02-28-6aaaab", Title: "blog answers with errors", Severity: "major", State: apiv1.IncidentClosed,
			Services: []string{"blog"}, Opened: ago(26 * time.Hour), Closed: ago(25 * time.Hour), DurationMS: 3600000},
	}
}

// samples counts 30 requests a second, which leave virginia as the incident
// begins.
func samples(in apiv1.Incident) []apiv1.ReportSample {
	var list []apiv1.ReportSample
	for i := range 60 {
		from := in.Opened.Add(time.Duration(i-30) * time.Second)
		s := apiv1.ReportSample{From: from, To: from.Add(time.Second), Requests: 30, LongestMS: 12}
		site := "virginia"
		if i >= 30 {
			site = "belgium"
		}
		if i == 30 {
			s.MaybeApplied, s.Retried, s.LongestMS = 1, 12, 212.5
			s.Services = []apiv1.ServiceSample{{Service: "shop", Requests: 30, Hurt: 1}}
		}
		s.Sites = []apiv1.SiteSample{{Site: site, Attempts: 30, P95MS: 9.75}}
		list = append(list, s)
	}
	return list
}

func record() []journal.Entry {
	return []journal.Entry{
		{At: ago(time.Hour), Kind: journal.KindStart, Level: journal.Info, Certainty: journal.Observed, Actor: "spare", Message: "control started"},
		target("virginia", journal.Entry{At: ago(90 * time.Second), Kind: journal.KindVerdict, Level: journal.Error, Certainty: journal.Observed,
			Incident: "2026-03-01-7fbd2c", Actor: "spare", Message: "shop at virginia is down: connection refused", Data: json.RawMessage(`{"cause":"refused"}`)}),
		target("belgium", journal.Entry{At: ago(88 * time.Second), Kind: journal.KindSwitch, Level: journal.Warn, Certainty: journal.Inferred,
			Incident: "2026-03-01-7fbd2c", Actor: "spare", Message: "shop moved from virginia to belgium"}),
	}
}
