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
	"github.com/sparecloud/spare/internal/state"
)

// Drain sends nothing new to one origin until o.Until; Service, Site and Actor
// are required. Repeating it renews it. It returns when the table that says
// so is published. The writes of a one_site service follow by the hard path.
//
// Conflict: no other origin would serve, and o.Force is not set. NotFound: no
// such service or origin. Invalid: a bad duration, or nobody's name.
// Unavailable: the store does not answer.
func (c *Controller) Drain(ctx context.Context, o Override) error {
	o.Kind = KindDrain
	return c.set(ctx, o)
}

// Undrain ends a drain now. NotFound: there is none.
func (c *Controller) Undrain(ctx context.Context, o Override) error {
	o.Kind = KindDrain
	return c.clear(ctx, o)
}

// Freeze keeps a service's routing as it is until o.Until: no verdict changes
// it and no writes move. Drains stay a person's to set and end. Repeating it
// renews it and keeps what was frozen first. Errors as [Controller.Drain].
func (c *Controller) Freeze(ctx context.Context, o Override) error {
	o.Kind, o.Site = KindFreeze, ""
	return c.set(ctx, o)
}

// Unfreeze ends a freeze now. NotFound: there is none.
func (c *Controller) Unfreeze(ctx context.Context, o Override) error {
	o.Kind, o.Site = KindFreeze, ""
	return c.clear(ctx, o)
}

// MaySet gives the error that [Controller.Drain] or [Controller.Freeze] of o
// would give, by o.Kind, and changes nothing.
func (c *Controller) MaySet(ctx context.Context, o Override) error {
	o, err := o.bounded(time.Now())
	if err != nil {
		return err
	}
	if askErr := c.ask(ctx, func(l *loop) { err = l.mayset(&o) }); askErr != nil {
		return askErr
	}
	return err
}

// set writes an override and waits for its table.
func (c *Controller) set(ctx context.Context, o Override) error {
	c.acting.Lock()
	defer c.acting.Unlock()
	o, err := o.bounded(time.Now())
	if err != nil {
		return err
	}
	verb, rev, refusal := "set", state.Absent, error(nil)
	if err := c.ask(ctx, func(l *loop) {
		if refusal = l.mayset(&o); refusal != nil {
			return
		}
		if old, ok := l.mirror.overrides[o.key()]; ok {
			rev = l.mirror.revs[o.key()]
			if old.live(o.Set) {
				verb, o.Set, o.Pinned = "renewed", old.Set, old.Pinned
			}
		}
	}); err != nil {
		return err
	}
	if refusal != nil {
		return refusal
	}
	kv, err := c.put(ctx, o.key(), encode(o), rev)
	if err != nil {
		return changed(err, "set the %s", o)
	}
	c.note(journal.KindOperator, journal.Warn, o.Service, o.Site, o.Actor,
		fmt.Sprintf("%s %s by %s until %s%s", o, verb, o.Actor, o.Until.Format(time.RFC3339), because(o.Reason)), o)
	return errs.MaybeApplied(c.ask(ctx, func(l *loop) { l.mirror.apply(kv) }))
}

// clear removes an override and waits for its table.
func (c *Controller) clear(ctx context.Context, o Override) error {
	c.acting.Lock()
	defer c.acting.Unlock()
	if o.Actor == "" {
		return errs.E(errs.Invalid, "the end of the %s needs the name of who wants it", o)
	}
	rev, there := state.Absent, false
	if err := c.ask(ctx, func(l *loop) {
		old, ok := l.mirror.overrides[o.key()]
		rev, there = l.mirror.revs[o.key()], ok && old.live(time.Now())
	}); err != nil {
		return err
	}
	if !there {
		return errs.E(errs.NotFound, "there is no %s", o)
	}
	now, err := c.remove(ctx, o.key(), rev)
	if err != nil {
		return changed(err, "end the %s", o)
	}
	c.note(journal.KindOperator, journal.Info, o.Service, o.Site, o.Actor,
		fmt.Sprintf("%s ended by %s%s", o, o.Actor, because(o.Reason)), o)
	return errs.MaybeApplied(c.ask(ctx, func(l *loop) {
		l.mirror.apply(state.KV{Key: o.key(), Revision: now, Deleted: true})
	}))
}

func changed(err error, format string, args ...any) error {
	if errs.Is(err, errs.Conflict) {
		err = errs.WithHint(err, "somebody changed it at the same time: look at the status and repeat")
	}
	return errs.Wrap(errs.KindOf(err), err, format, args...)
}

// mayset refuses an override that names nothing or would harm, and fills in
// what a freeze holds.
func (l *loop) mayset(o *Override) error {
	s, err := l.service(o.Service)
	switch {
	case err != nil:
		return err
	case o.Actor == "":
		return errs.E(errs.Invalid, "the %s needs the name of who wants it", o)
	case o.Kind == KindFreeze:
		o.Pinned, err = l.pin(s, o.Set)
		return err
	}
	if _, ok := s.Origin(o.Site); !ok {
		return errs.E(errs.NotFound, "service %q has no origin at %q", s.ID, o.Site)
	}
	if o.Force {
		return nil
	}
	cur := serviceOf(l.last, s.ID)
	if s.Writes == estate.WritesOneSite && cur != nil && cur.Active == o.Site && l.frozen(s.ID, o.Set) {
		return errs.WithHint(errs.E(errs.Conflict, "%s takes the writes of %s, and a freeze keeps them there", o.Site, s.ID),
			"unfreeze the service first")
	}
	for _, other := range s.Origins {
		r, ok := originOf(cur, other.Site)
		if other.Site != o.Site && ok && r.State != route.Drained && r.State != route.Down {
			return nil
		}
	}
	return errs.WithHint(errs.E(errs.Conflict, "no other origin of %s serves", s.ID), "force it if that is what you want")
}

// pin gives what verdicts decided about the service, drains apart.
func (l *loop) pin(s *estate.Service, now time.Time) (*route.Service, error) {
	cur := serviceOf(l.last, s.ID)
	if cur == nil {
		return nil, errs.E(errs.Unavailable, "service %q has no routing yet", s.ID)
	}
	in := l.inputs(now)
	in.Overrides = nil
	pinned := serviceOf(Decide(l.estate, in), s.ID)
	if pinned == nil {
		return nil, errs.E(errs.Unavailable, "service %q has no routing yet", s.ID)
	}
	pinned.Active = cur.Active
	return pinned, nil
}

func (l *loop) service(id estate.ServiceID) (*estate.Service, error) {
	if l.estate == nil {
		return nil, errs.E(errs.Unavailable, "no estate is loaded")
	}
	s, ok := l.estate.Service(id)
	if !ok {
		return nil, errs.E(errs.NotFound, "service %q is not in the estate", id)
	}
	return s, nil
}

// Failback moves a service back to its first origin. Where writes may go
// anywhere it has happened when Failback returns; the writes of a one_site
// service go the hard path, which [Controller.Status] shows, and a failback
// whose destination stops being up meanwhile is given up.
//
// Conflict: the service is there already, or frozen, or its first origin does
// not serve. Unsupported: the service has no active site.
func (c *Controller) Failback(ctx context.Context, id estate.ServiceID, actor, reason string) error {
	if actor == "" {
		return errs.E(errs.Invalid, "a failback of %q needs the name of who wants it", id)
	}
	c.acting.Lock()
	defer c.acting.Unlock()
	var refusal error
	err := c.ask(ctx, func(l *loop) { refusal = l.wantBack(id, actor, reason) })
	if err != nil {
		return err
	}
	return refusal
}

func (l *loop) wantBack(id estate.ServiceID, actor, reason string) error {
	s, err := l.service(id)
	if err != nil {
		return err
	}
	first := s.Origins[0].Site
	cur := serviceOf(l.last, id)
	oneSite := s.Writes == estate.WritesOneSite
	switch {
	case !oneSite && s.Policy != estate.Primary:
		return errs.E(errs.Unsupported, "service %q has no active site to fail back to", id)
	case cur == nil:
		return errs.E(errs.Unavailable, "service %q has no routing yet", id)
	case cur.Active == first:
		return errs.E(errs.Conflict, "service %q is at %s already", id, first)
	case l.frozen(id, time.Now()):
		return errs.WithHint(errs.E(errs.Conflict, "service %q is frozen", id), "unfreeze it first")
	}
	o, _ := originOf(cur, first)
	v := l.verdicts[estate.Target{Service: id, Site: first}]
	back := request{to: first, reason: "failback by hand" + because(reason), actor: actor}
	if !oneSite {
		if o.State == route.Down || o.State == route.Drained {
			return errs.E(errs.Conflict, "service %q cannot go back to %s: it is %s", id, first, o.State)
		}
		back.reason = reason
		l.failback[id] = back
	} else {
		h, ok := l.hard[id]
		if err := l.storeReady(); err != nil || !ok {
			return errs.E(errs.Unavailable, "the writes of %q cannot move: the state store does not answer", id)
		}
		if v.State != health.Up || o.State != route.Up {
			return errs.E(errs.Conflict, "the writes of %q cannot go back to %s: it is %s by its checks and %s in the table", id, first, v.State, o.State)
		}
		h.wanted = &back
	}
	l.c.note(journal.KindOperator, journal.Warn, id, first, actor,
		fmt.Sprintf("failback of %s to %s asked for by %s%s", id, first, actor, because(reason)),
		map[string]string{"to": string(first), "reason": reason})
	return nil
}
