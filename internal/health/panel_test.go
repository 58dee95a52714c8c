package health

import (
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

func TestPanel(t *testing.T) {
	tests := []struct {
		name, watched, script string
		trusted               string // the last results: y trusted, n withheld
	}{
		{"one site fails", "a b c", "a:timeout b+ c+ a:timeout", "yyyy"},
		{"all but one fail", "a b c", "a:timeout b:timeout a:timeout b:timeout c+", "yyyyy"},
		{"all fail", "a b c", "a:timeout b:connect c:dns a:timeout b:timeout", "yynnn"},
		{"all fail, then one answers", "a b", "a:timeout b:timeout a+ b:timeout", "ynyy"},
		{"a refusal proves the network", "a b", "a:timeout b:refused a:timeout", "yyy"},
		{"an error status proves the network", "a b", "a:timeout b:status a:timeout b:timeout", "yyyn"},
		{"one site only", "a", "a:timeout a:timeout a:timeout", "yyy"},
		{"a site that is not watched", "a b", "c:timeout a:timeout c:timeout", "yyy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var targets []estate.Target
			for _, site := range strings.Fields(tt.watched) {
				targets = append(targets, estate.Target{Service: "shop", Site: estate.SiteID(site)})
			}
			p := NewPanel(targets)
			var got strings.Builder
			for i, step := range strings.Fields(tt.script) {
				r := Result{At: simStart.Add(time.Duration(i) * time.Second), OK: step[1] == '+'}
				r.Target = estate.Target{Service: "shop", Site: estate.SiteID(step[:1])}
				if !r.OK {
					r.Cause = Cause(step[2:])
				}
				got.WriteByte("ny"[btoi(p.Trust(r))])
			}
			if got.String() != tt.trusted {
				t.Errorf("got %s, want %s", got.String(), tt.trusted)
			}
			if _, abstains := p.Abstains(); abstains != strings.HasSuffix(tt.trusted, "n") {
				t.Errorf("abstains = %t", abstains)
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestPanelForgetsSitesThatAreNoLongerWatched(t *testing.T) {
	target := func(site estate.SiteID) estate.Target { return estate.Target{Service: "shop", Site: site} }
	p := NewPanel([]estate.Target{target("a"), target("b"), target("c")})
	p.Trust(Result{Target: target("a"), Cause: CauseTimeout, At: simStart})
	p.Trust(Result{Target: target("b"), Cause: CauseTimeout, At: simStart.Add(time.Second)})
	p.Watch([]estate.Target{target("a"), target("b")})
	if since, ok := p.Abstains(); !ok || !since.Equal(simStart.Add(time.Second)) {
		t.Errorf("abstains = %t since %s, want since the newest result", ok, since)
	}
	p.Watch([]estate.Target{target("a"), target("b"), target("d")})
	if _, ok := p.Abstains(); ok {
		t.Error("abstains although nothing was heard of a new site")
	}
}

// TestOwnNetworkGoneTakesNothingDown joins panel and detectors, as the control
// plane does.
func TestOwnNetworkGoneTakesNothingDown(t *testing.T) {
	sites := []estate.SiteID{"a", "b", "c"}
	var targets []estate.Target
	detectors := map[estate.Target]*Detector{}
	for _, s := range sites {
		target := estate.Target{Service: "shop", Site: s}
		targets = append(targets, target)
		detectors[target] = NewDetector(target, Policy{}, simStart)
	}
	p := NewPanel(targets)
	now := simStart
	round := func(cause Cause) {
		for _, target := range targets {
			now = now.Add(300 * time.Millisecond)
			r := Result{Target: target, At: now, OK: cause == CauseNone, Cause: cause}
			if p.Trust(r) {
				detectors[target].Check(r)
			}
			if v, _ := detectors[target].Tick(now); v.State == Down {
				t.Fatalf("%s is down: %s", target, v.Evidence)
			}
		}
	}
	round(CauseNone)
	for range 60 {
		round(CauseTimeout)
	}
	for _, target := range targets {
		if v := detectors[target].Verdict(); v.State != Unknown {
			t.Errorf("%s is %s, want unknown: %s", target, v.State, v.Evidence)
		}
	}
	round(CauseNone)
	for _, target := range targets {
		if v := detectors[target].Verdict(); v.State != Up {
			t.Errorf("%s is %s after the network came back: %s", target, v.State, v.Evidence)
		}
	}
}
