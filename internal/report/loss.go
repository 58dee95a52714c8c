package report

import (
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// The bases of a loss.
const (
	basisSamples = "samples"
	basisTotals  = "totals"
)

// losses says what the incident cost each service.
func (f *Facts) losses() []apiv1.Loss {
	list := []apiv1.Loss{}
	for _, i := range f.Incident.Impact.Services {
		l := apiv1.Loss{Service: i.Service, Requests: i.Requests, Hurt: hurt(i.Failed, i.MaybeApplied, i.Truncated), Basis: basisSamples}
		lost, ok := f.lost(l)
		if !ok {
			l.Basis = basisTotals
		}
		l.LostMS = apiv1.Milliseconds(lost)
		if s, ok := f.service(i.Service); ok {
			if s.Availability > 0 && s.Availability < 100 {
				budget := time.Duration((100 - s.Availability) / 100 * float64(month))
				l.BudgetMS = apiv1.Milliseconds(budget)
				l.BudgetShare = float64(lost) / float64(budget)
			}
			l.CostPerHour = s.CostPerHour
			l.Money = lost.Hours() * s.CostPerHour
		}
		list = append(list, l)
	}
	return list
}

// lost sums up the shares of time in which the service's requests were hurt.
// Where the samples do not tell of all the hurt requests, it is estimated from
// the totals: the share of the whole incident.
func (f *Facts) lost(l apiv1.Loss) (time.Duration, bool) {
	if l.Hurt == 0 {
		return 0, true
	}
	var sum time.Duration
	var seen uint64
	for _, s := range f.Samples {
		for _, p := range s.Services {
			if p.Service == l.Service && p.Hurt > 0 && s.To.After(f.Incident.Opened.Add(-countedBefore)) {
				seen += p.Hurt
				sum += share(s.To.Sub(s.From), p.Hurt, max(p.Requests, p.Hurt))
			}
		}
	}
	if seen >= l.Hurt {
		return sum, true
	}
	return share(f.end().Sub(f.Incident.Opened), l.Hurt, max(l.Requests, l.Hurt)), false
}

func share(d time.Duration, part, whole uint64) time.Duration {
	return time.Duration(float64(max(0, d)) * float64(part) / float64(whole))
}

// countedBefore is how long before the first evidence hurt requests may belong
// to an incident.
const countedBefore = 30 * time.Second

// thin joins neighbours until at most n samples are left.
func thin(list []apiv1.ReportSample, n int) []apiv1.ReportSample {
	each := (len(list) + n - 1) / n
	if each < 2 {
		return list
	}
	var out []apiv1.ReportSample
	for part := range slices.Chunk(list, each) {
		s := part[0]
		for _, t := range part[1:] {
			s = join(s, t)
		}
		out = append(out, s)
	}
	return out
}

// join gives the sample of both spans.
func join(a, b apiv1.ReportSample) apiv1.ReportSample {
	b.From = a.From
	b.Requests += a.Requests
	b.Failed += a.Failed
	b.MaybeApplied += a.MaybeApplied
	b.Truncated += a.Truncated
	b.Retried += a.Retried
	b.Hedged += a.Hedged
	b.Resumed += a.Resumed
	b.ServerErrors += a.ServerErrors
	b.LongestMS = max(a.LongestMS, b.LongestMS)
	b.Cut = a.Cut || b.Cut
	sites := slices.Clone(a.Sites)
	for _, s := range b.Sites {
		if i := slices.IndexFunc(sites, func(o apiv1.SiteSample) bool { return o.Site == s.Site }); i >= 0 {
			o := &sites[i]
			o.Attempts, o.Failures, o.P95MS = o.Attempts+s.Attempts, o.Failures+s.Failures, max(o.P95MS, s.P95MS)
		} else {
			sites = append(sites, s)
		}
	}
	services := slices.Clone(a.Services)
	for _, s := range b.Services {
		if i := slices.IndexFunc(services, func(o apiv1.ServiceSample) bool { return o.Service == s.Service }); i >= 0 {
			o := &services[i]
			o.Requests, o.Hurt = o.Requests+s.Requests, o.Hurt+s.Hurt
		} else {
			services = append(services, s)
		}
	}
	b.Sites, b.Services = sites, services
	return b
}
