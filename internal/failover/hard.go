package failover

import (
	"context"
	"fmt"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/route"
	"github.com/sparecloud/spare/internal/run"
)

// hard is what the loop remembers about the writing site of one service.
type hard struct {
	active   estate.SiteID // that badSince is about
	badSince time.Time     // the site is down or drained without a break since then
	bad      string
	byHand   bool
	actor    string

	wanted  *request // a failback by hand
	running bool     // an attempt is under way
	again   run.Backoff
	next    time.Time // no attempt before
	failure string    // of the newest attempt
	pending *Pending  // for Status
}

// moveAll looks at every one_site service and starts what is due.
func (l *loop) moveAll(ctx context.Context, now time.Time) {
	for id := range l.hard {
		if s, ok := l.estate.Service(id); !ok || s.Writes != estate.WritesOneSite {
			if !l.hard[id].running {
				delete(l.hard, id)
			}
		}
	}
	for i := range l.estate.Services {
		s := &l.estate.Services[i]
		rec, decided := l.mirror.decisions[s.ID]
		if s.Writes != estate.WritesOneSite || !decided {
			continue
		}
		h, ok := l.hard[s.ID]
		if !ok {
			h = &hard{again: run.Backoff{Min: time.Second, Max: 30 * time.Second}}
			l.hard[s.ID] = h
		}
		l.track(h, s, rec, now)
		l.move(ctx, h, s, rec, now)
	}
}

// track keeps the time since when the active site is out without a break.
func (l *loop) track(h *hard, s *estate.Service, rec record, now time.Time) {
	if h.active != rec.Active {
		h.active, h.badSince = rec.Active, time.Time{}
	}
	h.bad, h.byHand, h.actor = "", false, ""
	v := l.verdicts[estate.Target{Service: s.ID, Site: rec.Active}]
	o, _ := originOf(serviceOf(l.last, s.ID), rec.Active)
	_, declared := s.Origin(rec.Active)
	switch {
	case !declared:
		h.bad, h.byHand = fmt.Sprintf("%s is no longer in the file", rec.Active), true
	case o.State == route.Drained:
		d := l.mirror.overrides[Override{Kind: KindDrain, Service: s.ID, Site: rec.Active}.key()]
		h.bad, h.byHand, h.actor = fmt.Sprintf("%s is drained%s", rec.Active, because(d.Reason)), true, d.Actor
	case v.State == health.Down:
		h.bad = verdictReason(v)
	default:
		h.badSince = time.Time{}
		return
	}
	if h.badSince.IsZero() {
		h.badSince = now
	}
}

// move plans for one service and starts an attempt if one is due.
func (l *loop) move(ctx context.Context, h *hard, s *estate.Service, rec record, now time.Time) {
	if h.running {
		if in := rec.Pending; in != nil {
			h.pending.Epoch, h.pending.Attempts = in.Epoch, in.Attempts
		}
		return
	}
	l.review(h, s, rec)
	look := outlook{
		now: now, svc: s, dec: rec.Decision, table: serviceOf(l.last, s.ID), verdicts: l.verdicts,
		badSince: h.badSince, bad: h.bad, byHand: h.byHand, actor: h.actor,
		frozen: l.frozen(s.ID, now), wanted: h.wanted, stable: DefaultStable,
	}
	m, due, blocked := look.plan()
	j := job{svc: s.ID, hook: s.Fence, rec: rec}
	if in := rec.Pending; in != nil {
		j.intent = *in
		switch {
		case !in.Settled:
			m, due = &Move{From: in.From, To: in.To, Reason: in.Reason, Actor: in.Actor, Auto: in.Auto}, in.At
			if blocked = ""; look.frozen {
				blocked = "the service is frozen"
			}
		case m == nil || m.From != in.From || m.To != in.To || look.frozen:
			j.drop = true
			m, due, blocked = &Move{From: in.From, To: in.To, Reason: in.Reason, Actor: in.Actor, Auto: in.Auto}, in.At, ""
		}
	} else if m != nil {
		j.intent = Intent{From: m.From, To: m.To, Reason: m.Reason, Actor: m.Actor, Auto: m.Auto}
	}
	l.show(h, rec, m, due, &blocked, now)
	if m == nil || blocked != "" || now.Before(due) || now.Before(h.next) {
		return
	}
	h.running = true
	h.pending.Running = !j.drop
	l.moves.Go(func() {
		out := l.c.attempt(ctx, j)
		l.c.post(ctx, func(l *loop) { l.moved(s.ID, j, out) })
	})
}

// show sets what Status tells of the move. It adds the store's absence to what
// blocks.
func (l *loop) show(h *hard, rec record, m *Move, due time.Time, blocked *string, now time.Time) {
	h.pending = nil
	if m == nil && *blocked == "" {
		h.failure = ""
		return
	}
	if err := l.storeReady(); err != nil && *blocked == "" {
		*blocked = "the state store does not answer: " + err.Error()
	}
	p := &Pending{From: rec.Active, Since: utc(h.badSince), Due: utc(due), Blocked: *blocked, Error: h.failure}
	if m != nil {
		p.To, p.Reason, p.Actor = m.To, m.Reason, m.Actor
	} else {
		p.Reason = h.bad
	}
	if in := rec.Pending; in != nil {
		p.Epoch, p.Attempts, p.Since = in.Epoch, in.Attempts, in.At
	}
	if h.failure != "" && now.Before(h.next) {
		p.Retry = utc(h.next)
		if p.Blocked == "" {
			p.Blocked = h.failure
		}
	}
	h.pending = p
}

// moved takes in how an attempt ended.
func (l *loop) moved(id estate.ServiceID, j job, out attempted) {
	if out.rec != nil {
		l.mirror.apply(*out.rec)
	}
	h, ok := l.hard[id]
	if !ok {
		return
	}
	h.running, h.failure = false, ""
	now := time.Now()
	switch {
	case out.err == nil && j.drop:
		h.next = time.Time{}
	case out.err == nil:
		h.again.Reset()
		h.wanted, h.next = nil, time.Time{}
	case out.step == stepLease && errs.Is(out.err, errs.Conflict):
		h.failure, h.next = "another controller holds the lease", now.Add(time.Second)
	default:
		h.failure, h.next = out.err.Error(), now.Add(h.again.Next())
		if out.step == stepIntent || out.step == stepLease {
			l.c.log.Warn("hard move could not begin", "service", id, "step", out.step, "error", out.err)
		}
	}
}

func (l *loop) frozen(id estate.ServiceID, now time.Time) bool {
	o, ok := l.mirror.overrides[Override{Kind: KindFreeze, Service: id}.key()]
	return ok && o.live(now)
}

// review forgets a failback by hand that was reached or is no longer
// possible: one that came true hours later would surprise.
func (l *loop) review(h *hard, s *estate.Service, rec record) {
	if h.wanted == nil || rec.Pending != nil {
		return
	}
	to := h.wanted.to
	v := l.verdicts[estate.Target{Service: s.ID, Site: to}]
	o, ok := originOf(serviceOf(l.last, s.ID), to)
	if to != rec.Active && ok && v.State == health.Up && o.State == route.Up {
		return
	}
	if to != rec.Active {
		l.c.note(journal.KindOperator, journal.Warn, s.ID, to, h.wanted.actor,
			fmt.Sprintf("the failback of %s to %s is given up: it is %s", s.ID, to, v.State), v)
	}
	h.wanted = nil
}
