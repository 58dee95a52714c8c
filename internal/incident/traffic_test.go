package incident

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

// report hands in one service's cumulative counts.
func (p *play) report(sec float64, source string, t health.Traffic) {
	p.b.traffic(p.at(sec), source, p.at(sec), []health.Traffic{t})
}

func (p *play) impact(t *testing.T) Counts {
	t.Helper()
	rs := append(p.b.running(), p.b.closed()...)
	if len(rs) != 1 {
		t.Fatalf("%d incidents, want one: %v", len(rs), p.sum())
	}
	return rs[0].Incident.Impact.Counts
}

func shop(requests, retried, failed, maybe uint64) health.Traffic {
	return health.Traffic{Service: "shop", Requests: requests, Retried: retried, Failed: failed, MaybeApplied: maybe}
}

func TestImpactCountsFromJustBeforeTheEvidence(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "d1", shop(1000, 7, 0, 0)) // before, and not part of it
	p.report(10, "d1", shop(2000, 7, 0, 0))
	p.report(19.5, "d1", shop(3000, 7, 0, 0))
	p.report(20.1, "d1", shop(3100, 27, 0, 0)) // retried before the verdict
	p.run(t, "20.2 down shop@virginia")
	p.report(21, "d1", shop(3300, 30, 0, 0))
	want := Counts{Requests: 1300, Retried: 23}
	if d := cmp.Diff(want, p.impact(t)); d != "" {
		t.Error(d)
	}
}

func TestImpactReachesBackAlongATrailOfTrouble(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "d1", shop(100, 0, 0, 0))
	p.report(1, "d1", shop(200, 50, 0, 0)) // long before: another story
	for i := range 9 {                     // from 10 s to 18 s
		p.report(10+float64(i), "d1", shop(300+10*uint64(i), 51+uint64(i), 0, 0))
	}
	p.run(t, "19 down shop@virginia")
	// The report at 10 s says 100 requests and 1 retried since 1 s.
	if d := cmp.Diff(Counts{Requests: 180, Retried: 9}, p.impact(t)); d != "" {
		t.Error(d)
	}
}

func TestImpactOfARestartedDataProcess(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "d1", shop(1000, 0, 0, 0))
	p.run(t, "5 down shop@virginia")
	p.report(6, "d1", shop(1100, 5, 0, 0))
	p.report(7, "d2", shop(40, 2, 0, 1)) // a new incarnation starts at zero
	p.report(8, "d2", shop(90, 3, 0, 1))
	if d := cmp.Diff(Counts{Requests: 190, Retried: 8, MaybeApplied: 1}, p.impact(t)); d != "" {
		t.Error(d)
	}
}

func TestImpactOfTwoDataProcessesDuringAHandOver(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "old", shop(1000, 0, 0, 0))
	p.run(t, "4 down shop@virginia")
	for i := range uint64(10) { // interleaved
		p.report(5+float64(i), "old", shop(1000+3*i, i, 0, 0))
		p.report(5+float64(i), "new", shop(100*i, 0, 0, 2*i))
	}
	if d := cmp.Diff(Counts{Requests: 27 + 900, Retried: 9, MaybeApplied: 18}, p.impact(t)); d != "" {
		t.Error(d)
	}
}

func TestReportsThatComeLateOrTwiceChangeNothing(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "d1", shop(1000, 0, 0, 0))
	p.run(t, "2.5 down shop@virginia")
	p.report(3, "d1", shop(1300, 9, 0, 0))
	for _, late := range []health.Traffic{shop(1200, 5, 0, 0), shop(1300, 9, 0, 0)} {
		p.b.traffic(p.at(4), "d1", p.at(3), []health.Traffic{late})
		if d := cmp.Diff(Counts{Requests: 300, Retried: 9}, p.impact(t)); d != "" {
			t.Error(d)
		}
	}
	p.report(5, "d1", shop(1400, 9, 0, 0))
	if d := cmp.Diff(Counts{Requests: 400, Retried: 9}, p.impact(t)); d != "" {
		t.Error(d)
	}
}

func TestImpactByServiceAddsUp(t *testing.T) {
	p := newPlay(threeByTwo)
	all := []health.Traffic{
		{Service: "shop", Requests: 10, Hedged: 3, Resumed: 1, LongestNS: 40e6},
		{Service: "api", Requests: 20, Truncated: 2, ServerErrors: 4, LongestNS: 90e6},
		{Service: "blog", Requests: 1 << 40}, // not part of it
	}
	p.run(t, "0 down shop@virginia", "0.1 down api@virginia")
	p.b.traffic(p.at(1), "d1", p.at(1), all)
	want := Impact{
		Counts: Counts{Requests: 30, Hedged: 3, Resumed: 1, Truncated: 2, ServerErrors: 4, LongestMS: 90},
		Services: map[estate.ServiceID]Counts{
			"shop": {Requests: 10, Hedged: 3, Resumed: 1, LongestMS: 40},
			"api":  {Requests: 20, Truncated: 2, ServerErrors: 4, LongestMS: 90},
		},
	}
	if d := cmp.Diff(want, p.b.running()[0].Incident.Impact); d != "" {
		t.Error(d)
	}
}

func TestEarlierEvidenceTakesEarlierReportsIn(t *testing.T) {
	p := newPlay(threeByTwo)
	for i := range uint64(20) {
		p.report(float64(i), "d1", shop(100*i, 0, 0, 0))
	}
	p.run(t, "19.5 down shop@virginia") // counts the reports of 18 and 19
	if d := cmp.Diff(Counts{Requests: 200}, p.impact(t)); d != "" {
		t.Fatal(d)
	}
	p.event(20, 10, 1, health.Ejected, "shop@virginia") // counts 9 to 17 too, and none twice
	if d := cmp.Diff(Counts{Requests: 1100}, p.impact(t)); d != "" {
		t.Error(d)
	}
}

func TestALateReportBelongsToTheIncidentOfItsTime(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "d2", shop(10, 0, 0, 0))
	p.run(t, "0 down shop@virginia", "5 up shop@virginia", "15 tick")
	p.b.traffic(p.at(20), "d2", p.at(4), []health.Traffic{shop(60, 0, 3, 0)}) // d2's link was down
	p.run(t, "30 tick")
	if d := cmp.Diff(Counts{Requests: 60, Failed: 3}, p.impact(t)); d != "" {
		t.Error(d)
	}
}

func TestOneIncidentDoesNotReachIntoAnother(t *testing.T) {
	p := newPlay(threeByTwo)
	p.run(t, "0 down shop@virginia")
	p.report(1, "d1", shop(100, 0, 0, 0))
	p.run(t, "1 up shop@virginia")
	p.report(10.5, "d1", shop(200, 1, 0, 0))
	p.run(t, "11 tick")
	p.report(11.5, "d1", shop(300, 2, 0, 0))
	p.run(t, "12 down shop@virginia")
	if d := cmp.Diff(Counts{Requests: 100, Retried: 1}, p.b.running()[0].Incident.Impact.Counts); d != "" {
		t.Errorf("the second: %s", d)
	}
	if d := cmp.Diff(Counts{Requests: 200, Retried: 1}, p.b.closed()[0].Incident.Impact.Counts); d != "" {
		t.Errorf("the first: %s", d)
	}
}

// failing is a report with failed requests and the site that failed attempts.
func failing(requests, failed uint64, site estate.SiteID) health.Traffic {
	t := shop(requests, 0, failed, 0)
	t.Origins = []health.OriginTraffic{{Site: "virginia"}, {Site: "belgium"}}
	for i := range t.Origins {
		if t.Origins[i].Site == site {
			t.Origins[i].Failures = failed
		}
	}
	return t
}

func TestFailedRequestsWaitForTheirExplanation(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "d1", failing(10, 0, ""))
	p.report(1, "d1", failing(20, 2, "virginia"))
	if len(p.b.records) != 0 {
		t.Fatal("an incident before the verdict had time to come")
	}
	p.run(t, "2 down api@virginia", "2.5 down shop@virginia", "4 tick")
	if d := cmp.Diff([]string{"open virginia api,shop"}, p.sum()); d != "" {
		t.Fatal(d)
	}
	r := p.b.running()[0]
	if !r.Incident.Opened.Equal(p.at(1)) {
		t.Errorf("opened %v, want when requests failed, %v", r.Incident.Opened, p.at(1))
	}
	if d := cmp.Diff(Counts{Requests: 20, Failed: 2}, p.impact(t)); d != "" {
		t.Error(d)
	}
}

func TestUnexplainedFailuresOpenAnIncidentOfTheirOwn(t *testing.T) {
	for _, c := range []struct {
		name    string
		reports []health.Traffic
		want    string
		kind    CauseKind
	}{
		{"all attempts failed at one site", []health.Traffic{failing(10, 1, "virginia"), failing(20, 2, "virginia")}, "open virginia shop", Errors},
		{"no attempt tells", []health.Traffic{failing(10, 1, ""), failing(20, 2, "")}, "open - shop", UnknownCause},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(threeByTwo)
			for i, r := range c.reports {
				p.report(float64(i), "d1", r)
			}
			p.run(t, "2.1 tick")
			if d := cmp.Diff([]string{c.want}, p.sum()); d != "" {
				t.Fatal(d)
			}
			in := p.b.running()[0].Incident
			if in.Causes[0].Kind != c.kind || in.Severity != Major {
				t.Errorf("cause %s, severity %s", in.Causes[0].Kind, in.Severity)
			}
		})
	}
}

func TestSiteOfUnexplainedFailuresGathersItsServices(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "d1", failing(10, 1, "virginia"))
	p.run(t, "2.1 tick", "3 down api@virginia", "4 down shop@virginia")
	if d := cmp.Diff([]string{"open virginia api,shop"}, p.sum()); d != "" {
		t.Error(d)
	}
}

func TestFailuresEndOnlyWhenReportsSaySo(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "d1", failing(10, 1, ""))
	p.run(t, "2.1 tick", "60 tick")
	if d := cmp.Diff([]string{"open - shop"}, p.sum()); d != "" {
		t.Fatalf("without any report: %s", d)
	}
	p.report(61, "d1", failing(11, 1, ""))
	p.run(t, "61.1 tick", "70.9 tick")
	if d := cmp.Diff([]string{"monitoring - shop"}, p.sum()); d != "" {
		t.Fatal(d)
	}
	p.run(t, "71 tick")
	if d := cmp.Diff([]string{"closed - shop"}, p.sum()); d != "" {
		t.Fatal(d)
	}
}

func TestReportsCorrectLostEvents(t *testing.T) {
	flag := func(sec float64, ejected bool) health.Traffic {
		tr := shop(uint64(sec*10), 0, 0, 0)
		tr.Origins = []health.OriginTraffic{{Site: "virginia", Ejected: ejected}}
		return tr
	}
	p := newPlay(threeByTwo)
	p.report(1, "d1", flag(1, true)) // the event was lost
	if d := cmp.Diff([]string{"open virginia shop"}, p.sum()); d != "" {
		t.Fatal(d)
	}
	p.report(5, "d1", flag(5, false)) // and so was this one
	p.run(t, "15 tick")
	if d := cmp.Diff([]string{"closed virginia shop"}, p.sum()); d != "" {
		t.Fatal(d)
	}
	p.event(20, 20, 1, health.Ejected, "shop@virginia")
	p.b.traffic(p.at(21), "d9", p.at(19), []health.Traffic{flag(19, false)}) // made before the ejection
	p.run(t, "40 tick")
	if d := cmp.Diff([]string{"closed virginia shop", "open virginia shop"}, p.sum()); d != "" {
		t.Error(d)
	}
}

// A stored counter must not lag behind a report that a stored incident counts,
// also if the source has said nothing since it was stored.
func TestCountingAnOldReportStoresItsSourceAgain(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "d1", failing(10, 1, ""))
	src := p.b.sources["d1"]
	if got := p.b.settled("d1", src).Counts["shop"].Counts.Failed; got != 0 {
		t.Fatalf("stored as %d failed before any incident counts them", got)
	}
	src.dirty = false
	p.run(t, "2.1 tick")
	if got := p.b.settled("d1", src).Counts["shop"].Counts.Failed; !src.dirty || got != 1 {
		t.Errorf("dirty %v, to be stored as %d failed", src.dirty, got)
	}
}
