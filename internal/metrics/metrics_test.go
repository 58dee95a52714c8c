package metrics

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

// scrape gives Spare's own series of one scrape.
func scrape(t *testing.T, s Snapshot) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler("1.2.3", func() Snapshot { return s }).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("scrape answered %d: %s", w.Code, w.Body)
	}
	var own []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "spare_") && !strings.HasPrefix(line, "spare_build_info") {
			own = append(own, line)
		}
	}
	return strings.Join(own, "")
}

func target(site estate.SiteID) estate.Target { return estate.Target{Service: "shop", Site: site} }

func TestEveryCounterIsShownUnderItsName(t *testing.T) {
	got := scrape(t, Snapshot{
		Traffic: []health.Traffic{{
			Service: "shop", Requests: 1, Failed: 2, Refused: 3, Retried: 4, Hedged: 5, HedgeWins: 6,
			Resumed: 7, Truncated: 8, MaybeApplied: 9, ServerErrors: 10,
			Origins: []health.OriginTraffic{
				{Site: "virginia", Requests: 11, Failures: 12, Errors: 13, Ejections: 14, Ejected: true},
				{Site: "belgium", Requests: 15},
			},
		}},
		Verdicts:      []health.Verdict{{Target: target("virginia"), State: health.Down}, {Target: target("belgium"), State: health.Degraded}},
		Epoch:         42,
		IncidentsOpen: 1,
	})
	want, err := os.ReadFile("testdata/scrape.txt")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("scrape (-want +got):\n%s", d)
	}
}

func TestEveryCountOfABucketIsShownUnderItsName(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	got := series(t, func(ch chan<- prometheus.Metric) {
		collectBuckets(ch, []health.Bucket{{
			Bucket: "media", Reads: true,
			Counts: health.BucketCounts{NoQuorum: 1, WriteBacks: 2, Settled: 3, Refused: 4, Thin: 5, Hedges: 6, Switches: 7, Corrupt: 8, Repaired: 9},
			Replicas: []health.Replica{
				{Site: "virginia", Heads: true, Behind: 10, Oldest: now.Add(-90 * time.Second), Requests: 11, Failed: 12, BytesRead: 13, BytesWritten: 14},
				{Site: "belgium", Heads: true, Bodies: true, Requests: 15},
				{Site: "basement", Heads: true, Witness: true, Lost: true},
				{Site: "attic", Heads: true, Witness: true},
			},
		}, {Bucket: "shut", Reason: "not open"}}, now)
	})
	want, err := os.ReadFile("testdata/buckets.txt")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("scrape (-want +got):\n%s", d)
	}
}

// collect is a collector of one function.
type collect func(chan<- prometheus.Metric)

func (c collect) Describe(ch chan<- *prometheus.Desc) { describeBuckets(ch) }
func (c collect) Collect(ch chan<- prometheus.Metric) { c(ch) }

// series gives what one function collects, as a scrape shows it.
func series(t *testing.T, f func(chan<- prometheus.Metric)) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(collect(f))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("scrape answered %d: %s", w.Code, w.Body)
	}
	var own []string
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "spare_") {
			own = append(own, line)
		}
	}
	return strings.Join(own, "")
}

func TestUnknownVerdictHasNoSeries(t *testing.T) {
	got := scrape(t, Snapshot{Verdicts: []health.Verdict{{Target: target("virginia")}}})
	if strings.Contains(got, "spare_origin_up") {
		t.Errorf("an unknown origin must be neither up nor down:\n%s", got)
	}
}

func TestOneBadSeriesHidesNoOther(t *testing.T) {
	twice := []health.Traffic{{Service: "shop"}, {Service: "shop"}}
	if got := scrape(t, Snapshot{Traffic: twice, Epoch: 7}); !strings.Contains(got, "spare_table_epoch 7") {
		t.Errorf("the epoch is missing:\n%s", got)
	}
}

func TestProcessAndBuildAreShown(t *testing.T) {
	w := httptest.NewRecorder()
	Handler("1.2.3", func() Snapshot { return Snapshot{} }).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`version="1.2.3"`, "go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("scrape lacks %q", want)
		}
	}
}
