package app

import (
	"context"
	"fmt"
	"time"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/failover"
	"github.com/sparecloud/spare/internal/incident"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/route"
)

// backend is the control process as the API sees it.
type backend struct{ c *control }

func (b backend) Status(ctx context.Context) (apiv1.Status, error) { return b.c.status(ctx) }

func (b backend) Incidents(ctx context.Context, q apiv1.IncidentQuery) ([]apiv1.Incident, error) {
	f := incident.Filter{Before: q.Before, Limit: q.Limit}
	switch q.State {
	case apiv1.IncidentOpen:
		f.States = []incident.State{incident.Open, incident.Monitoring}
	case apiv1.IncidentClosed:
		f.States = []incident.State{incident.Closed}
	}
	found, err := b.c.desk.List(ctx, f)
	if err != nil {
		return nil, err
	}
	list := make([]apiv1.Incident, 0, len(found))
	for _, in := range found {
		list = append(list, incidentDoc(in))
	}
	return list, nil
}

func (b backend) Incident(ctx context.Context, id string) (apiv1.Incident, error) {
	in, err := b.c.desk.Get(ctx, id)
	if err != nil {
		return apiv1.Incident{}, err
	}
	return incidentDoc(in), nil
}

func (b backend) Timeline(ctx context.Context, id string) ([]journal.Entry, error) {
	return b.c.desk.Timeline(ctx, id)
}

func (b backend) Background(ctx context.Context, in apiv1.Incident) (api.Background, error) {
	return b.c.background(ctx, in)
}

func (b backend) Entries(ctx context.Context, q journal.Query) ([]journal.Entry, bool, error) {
	p, err := b.c.journal.Query(ctx, q)
	return p.Entries, p.More, err
}

func (b backend) Reload(ctx context.Context, actor string) (apiv1.Reload, error) {
	changed, err := b.c.reload(ctx, actor)
	if err != nil {
		return apiv1.Reload{}, err
	}
	return apiv1.Reload{Changed: changed, Estate: b.c.estate.Load().Digest, Epoch: b.c.failover.Status().Epoch}, nil
}

func (b backend) Ready(context.Context) error {
	epoch := b.c.failover.Status().Epoch
	if epoch == 0 {
		return errs.E(errs.Unavailable, "no table was published yet")
	}
	for _, p := range b.c.hub.Peers() {
		if p.Epoch >= epoch {
			return nil
		}
	}
	return errs.E(errs.Unavailable, "no data process serves table %d", epoch)
}

// Act does what an operator wants, or says what doing it would mean.
func (b backend) Act(ctx context.Context, a api.Action) (apiv1.Outcome, error) {
	out := apiv1.Outcome{Service: string(a.Service), Verb: a.Verb, DryRun: a.DryRun}
	o := failover.Override{Service: a.Service, Site: a.Site, Reason: a.Reason, Actor: a.Actor, Force: a.Force}
	if a.Verb.Expires() {
		o.Until = time.Now().UTC().Add(a.For)
		out.Until = o.Until
	}
	steps, err := b.c.foresee(a)
	if err != nil {
		return out, err
	}
	out.Steps = steps
	if !a.DryRun {
		err = b.carryOut(ctx, a, o)
	}
	out.Epoch = b.c.failover.Status().Epoch
	return out, err
}

func (b backend) carryOut(ctx context.Context, a api.Action, o failover.Override) error {
	f := b.c.failover
	switch a.Verb {
	case apiv1.Drain:
		return f.Drain(ctx, o)
	case apiv1.Undrain:
		return f.Undrain(ctx, o)
	case apiv1.Freeze:
		return f.Freeze(ctx, o)
	case apiv1.Unfreeze:
		return f.Unfreeze(ctx, o)
	case apiv1.Failback:
		return f.Failback(ctx, a.Service, a.Actor, a.Reason)
	}
	return errs.E(errs.Unsupported, "there is no action %q", a.Verb)
}

// foresee says what an action will do, step by step, or why it cannot be done.
func (c *control) foresee(a api.Action) ([]string, error) {
	s := serviceStatus(c.failover.Status(), a.Service)
	if s == nil {
		return nil, errs.E(errs.NotFound, "there is no service %q", a.Service)
	}
	var origin *failover.OriginStatus
	others := 0
	for i, o := range s.Origins {
		if o.Site == a.Site {
			origin = &s.Origins[i]
		} else if o.State != route.Drained && o.State != route.Down {
			others++
		}
	}
	if a.Verb.NeedsSite() && origin == nil {
		return nil, errs.E(errs.NotFound, "service %s has no origin at %q", a.Service, a.Site)
	}
	switch a.Verb {
	case apiv1.Drain:
		if others == 0 && !a.Force {
			return nil, errs.WithHint(errs.E(errs.Conflict, "no other origin of %s would serve", a.Service), "use force to drain it all the same")
		}
		return c.drainSteps(a, s, origin), nil
	case apiv1.Undrain:
		return []string{fmt.Sprintf("%s may serve again; if it is up it starts slowly", estate.Target{Service: a.Service, Site: a.Site})}, held(s, failover.KindDrain, a.Site)
	case apiv1.Freeze:
		return []string{fmt.Sprintf("routing of %s stays as it is for %s; verdicts move nothing", a.Service, a.For)}, nil
	case apiv1.Unfreeze:
		return []string{fmt.Sprintf("routing of %s follows verdicts again", a.Service)}, held(s, failover.KindFreeze, "")
	}
	first := s.Origins[0].Site
	if s.Active == first {
		return nil, errs.E(errs.Conflict, "%s is at %s already", a.Service, first)
	}
	if s.Writes == estate.WritesOneSite {
		return []string{fmt.Sprintf("the fence hook runs against %s, if one is declared", s.Active), fmt.Sprintf("unsafe requests of %s move from %s to %s", a.Service, s.Active, first)}, nil
	}
	return []string{fmt.Sprintf("%s moves from %s to %s", a.Service, s.Active, first)}, nil
}

func (c *control) drainSteps(a api.Action, s *failover.ServiceStatus, o *failover.OriginStatus) []string {
	t := estate.Target{Service: a.Service, Site: a.Site}
	if o.State == route.Drained {
		return []string{fmt.Sprintf("the drain of %s is renewed for %s", t, a.For)}
	}
	steps := []string{fmt.Sprintf("%s gets no new requests for %s; those under way are finished", t, a.For)}
	if s.Active == a.Site {
		if s.Writes == estate.WritesOneSite {
			return append(steps, "unsafe requests wait for the fence and move to another site")
		}
		steps = append(steps, "requests move to the next healthy site")
	}
	return steps
}

// held says NotFound when no such override is in force.
func held(s *failover.ServiceStatus, kind failover.OverrideKind, site estate.SiteID) error {
	for _, o := range s.Overrides {
		if o.Kind == kind && o.Site == site {
			return nil
		}
	}
	return errs.E(errs.NotFound, "there is no %s of %s to end", kind, s.ID)
}

func serviceStatus(st failover.Status, id estate.ServiceID) *failover.ServiceStatus {
	for i := range st.Services {
		if st.Services[i].ID == id {
			return &st.Services[i]
		}
	}
	return nil
}
