package failover

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/run"
	"github.com/sparecloud/spare/internal/state"
)

const seedAgain = time.Second // between two tries to commit a first decision

// seed commits the first decision of a one_site service: the site that takes
// its writes already, or the first that is not drained. Without it an edit of
// the file's order would move the writes. It also removes the decision of a
// service whose writes may go anywhere now; that of a service which left the
// file stays, because another node's file may still have it.
func (l *loop) seed(ctx context.Context, now time.Time) {
	if l.storeReady() != nil {
		return
	}
	for i := range l.estate.Services {
		s := &l.estate.Services[i]
		rec, decided := l.mirror.decisions[s.ID]
		oneSite := s.Writes == estate.WritesOneSite
		if oneSite == decided || now.Sub(l.seeded[s.ID]) < seedAgain {
			continue
		}
		l.seeded[s.ID] = now
		if !oneSite {
			l.moves.Go(func() { l.c.unseed(ctx, s.ID, rec.rev) })
			continue
		}
		l.seeding++
		d := Decision{Service: s.ID, Active: l.firstSite(s, now), At: utc(now), Reason: "first decision", Actor: "spare"}
		l.moves.Go(func() { l.c.seed(ctx, d) })
	}
}

func (l *loop) firstSite(s *estate.Service, now time.Time) estate.SiteID {
	if last := serviceOf(l.last, s.ID); last != nil && last.Active != "" {
		return last.Active
	}
	in := l.inputs(now)
	drained := in.drained(s)
	i := slices.IndexFunc(s.Origins, func(o estate.Origin) bool { return !drained[o.Site] })
	return s.Origins[max(i, 0)].Site
}

func (c *Controller) seed(ctx context.Context, d Decision) {
	kv, err := c.put(ctx, decisionKey(d.Service), encode(d), state.Absent)
	if err == nil {
		c.note(kindDecision, journal.Info, d.Service, d.Active, d.Actor,
			fmt.Sprintf("writes of %s go to %s", d.Service, d.Active), d)
	} else {
		// Most likely another controller was first: its word counts.
		get, cancel := context.WithTimeout(ctx, storeTimeout)
		kv, err = c.opt.Store.Get(get, decisionKey(d.Service))
		cancel()
	}
	c.post(ctx, func(l *loop) {
		l.seeding--
		if err == nil {
			l.mirror.apply(kv)
			return
		}
		l.c.log.Warn("first decision could not be committed", "service", d.Service, "error", err)
	})
}

func (c *Controller) unseed(ctx context.Context, id estate.ServiceID, rev state.Revision) {
	key := decisionKey(id)
	now, err := c.remove(ctx, key, rev)
	if err != nil {
		c.log.Warn("old decision could not be removed", "service", id, "error", err)
		return
	}
	c.post(ctx, func(l *loop) { l.mirror.apply(state.KV{Key: key, Revision: now, Deleted: true}) })
}

// expire ends the overrides whose time is over. They have no effect any more;
// this puts their end on record and removes them from the store.
func (l *loop) expire(ctx context.Context, now time.Time) {
	for key, o := range l.mirror.overrides {
		rev := l.mirror.revs[key]
		if o.live(now) || l.ended[key] == rev {
			continue
		}
		l.ended[key] = rev
		site := o.Site
		l.c.rec.add(journal.Entry{
			At: utc(now), Kind: journal.KindOverride, Level: journal.Info, Certainty: journal.Observed,
			Service: o.Service, Site: site, Actor: "spare", Data: encode(o),
			Message: fmt.Sprintf("the %s that %s set ended by itself", o, o.Actor),
			Dedup:   fmt.Sprintf("override-ended/%s/%d", key, rev),
		})
		l.moves.Go(func() { l.c.sweep(ctx, key, rev) })
	}
}

// sweep removes an ended override unless somebody renewed it.
func (c *Controller) sweep(ctx context.Context, key string, rev state.Revision) {
	again := run.Backoff{Min: retryMin, Max: retryMax, Jitter: 0.2}
	for ctx.Err() == nil {
		now, err := c.remove(ctx, key, rev)
		if err == nil {
			c.post(ctx, func(l *loop) {
				l.mirror.apply(state.KV{Key: key, Revision: now, Deleted: true})
				delete(l.ended, key)
			})
			return
		}
		if errs.Is(err, errs.Conflict) {
			return
		}
		_ = run.Sleep(ctx, again.Next()) // its end ends the loop
	}
}
