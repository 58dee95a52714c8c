package failover

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// service makes a service "shop" with origins at the sites, in that order.
func service(change func(*estate.Service), sites ...estate.SiteID) *estate.Estate {
	s := estate.Service{
		ID: "shop", Policy: estate.Primary, Writes: estate.WritesAnywhere, Failback: estate.FailbackAuto,
		Check: estate.Check{Kind: estate.CheckHTTP, Path: "/healthz", Every: 200 * time.Millisecond, Timeout: 250 * time.Millisecond, DownAfter: 3, UpAfter: 2},
	}
	for _, site := range sites {
		s.Origins = append(s.Origins, estate.Origin{Site: site, URL: "http://" + string(site) + ".example.com", Weight: 1})
	}
	if change != nil {
		change(&s)
	}
	return &estate.Estate{Version: 1, Services: []estate.Service{s}, Digest: "d1"}
}

func oneSite(s *estate.Service)  { s.Writes = estate.WritesOneSite; s.Failback = estate.FailbackManual }
func balanced(s *estate.Service) { s.Policy = estate.Balance }
func manual(s *estate.Service)   { s.Failback = estate.FailbackManual }

// verdicts reads "a:up b:down/refused": state, and cause where it matters. A
// verdict began long ago unless "@3s" says how long.
func verdicts(t *testing.T, now time.Time, text string) map[estate.Target]health.Verdict {
	t.Helper()
	all := map[estate.Target]health.Verdict{}
	for _, word := range strings.Fields(text) {
		site, rest, _ := strings.Cut(word, ":")
		rest, ago, dated := strings.Cut(rest, "@")
		state, cause, _ := strings.Cut(rest, "/")
		since := now.Add(-time.Hour)
		if dated {
			d, err := time.ParseDuration(ago)
			if err != nil {
				t.Fatal(err)
			}
			since = now.Add(-d)
		}
		v := health.Verdict{Target: estate.Target{Service: "shop", Site: estate.SiteID(site)}, Since: since, Cause: health.Cause(cause)}
		if err := v.State.UnmarshalText([]byte(state)); err != nil {
			t.Fatal(err)
		}
		all[v.Target] = v
	}
	return all
}

// show writes a service's routing as "a* up, b down": the active one starred.
func show(t *route.Table) string {
	s := serviceOf(t, "shop")
	if s == nil {
		return "left out"
	}
	var words []string
	for _, o := range s.Origins {
		star := ""
		if o.Site == s.Active {
			star = "*"
		}
		words = append(words, fmt.Sprintf("%s%s %s", o.Site, star, o.State))
	}
	return strings.Join(words, ", ")
}

// before makes the last table from text such as show writes.
func before(t *testing.T, e *estate.Estate, text string) *route.Table {
	t.Helper()
	if text == "" {
		return nil
	}
	s := shape(&e.Services[0])
	for _, word := range strings.Split(text, ", ") {
		site, state, _ := strings.Cut(word, " ")
		name, active := strings.CutSuffix(site, "*")
		if active {
			s.Active = estate.SiteID(name)
		}
		s.Origins = append(s.Origins, route.Origin{
			Site: estate.SiteID(name), URL: "http://" + name + ".example.com", Weight: 1,
			State: route.State(state), Since: t0.Add(-time.Hour),
		})
	}
	return &route.Table{Epoch: 7, Estate: "d0", Services: []route.Service{s}}
}

func drainOf(site estate.SiteID, age time.Duration, force bool) Override {
	return Override{Kind: KindDrain, Service: "shop", Site: site, Set: t0.Add(-age), Until: t0.Add(time.Hour), Actor: "ann", Force: force}
}

func TestDecide(t *testing.T) {
	ended := drainOf("a", time.Hour, false)
	ended.Until = t0
	freeze := Override{Kind: KindFreeze, Service: "shop", Set: t0, Until: t0.Add(time.Hour), Actor: "ann"}
	abc := []estate.SiteID{"a", "b", "c"}
	tests := []struct {
		name      string
		sites     []estate.SiteID
		change    func(*estate.Service)
		last      string
		verdicts  string
		overrides []Override
		writes    estate.SiteID
		failback  bool
		want      string
	}{
		{name: "nothing known is served from the first origin", want: "a* unknown, b unknown"},
		{name: "the active site moves off a dead origin at once", last: "a* up, b up", verdicts: "a:down/refused b:up", want: "b* up, a down"},
		{name: "and rather to one known to be up", sites: abc, last: "a* up, b unknown, c up", verdicts: "a:down c:up", want: "c* up, b unknown, a down"},
		{name: "degraded is served behind up and does not move the active site", verdicts: "a:degraded/status b:up", want: "b up, a* degraded"},
		{name: "everything down stays listed, the active site stays", last: "a* up, b up", verdicts: "a:down b:down", want: "a* down, b down"},
		{name: "no failback before the stable time", last: "b* up, a down", verdicts: "a:up@9s b:up", want: "b* up, a up"},
		{name: "failback after it", last: "b* up, a up", verdicts: "a:up@10s b:up", want: "a* up, b up"},
		{name: "no failback on a state that is only remembered", last: "b* up, a up", verdicts: "b:up", want: "b* up, a up"},
		{name: "no failback to a degraded primary", last: "b* up, a degraded", verdicts: "a:degraded@1h b:up", want: "b* up, a degraded"},
		{name: "failback to the best of those before", sites: abc, last: "c* up, b up, a down", verdicts: "a:down b:up c:up", want: "b* up, c up, a down"},
		{name: "manual failback stays", change: manual, last: "b* up, a up", verdicts: "a:up@1h b:up", want: "b* up, a up"},
		{name: "until it is asked for", change: manual, last: "b* up, a up", verdicts: "a:up@1s b:up", failback: true, want: "a* up, b up"},
		{name: "but not to a dead origin", change: manual, last: "b* up, a down", verdicts: "a:down b:up", failback: true, want: "b* up, a down"},
		{name: "a restart resurrects nothing", last: "b* up, a down", want: "b* up, a down"},
		{name: "and checks that ceased are no sign of life", last: "b* up, a down", verdicts: "a:unknown b:up", want: "b* up, a down"},
		{name: "a drain of the past leaves no trace", last: "b* up, a drained", want: "b* up, a unknown"},
		{name: "a drained origin is out and loses the active site", last: "a* up, b up", verdicts: "a:up b:up", overrides: []Override{drainOf("a", 0, false)}, want: "b* up, a drained"},
		{name: "a drain stands above a verdict", last: "a* up, b up", verdicts: "a:up b:down", overrides: []Override{drainOf("a", 0, false)}, want: "b* down, a drained"},
		{name: "an ended drain does nothing", last: "a* up, b up", verdicts: "a:up b:up", overrides: []Override{ended}, want: "a* up, b up"},
		{name: "the newest drain that would leave nothing has no effect", overrides: []Override{drainOf("a", time.Minute, false), drainOf("b", time.Hour, false)}, want: "a* unknown, b drained"},
		{name: "unless it is forced", overrides: []Override{drainOf("a", time.Minute, true), drainOf("b", time.Hour, true)}, last: "a* up, b up", want: "a* drained, b drained"},
		{name: "a freeze ignores verdicts", last: "a* up, b up", verdicts: "a:down b:degraded", overrides: []Override{freeze}, want: "a* up, b up"},
		{name: "and failback", last: "b* up, a down", verdicts: "a:up b:up", overrides: []Override{freeze}, want: "b* up, a down"},
		{name: "a drain works on a frozen service", last: "a* up, b up", overrides: []Override{freeze, drainOf("a", 0, false)}, want: "b* up, a drained"},

		{name: "one_site does not move by itself", change: oneSite, writes: "a", last: "a* up, b up", verdicts: "a:down b:up", want: "b up, a* down"},
		{name: "one_site follows the decision", change: oneSite, writes: "b", last: "a* up, b up", verdicts: "a:up b:up", want: "b* up, a up"},
		{name: "one_site trusts the last table when the decision is not known", change: oneSite, last: "b* up, a up", want: "b* up, a up"},
		{name: "one_site is left out when nothing is known", change: oneSite, verdicts: "a:up b:up", want: "left out"},
		{name: "the writing site outlives its place in the file", change: oneSite, writes: "z", last: "z* up, a up, b up", verdicts: "a:up b:up", want: "z* up, a up, b up"},
		{name: "and is left out when its address is not known", change: oneSite, writes: "z", last: "a* up, b up", want: "left out"},

		{name: "balance has no active site", change: balanced, verdicts: "a:up b:up", want: "a up, b up"},
		{name: "balance takes out what gives a bad answer", change: balanced, verdicts: "a:up b:down/status", want: "a up, b down"},
		{name: "but at most half on soft evidence", sites: abc, change: balanced, verdicts: "a:up b:down/timeout@9s c:down/timeout@8s", want: "a up, c degraded, b down"},
		{name: "those out already stay out", sites: abc, change: balanced, last: "a up, b degraded, c down", verdicts: "a:up b:down/timeout@9s c:down/timeout@8s", want: "a up, b degraded, c down"},
		{name: "hard evidence knows no cap", sites: abc, change: balanced, verdicts: "a:up b:down/refused c:down/refused", want: "a up, b down, c down"},
		{name: "and counts first", sites: abc, change: balanced, verdicts: "a:up b:down/refused c:down/status@1h", want: "a up, c degraded, b down"},
		{name: "with all down the cap is void", sites: abc, change: balanced, verdicts: "a:down/status b:down/status c:down/status", want: "a down, b down, c down"},
		{name: "drained origins do not count", sites: []estate.SiteID{"a", "b", "c", "d"}, change: balanced, overrides: []Override{drainOf("d", 0, false)}, verdicts: "a:up b:down/status@9s c:down/status", want: "a up, b degraded, c down, d drained"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.sites == nil {
				tt.sites = []estate.SiteID{"a", "b"}
			}
			e := service(tt.change, tt.sites...)
			in := Inputs{
				Now: t0, Last: before(t, e, tt.last), Verdicts: verdicts(t, t0, tt.verdicts), Overrides: tt.overrides,
				Writes: map[estate.ServiceID]estate.SiteID{}, Failback: map[estate.ServiceID]bool{"shop": tt.failback},
			}
			if tt.writes != "" {
				in.Writes["shop"] = tt.writes
			}
			got := Decide(e, in)
			if err := got.Validate(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(tt.want, show(got)); diff != "" {
				t.Errorf("routing (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSinceIsWhenTheStateBegan(t *testing.T) {
	e := service(nil, "a", "b")
	last := before(t, e, "a* up, b up")
	got := Decide(e, Inputs{Now: t0, Last: last, Verdicts: verdicts(t, t0, "a:down b:up")})
	s := serviceOf(got, "shop")
	if a, _ := originOf(s, "a"); !a.Since.Equal(t0) {
		t.Errorf("a went down now, its state began at %s", a.Since)
	}
	if b, _ := originOf(s, "b"); !b.Since.Equal(t0.Add(-time.Hour)) {
		t.Errorf("b did not change, its state began at %s", b.Since)
	}
}

func TestTheFileDecidesTheRest(t *testing.T) {
	e := service(func(s *estate.Service) {
		s.Hosts, s.Paths, s.RetryWrites, s.SpareReads = []string{"shop.example.com"}, []string{"/api"}, true, true
		s.Limits = estate.Limits{Body: 5, Timeout: 6, Hedge: estate.Hedge{Off: true, Delay: 7, Budget: 0.5}}
		s.Check.Host, s.Check.Status = "health.example.com", []int{204}
		s.Origins[0].Host, s.Origins[0].Weight = "internal.example.com", 9
	}, "a")
	want := &route.Table{Estate: "d1", Services: []route.Service{{
		ID: "shop", Hosts: []string{"shop.example.com"}, Paths: []string{"/api"}, Policy: estate.Primary, Writes: estate.WritesAnywhere,
		RetryWrites: true, SpareReads: true, Active: "a",
		Limits:  route.Limits{Body: 5, Timeout: 6, HedgeOff: true, HedgeDelay: 7, HedgeBudget: 0.5},
		Check:   route.Check{Path: "/healthz", Host: "health.example.com", Status: []int{204}, Timeout: 250 * time.Millisecond},
		Origins: []route.Origin{{Site: "a", URL: "http://a.example.com", Host: "internal.example.com", Weight: 9, State: route.Unknown, Since: t0}},
	}}}
	if diff := cmp.Diff(want, Decide(e, Inputs{Now: t0})); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

// TestDecideKeepsItsPromises feeds random inputs: the table is valid, somebody
// is left to serve, the inputs are not changed and a second look decides the
// same.
func TestDecideKeepsItsPromises(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	sites := []estate.SiteID{"a", "b", "c", "d"}
	causes := []health.Cause{health.CauseRefused, health.CauseTimeout, health.CauseStatus}
	for round := range 1000 {
		changes := []func(*estate.Service){nil, oneSite, balanced, manual}
		e := service(changes[rnd.IntN(len(changes))], sites[:1+rnd.IntN(len(sites))]...)
		s := &e.Services[0]
		in := Inputs{Now: t0, Verdicts: map[estate.Target]health.Verdict{}, Writes: map[estate.ServiceID]estate.SiteID{"shop": s.Origins[rnd.IntN(len(s.Origins))].Site}}
		for range 3 {
			in.Now = in.Now.Add(time.Duration(rnd.IntN(20)) * time.Second)
			in.Overrides = nil
			for _, o := range s.Origins {
				id := estate.Target{Service: "shop", Site: o.Site}
				v := health.Verdict{Target: id, State: health.State(rnd.IntN(4)), Since: in.Now, Cause: causes[rnd.IntN(3)]}
				in.Verdicts[id] = v
				if rnd.IntN(3) == 0 {
					d := drainOf(o.Site, time.Duration(rnd.IntN(99)), false)
					d.Until = in.Now.Add(time.Second)
					in.Overrides = append(in.Overrides, d)
				}
			}
			got := Decide(e, in)
			checkTable(t, s, in, got)
			in.Last = got
			again := Decide(e, in)
			if diff := cmp.Diff(show(got), show(again)); diff != "" {
				t.Errorf("deciding twice differs (-once +twice):\n%s", diff)
			}
			if t.Failed() {
				t.Fatalf("seed %d, round %d: %s", seed, round, show(got))
			}
		}
	}
}

func checkTable(t *testing.T, s *estate.Service, in Inputs, got *route.Table) {
	t.Helper()
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	open, down, hard, soft := 0, 0, 0, 0
	for _, o := range got.Services[0].Origins {
		if o.State == route.Drained {
			continue
		}
		open++
		if o.State == route.Down {
			down++
		}
		v := in.Verdicts[estate.Target{Service: "shop", Site: o.Site}]
		before, _ := originOf(serviceOf(in.Last, s.ID), o.Site)
		held := v.State == health.Down || v.State == health.Unknown && before.State == route.Down
		switch {
		case held && v.Cause == health.CauseRefused:
			hard++
		case held:
			soft++
		}
	}
	if open == 0 {
		t.Error("no origin is left")
	}
	want := hard + soft
	if s.Policy == estate.Balance && want < open {
		want = hard + min(soft, max(0, open/2-hard))
	}
	if down != want {
		t.Errorf("%d of %d are down, want %d (%d on hard evidence, %d on soft)", down, open, want, hard, soft)
	}
}
