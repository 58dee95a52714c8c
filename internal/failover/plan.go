package failover

import (
	"fmt"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// Times of hard moves.
const (
	// DefaultConfirm is used when a service declares no confirmation time.
	DefaultConfirm = 5 * time.Second
	// MinBetween is the least time between a hard move and the next automatic
	// one. Moves that a person asked for, drains among them, do not wait.
	MinBetween = time.Minute
)

// Move is a change of a service's writing site.
type Move struct {
	From   estate.SiteID `json:"from"`
	To     estate.SiteID `json:"to"`
	Reason string        `json:"reason"`
	Actor  string        `json:"actor"`
	Auto   bool          `json:"auto"`
}

// request is a failback by hand that waits for its turn.
type request struct {
	to            estate.SiteID
	reason, actor string
}

// outlook is all that the plan of one service's hard move depends on.
type outlook struct {
	now      time.Time
	svc      *estate.Service
	dec      Decision
	table    *route.Service
	verdicts map[estate.Target]health.Verdict
	badSince time.Time // since when the active site is down or drained; zero = it is neither
	bad      string    // why it is
	byHand   bool      // it is out by a person's decision
	actor    string    // whose
	frozen   bool
	wanted   *request
	stable   time.Duration
}

// plan says which move is wanted, when it is due, and what stands in its way.
// A nil move with a text means that one is needed and none is possible. It
// knows nothing of moves already begun.
func (o *outlook) plan() (m *Move, due time.Time, blocked string) {
	switch {
	case o.wanted != nil:
		m, due, blocked = o.planWanted()
	case !o.badSince.IsZero():
		m, due, blocked = o.planFailover()
	case o.svc.Failback == estate.FailbackAuto:
		m, due = o.planFailback()
	}
	if o.frozen && (m != nil || blocked != "") {
		blocked = "the service is frozen"
	}
	return m, due, blocked
}

func (o *outlook) planWanted() (*Move, time.Time, string) {
	m := &Move{From: o.dec.Active, To: o.wanted.to, Reason: o.wanted.reason, Actor: o.wanted.actor}
	since, up := o.upSince(o.wanted.to)
	if !up {
		return m, time.Time{}, fmt.Sprintf("%s is not up", o.wanted.to)
	}
	return m, since.Add(o.confirm()), ""
}

func (o *outlook) planFailover() (*Move, time.Time, string) {
	due := o.badSince.Add(o.confirm())
	if !o.byHand {
		due = o.afterLast(due)
	}
	m := Move{From: o.dec.Active, Reason: o.bad, Actor: "spare", Auto: !o.byHand}
	if o.byHand && o.actor != "" {
		m.Actor = o.actor
	}
	for _, origin := range o.svc.Origins {
		if _, up := o.upSince(origin.Site); up && origin.Site != o.dec.Active {
			m.To = origin.Site
			return &m, due, ""
		}
	}
	return nil, due, "no other origin is up"
}

func (o *outlook) planFailback() (*Move, time.Time) {
	for _, origin := range o.svc.Origins {
		if origin.Site == o.dec.Active {
			break
		}
		if since, up := o.upSince(origin.Site); up {
			return &Move{
				From: o.dec.Active, To: origin.Site, Auto: true, Actor: "spare",
				Reason: fmt.Sprintf("failback: %s is up again", origin.Site),
			}, o.afterLast(since.Add(max(o.stable, o.confirm())))
		}
	}
	return nil, time.Time{}
}

func (o *outlook) afterLast(due time.Time) time.Time {
	if o.dec.Epoch == 0 {
		return due // it never moved
	}
	if next := o.dec.At.Add(MinBetween); next.After(due) {
		return next
	}
	return due
}

func (o *outlook) confirm() time.Duration {
	if o.svc.Confirm > 0 {
		return o.svc.Confirm
	}
	return DefaultConfirm
}

func (o *outlook) upSince(site estate.SiteID) (time.Time, bool) {
	in := Inputs{Verdicts: o.verdicts}
	return in.upSince(o.table, site)
}

// verdictReason says in a few words why a site is out.
func verdictReason(v health.Verdict) string {
	s := string(v.Target.Site) + " is down"
	if v.Cause != health.CauseNone {
		s += ": " + string(v.Cause)
	}
	return s
}
