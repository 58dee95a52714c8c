package failover

import (
	"cmp"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// DefaultStable is how long a preferred origin must have been up before a
// service fails back to it on its own.
const DefaultStable = 10 * time.Second

// Inputs are all that [Decide] looks at besides the estate.
type Inputs struct {
	Now time.Time
	// Last is the table before this one; nil when there was none. States,
	// their beginnings and soft active sites carry over from it.
	Last *route.Table
	// Verdicts holds the targets that were judged at least once. One that is
	// missing keeps its state in Last, so that a restart resurrects nothing.
	Verdicts map[estate.Target]health.Verdict
	// Overrides may hold ended ones; they do nothing.
	Overrides []Override
	// Writes is the committed site of unsafe methods by one_site service. A
	// service that is neither here nor in Last is left out of the table:
	// guessing could send writes to two sites.
	Writes map[estate.ServiceID]estate.SiteID
	// Failback names services that an operator wants back at their first
	// origin now. It concerns services whose writes may go anywhere.
	Failback map[estate.ServiceID]bool
	// Stable is the wait before an automatic failback; 0 = DefaultStable.
	Stable time.Duration
}

// Decide gives the table that follows from the inputs, with no epoch and no
// issue time. It is pure.
//
// Its safety rules: a service keeps at least one origin that is not drained
// unless drains were forced; when every origin is down all of them are listed
// as down and the data path fails open; under policy balance soft evidence
// takes down at most half of the origins while another one serves (see
// [capEjections]); what was never judged is served.
func Decide(e *estate.Estate, in Inputs) *route.Table {
	if in.Stable == 0 {
		in.Stable = DefaultStable
	}
	t := &route.Table{Estate: e.Digest}
	for i := range e.Services {
		if s, ok := in.service(&e.Services[i], i); ok {
			t.Services = append(t.Services, s)
		}
	}
	return t
}

func (in *Inputs) service(s *estate.Service, place int) (route.Service, bool) {
	last := serviceNear(in.Last, s.ID, place)
	pinned := in.pinned(s.ID, last)
	drained := in.drained(s)
	rs := shape(s)
	for _, o := range s.Origins {
		state := in.state(s, o, last, pinned)
		rs.Origins = append(rs.Origins, route.Origin{Site: o.Site, URL: o.URL, Host: o.Host, Weight: o.Weight, State: state})
	}
	if s.Policy == estate.Balance && pinned == nil {
		in.capEjections(s.ID, rs.Origins, drained, last)
	}
	for i := range rs.Origins {
		o := &rs.Origins[i]
		if drained[o.Site] {
			o.State = route.Drained
		}
		o.Since = utc(in.Now)
		if before, ok := originOf(last, o.Site); ok && before.State == o.State && before.URL == o.URL {
			o.Since = before.Since
		}
	}
	ok := in.setActive(&rs, s, last, pinned)
	order(&rs)
	return rs, ok
}

// shape gives the part of the routing that the file alone decides.
func shape(s *estate.Service) route.Service {
	return route.Service{
		ID: s.ID, Hosts: s.Hosts, Paths: s.Paths, Policy: s.Policy, Writes: s.Writes,
		RetryWrites: s.RetryWrites, SpareReads: s.SpareReads,
		Limits: route.Limits{
			Body: s.Limits.Body, Timeout: s.Limits.Timeout,
			HedgeOff: s.Limits.Hedge.Off, HedgeDelay: s.Limits.Hedge.Delay, HedgeBudget: s.Limits.Hedge.Budget,
		},
		Check: route.Check{
			Path: cmp.Or(s.Check.Path, "/"), Host: s.Check.Host,
			Status: s.Check.Status, Timeout: s.Check.Timeout,
		},
	}
}

// state is what verdicts, or a freeze, make of one origin.
func (in *Inputs) state(s *estate.Service, o estate.Origin, last, pinned *route.Service) route.State {
	if pinned != nil {
		p, ok := originOf(pinned, o.Site)
		if !ok || p.State == route.Drained {
			return route.Unknown // new in the file since the freeze
		}
		return p.State
	}
	before, known := originOf(last, o.Site)
	known = known && before.URL == o.URL && before.State != route.Drained
	v, judged := in.Verdicts[estate.Target{Service: s.ID, Site: o.Site}]
	switch {
	case judged && v.State == health.Unknown && known && before.State != route.Up:
		return before.State // that checks ceased is no sign of life
	case judged:
		return stateOf(v.State)
	case known:
		return before.State
	}
	return route.Unknown
}

func stateOf(s health.State) route.State {
	switch s {
	case health.Up:
		return route.Up
	case health.Degraded:
		return route.Degraded
	case health.Down:
		return route.Down
	default:
		return route.Unknown
	}
}

// hardEvidence says that an origin gives nobody an answer. Everything else
// (timeouts, resets, statuses) is also what overload looks like, and taking
// out more of the overloaded makes it worse.
func hardEvidence(c health.Cause) bool {
	return c == health.CauseRefused || c == health.CauseDNS || c == health.CauseTLS
}

// capEjections keeps soft evidence from emptying a balanced service: at most
// half of the origins that are not drained are down, those with hard evidence
// counted first, then those that were down already, then the longest down.
// The rest is listed as degraded and serves behind the others. When nothing
// else serves at all the cap is void: the data path then fails open over all
// of them, which spreads the load further than the cap would.
func (in *Inputs) capEjections(id estate.ServiceID, origins []route.Origin, drained map[estate.SiteID]bool, last *route.Service) {
	var soft []*route.Origin
	serving, down := 0, 0
	for i := range origins {
		o := &origins[i]
		if drained[o.Site] {
			continue
		}
		serving++
		if o.State != route.Down {
			continue
		}
		down++
		if v, ok := in.Verdicts[estate.Target{Service: id, Site: o.Site}]; ok && !hardEvidence(v.Cause) {
			soft = append(soft, o)
		}
	}
	spare := min(down-serving/2, len(soft))
	if down == serving || spare <= 0 {
		return
	}
	slices.SortStableFunc(soft, func(a, b *route.Origin) int {
		return cmp.Or(
			cmp.Compare(wasDown(last, b.Site), wasDown(last, a.Site)),
			in.Verdicts[estate.Target{Service: id, Site: a.Site}].Since.Compare(in.Verdicts[estate.Target{Service: id, Site: b.Site}].Since))
	})
	for _, o := range soft[len(soft)-spare:] {
		o.State = route.Degraded
	}
}

func wasDown(last *route.Service, site estate.SiteID) int {
	if o, ok := originOf(last, site); ok && o.State == route.Down {
		return 1
	}
	return 0
}

// drained gives the sites that are drained now. When that would leave no
// origin, the newest drain that was not forced has no effect.
func (in *Inputs) drained(s *estate.Service) map[estate.SiteID]bool {
	var live []Override
	for _, o := range in.Overrides {
		if _, ok := s.Origin(o.Site); ok && o.Kind == KindDrain && o.Service == s.ID && o.live(in.Now) {
			live = append(live, o)
		}
	}
	if len(live) == len(s.Origins) {
		slices.SortFunc(live, func(a, b Override) int {
			return cmp.Or(a.Set.Compare(b.Set), cmp.Compare(a.Site, b.Site))
		})
		for i := len(live) - 1; i >= 0; i-- {
			if !live[i].Force {
				live = slices.Delete(live, i, i+1)
				break
			}
		}
	}
	sites := make(map[estate.SiteID]bool, len(live))
	for _, o := range live {
		sites[o.Site] = true
	}
	return sites
}

// pinned gives the routing that a live freeze holds the service to, or nil.
func (in *Inputs) pinned(id estate.ServiceID, last *route.Service) *route.Service {
	for i := range in.Overrides {
		o := &in.Overrides[i]
		if o.Kind == KindFreeze && o.Service == id && o.live(in.Now) {
			if o.Pinned != nil {
				return o.Pinned
			}
			return last
		}
	}
	return nil
}

// order puts those that serve first in front, the active site first among
// equals, and keeps the file's order otherwise.
func order(rs *route.Service) {
	slices.SortStableFunc(rs.Origins, func(a, b route.Origin) int {
		return cmp.Or(cmp.Compare(tier(a.State), tier(b.State)), cmp.Compare(behind(a, rs), behind(b, rs)))
	})
}

func behind(o route.Origin, rs *route.Service) int {
	if o.Site == rs.Active {
		return 0
	}
	return 1
}

func tier(s route.State) int {
	switch s {
	case route.Degraded:
		return 1
	case route.Down:
		return 2
	case route.Drained:
		return 3
	default:
		return 0
	}
}

// serviceNear is serviceOf for a service that most likely stands at the given
// place: files and tables keep one order, and a search for each of ten
// thousand services would be too long.
func serviceNear(t *route.Table, id estate.ServiceID, place int) *route.Service {
	if t != nil && place < len(t.Services) && t.Services[place].ID == id {
		return &t.Services[place]
	}
	return serviceOf(t, id)
}

func serviceOf(t *route.Table, id estate.ServiceID) *route.Service {
	if t == nil {
		return nil
	}
	for i := range t.Services {
		if t.Services[i].ID == id {
			return &t.Services[i]
		}
	}
	return nil
}

func originOf(s *route.Service, site estate.SiteID) (route.Origin, bool) {
	if s == nil {
		return route.Origin{}, false
	}
	for _, o := range s.Origins {
		if o.Site == site {
			return o, true
		}
	}
	return route.Origin{}, false
}
