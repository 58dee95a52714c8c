package report

import (
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/apiv1"
)

// bucketOutage is an incident of a bucket's replica alone.
func bucketOutage() Facts {
	in := apiv1.Incident{
		ID: "2026-11-22-b1e058", Title: "bucket media fails at virginia", Severity: "major", State: "closed", Site: "virginia",
		Services: []string{"bucket/media"}, Opened: opened, Closed: after(13000), DurationMS: 13000,
		Times: apiv1.Times{Detected: opened, Recovered: after(3000)},
		Causes: []apiv1.Cause{{Kind: "origin_refuses", Site: "virginia", Service: "bucket/media", Certainty: "inferred", Score: 1, Entries: []int64{12},
			Text: "bucket media at virginia refuses connections: the provider is gone, or nothing listens there"}},
	}
	return Facts{
		Incident: in, Told: true, Version: "1.2.3", Now: after(60000),
		Entries: []apiv1.Entry{
			entry(12, 0, "verdict", "error", "bucket/media", "virginia", "bucket media at virginia down: connection refused"),
			entry(13, 0, "verdict", "error", "bucket/media", "", "bucket media reads, and takes no writes: too few of its replicas take objects"),
		},
	}
}

func TestReportOfABucketSpeaksOfNoRequests(t *testing.T) {
	doc := Build(bucketOutage())
	for name, text := range map[string]string{"md": string(Markdown(doc)), "html": string(HTML(doc, Links{}))} {
		for _, want := range []string{
			"bucket media fails at virginia", "buckets: media", "What it did to requests is not in numbers", "No service is part of this incident",
			"How many requests of bucket media failed or were refused", "takes no writes",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: without %q", name, want)
			}
		}
		for _, bad := range []string{"bucket/media", "0 requests", "No request was counted", "no longer in the estate", "services:", "Requests over time", "maybe applied"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s: holds %q", name, bad)
			}
		}
	}
}

func TestReportOfASiteNamesServicesAndBuckets(t *testing.T) {
	f := outage()
	f.Incident.Services = []string{"bucket/media", "blog", "shop"}
	quiet := f
	quiet.Incident.Impact, quiet.Samples = apiv1.Impact{}, nil
	if got := Build(quiet).Summary[1]; strings.Contains(got, "nobody is known to have been hurt") {
		t.Errorf("that no service was asked says nothing of the bucket's users: %s", got)
	}
	text := string(Markdown(Build(f)))
	for _, want := range []string{"services: blog, shop; buckets: media.", "Of 4,500 requests", "How many requests of bucket media failed", "| shop | 3,900 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("without %q", want)
		}
	}
	if strings.Contains(text, "bucket/media") {
		t.Error("the report shows a bucket's mark")
	}
}
