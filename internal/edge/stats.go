package edge

import (
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

// live is what is counted and budgeted of a service from table to table.
type live struct {
	id      estate.ServiceID
	retries *budget
	hedges  *budget

	requests, failed, refused, retried, hedged, hedgeWins atomic.Uint64
	resumed, truncated, maybeApplied, serverErrors        atomic.Uint64
	longest                                               atomic.Int64
}

// Budgets: second attempts as a share of requests, and the burst that the
// first moment of a failure may take.
const (
	retryShare = 0.2
	retryBurst = 1000
	hedgeShare = 0.1
	hedgeBurst = 200
)

func newLive(id estate.ServiceID) *live {
	return &live{id: id, retries: newBudget(retryShare, retryBurst), hedges: newBudget(hedgeShare, hedgeBurst)}
}

// began pays a request's share into the budgets.
func (l *live) began(hedgeShare float64) {
	l.retries.pay(0)
	l.hedges.pay(hedgeShare)
}

// took notes how long a response head was waited for.
func (l *live) took(d time.Duration) {
	for {
		old := l.longest.Load()
		if int64(d) <= old || l.longest.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// Stats gives the counts of every service since the process began. LongestNS
// starts anew with each call.
func (e *Edge) Stats() []health.Traffic {
	r := e.inForce.Load()
	if r == nil {
		return nil
	}
	list := make([]health.Traffic, 0, len(r.services))
	for _, s := range r.services {
		l := s.live
		t := health.Traffic{
			Service: l.id, Requests: l.requests.Load(), Failed: l.failed.Load(), Refused: l.refused.Load(),
			Retried: l.retried.Load(), Hedged: l.hedged.Load(), HedgeWins: l.hedgeWins.Load(), Resumed: l.resumed.Load(),
			Truncated: l.truncated.Load(), MaybeApplied: l.maybeApplied.Load(), ServerErrors: l.serverErrors.Load(),
			LongestNS: l.longest.Swap(0),
		}
		for _, c := range s.origins {
			t.Origins = append(t.Origins, c.o.traffic())
		}
		list = append(list, t)
	}
	return list
}
