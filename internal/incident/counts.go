package incident

import (
	"maps"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

func countedOf(t health.Traffic) counted {
	c := counted{Counts: Counts{
		Requests: t.Requests, Retried: t.Retried, Hedged: t.Hedged, Resumed: t.Resumed, Failed: t.Failed,
		MaybeApplied: t.MaybeApplied, Truncated: t.Truncated, ServerErrors: t.ServerErrors,
	}}
	for _, o := range t.Origins {
		if o.Requests > 0 {
			if c.Attempts == nil {
				c.Attempts = map[estate.SiteID]uint64{}
			}
			c.Attempts[o.Site] = o.Requests
		}
		if o.Failures > 0 {
			if c.Failures == nil {
				c.Failures = map[estate.SiteID]uint64{}
			}
			c.Failures[o.Site] = o.Failures
		}
	}
	return c
}

// behind reports whether c was counted before d: counters only grow.
func (c counted) behind(d counted) bool {
	a, b := c.Counts, d.Counts
	return a.Requests < b.Requests || a.Retried < b.Retried || a.Hedged < b.Hedged || a.Resumed < b.Resumed ||
		a.Failed < b.Failed || a.MaybeApplied < b.MaybeApplied || a.Truncated < b.Truncated || a.ServerErrors < b.ServerErrors
}

// failedSince gives the sites where attempts failed between d and c. An origin
// that left the table in between may be missing.
func (c counted) failedSince(d counted) []estate.SiteID {
	var sites []estate.SiteID
	for s, n := range c.Failures {
		if n > d.Failures[s] {
			sites = append(sites, s)
		}
	}
	slices.Sort(sites)
	return sites
}

// sitesSince gives each site's part of what happened between d and c. An
// origin that left the table and came back counts from zero.
func (c counted) sitesSince(d counted, t health.Traffic) []siteDelta {
	var list []siteDelta
	for _, o := range t.Origins {
		n, was := c.Attempts[o.Site], d.Attempts[o.Site]
		failed, wasFailed := c.Failures[o.Site], d.Failures[o.Site]
		if n < was || failed < wasFailed {
			was, wasFailed = 0, 0
		}
		if n > was || failed > wasFailed {
			list = append(list, siteDelta{o.Site, n - was, failed - wasFailed, float64(o.P95NS) / 1e6})
		}
	}
	return list
}

// minus subtracts counters; LongestMS is no counter and stays out.
func (c Counts) minus(d Counts) Counts {
	return Counts{
		Requests: c.Requests - d.Requests, Retried: c.Retried - d.Retried, Hedged: c.Hedged - d.Hedged,
		Resumed: c.Resumed - d.Resumed, Failed: c.Failed - d.Failed, MaybeApplied: c.MaybeApplied - d.MaybeApplied,
		Truncated: c.Truncated - d.Truncated, ServerErrors: c.ServerErrors - d.ServerErrors,
	}
}

// settled gives the source as it may be stored: without the recent reports
// that no incident counts yet, but one may have to. After a restart the next
// report then covers them again.
func (b *book) settled(name string, s *source) source {
	out := source{Seq: s.Seq, Ahead: s.Ahead, Last: s.Last, At: s.At, Counts: maps.Clone(s.Counts)}
	for svc, ring := range b.ring {
		for _, d := range slices.Backward(ring) {
			if d.source != name {
				continue
			}
			if d.taken {
				break
			}
			out.Counts[svc] = d.before
		}
	}
	return out
}

// forgetTraffic drops old reports, and sources that have fallen silent.
func (b *book) forgetTraffic(now time.Time) {
	for svc, ring := range b.ring {
		b.ring[svc] = slices.DeleteFunc(ring, func(d delta) bool { return now.Sub(d.at) > lookBack })
		if len(b.ring[svc]) == 0 {
			delete(b.ring, svc)
		}
	}
	for name, s := range b.sources {
		if now.Sub(s.seen) <= silentAfter {
			continue
		}
		for t, l := range b.levels {
			if _, ok := l.Ejected[name]; ok {
				delete(l.Ejected, name)
				b.changed(now, now, t)
			}
		}
		if now.Sub(s.Last) > sourceTTL {
			delete(b.sources, name)
			b.gone = append(b.gone, name)
		}
	}
}
