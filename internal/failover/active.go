package failover

import (
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// setActive fills in the service's active site. It reports false when unsafe
// methods have a site that is not known here.
func (in *Inputs) setActive(rs *route.Service, s *estate.Service, last, pinned *route.Service) bool {
	switch {
	case s.Writes == estate.WritesOneSite:
		return in.hardActive(rs, s, last)
	case s.Policy != estate.Primary:
		return true
	case pinned != nil:
		rs.Active = usable(rs, s, pinned.Active)
	default:
		rs.Active = in.softActive(rs, s, last)
	}
	return true
}

// hardActive takes the committed site, never one of its own choosing. A site
// that left the file while it took the writes stays in the table until they
// have moved by the hard path.
func (in *Inputs) hardActive(rs *route.Service, s *estate.Service, last *route.Service) bool {
	site, ok := in.Writes[s.ID]
	if !ok && last != nil {
		site = last.Active
		if site == "" && len(s.Origins) > 0 {
			site = s.Origins[0].Site
		}
	}
	if site == "" {
		return false
	}
	rs.Active = site
	if _, declared := originOf(rs, site); declared {
		return true
	}
	old, known := originOf(last, site)
	if known {
		rs.Origins = append(rs.Origins, old)
	}
	return known
}

// softActive moves at once off a site that is down or drained, and back to a
// preferred one by the service's failback rule.
func (in *Inputs) softActive(rs *route.Service, s *estate.Service, last *route.Service) estate.SiteID {
	cur := s.Origins[0].Site
	if last != nil && last.Active != "" {
		cur = last.Active
	}
	o, ok := originOf(rs, cur)
	if !ok || o.State == route.Down || o.State == route.Drained {
		return usable(rs, s, cur)
	}
	if in.Failback[s.ID] {
		if first, ok := originOf(rs, s.Origins[0].Site); ok && first.State != route.Down && first.State != route.Drained {
			return first.Site
		}
	}
	if s.Failback != estate.FailbackAuto {
		return cur
	}
	for _, o := range s.Origins {
		if o.Site == cur {
			break
		}
		since, up := in.upSince(rs, o.Site)
		if up && in.Now.Sub(since) >= in.Stable {
			return o.Site
		}
	}
	return cur
}

// upSince says since when an origin is up both by verdict and in the table.
// The later of the two counts: a verdict may be older than a restart or the
// end of a drain.
func (in *Inputs) upSince(rs *route.Service, site estate.SiteID) (time.Time, bool) {
	o, ok := originOf(rs, site)
	v, judged := in.Verdicts[estate.Target{Service: rs.ID, Site: site}]
	if !ok || !judged || o.State != route.Up || v.State != health.Up {
		return time.Time{}, false
	}
	if v.Since.After(o.Since) {
		return v.Since, true
	}
	return o.Since, true
}

// usable gives want when it may serve, else the best of the others: up before
// unknown before degraded, in the file's order. When none is any good it
// gives want if that is not drained, else the first that is not, else the
// first.
func usable(rs *route.Service, s *estate.Service, want estate.SiteID) estate.SiteID {
	wanted, ok := originOf(rs, want)
	if ok && wanted.State != route.Down && wanted.State != route.Drained {
		return want
	}
	for _, state := range []route.State{route.Up, route.Unknown, route.Degraded} {
		if site, ok := firstIn(rs, s, state); ok {
			return site
		}
	}
	if ok && wanted.State != route.Drained {
		return want
	}
	if site, ok := firstIn(rs, s, route.Down); ok {
		return site
	}
	return s.Origins[0].Site
}

func firstIn(rs *route.Service, s *estate.Service, state route.State) (estate.SiteID, bool) {
	for _, o := range s.Origins {
		if r, ok := originOf(rs, o.Site); ok && r.State == state {
			return o.Site, true
		}
	}
	return "", false
}
