package incident

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

func TestCausesAreRankedByTheEvidence(t *testing.T) {
	type seen struct {
		target string
		cause  health.Cause
	}
	one := estateOf("shop@virginia", "shop@belgium")
	for _, c := range []struct {
		name   string
		estate *estate.Estate
		seen   []seen
		want   []string // kind site/service certainty score
	}{
		{"a site with all its services", threeByTwo,
			[]seen{{"shop@virginia", health.CauseRefused}, {"api@virginia", health.CauseRefused}, {"blog@virginia", health.CauseTimeout}},
			[]string{"site_down virginia/ inferred 1.00", "origin_refuses virginia/ inferred 0.67", "origin_frozen virginia/blog inferred 0.33"}},
		{"one of several services at a site", threeByTwo, []seen{{"shop@virginia", health.CauseRefused}},
			[]string{"origin_refuses virginia/shop inferred 1.00"}},
		{"the only service of a site", one, []seen{{"shop@virginia", health.CauseTimeout}},
			[]string{"site_down virginia/shop inferred 1.00", "origin_frozen virginia/shop inferred 1.00"}},
		{"resets of an origin that then refuses", threeByTwo, []seen{{"shop@virginia", health.CauseReset}, {"shop@virginia", health.CauseRefused}},
			[]string{"origin_refuses virginia/shop inferred 1.00"}},
		{"resets alone", threeByTwo, []seen{{"shop@virginia", health.CauseReset}}, []string{"origin_resets virginia/shop observed 1.00"}},
		{"a bad deploy", threeByTwo, []seen{{"shop@virginia", health.CauseStatus}, {"shop@belgium", health.CauseStatus}},
			[]string{"errors /shop observed 1.00"}},
		{"an unknown reason beside a known one", threeByTwo, []seen{{"shop@virginia", ""}, {"shop@virginia", health.CauseTLS}},
			[]string{"tls virginia/shop observed 1.00"}},
		{"an unknown reason alone", threeByTwo, []seen{{"shop@virginia", ""}}, []string{"unknown virginia/shop observed 1.00"}},
		{"a cause of a later version", threeByTwo, []seen{{"shop@virginia", "gremlins"}}, []string{"unknown virginia/shop observed 1.00"}},
		{"dns and connect", threeByTwo, []seen{{"shop@virginia", health.CauseDNS}, {"api@virginia", health.CauseConnect}},
			[]string{"dns virginia/shop observed 0.50", "origin_unreachable virginia/api observed 0.50"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(c.estate)
			for i, s := range c.seen {
				p.b.event(p.at(float64(i)/10), health.Event{Source: "d1", Seq: uint64(i + 1), At: p.at(float64(i) / 10),
					Kind: health.Ejected, Target: tgt(s.target), Cause: s.cause})
			}
			rs := p.b.running()
			if len(rs) != 1 {
				t.Fatalf("%d incidents", len(rs))
			}
			var got []string
			for _, c := range rs[0].Incident.Causes {
				got = append(got, fmt.Sprintf("%s %s/%s %s %.2f", c.Kind, c.Site, c.Service, c.Certainty, c.Score))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCauseAndTitleReadAsSentences(t *testing.T) {
	p := newPlay(threeByTwo)
	p.run(t, "0 down shop@virginia", "0 down api@virginia", "0 down blog@virginia")
	in := p.b.running()[0].Incident
	if want := "virginia is down (api, blog and shop)"; in.Title != want {
		t.Errorf("title %q, want %q", in.Title, want)
	}
	if want := "every origin at virginia was unwell at once (api, blog and shop): the site is down or cut off"; in.Causes[0].Text != want {
		t.Errorf("text %q, want %q", in.Causes[0].Text, want)
	}
	if want := "api at virginia, blog at virginia and shop at virginia refuses connections: the process or the machine is gone"; in.Causes[1].Text != want {
		t.Errorf("text %q, want %q", in.Causes[1].Text, want)
	}
}

func TestSeverityGrowsAndNeverFalls(t *testing.T) {
	p := newPlay(threeByTwo)
	severity := func(want Severity) {
		t.Helper()
		if got := p.b.running()[0].Incident.Severity; got != want {
			t.Errorf("severity %s, want %s", got, want)
		}
	}
	p.run(t, "0 down shop@virginia")
	severity(Minor) // belgium serves
	p.b.traffic(p.at(1), "d1", p.at(1), []health.Traffic{{Service: "shop", Requests: 10, MaybeApplied: 1}})
	severity(Major)
	p.run(t, "2 down shop@belgium")
	severity(Critical)
	p.run(t, "3 up shop@belgium", "4 up shop@virginia", "5 tick")
	severity(Critical)
}
