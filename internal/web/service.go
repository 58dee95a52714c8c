package web

import (
	"context"
	"net/http"
	"slices"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/web/session"
)

// servicePage is one service.
type servicePage struct {
	row
	Sites     map[string]apiv1.Site
	Rates     chart
	Latency   chart
	Minutes   []minute
	Open      []apiv1.Incident // that touch it
	Journal   []journal.Entry
	CanMove   bool // it is not where it is preferred to be
	Drained   map[string]bool
	Preferred string
}

func (c *Console) service(r *http.Request, _ *session.Session) (view, error) {
	st, s, err := c.one(r.Context(), r.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	c.history.Look(s.ID)
	sites := make([]apiv1.Site, len(s.Origins))
	p := servicePage{Sites: map[string]apiv1.Site{}, Drained: map[string]bool{}}
	for i, o := range s.Origins {
		sites[i].ID = o.Site
	}
	for _, site := range st.Sites {
		p.Sites[site.ID] = site
	}
	for _, o := range s.Overrides {
		if o.Kind == apiv1.OverrideDrain {
			p.Drained[o.Site] = true
		}
	}
	p.row = c.row(s, sites)
	if len(s.Origins) > 0 {
		p.Preferred = s.Origins[0].Site
		p.CanMove = s.Policy == "primary" && s.Active != "" && s.Active != p.Preferred
	}
	points := c.history.Points(s.ID)
	p.Rates, p.Latency, p.Minutes = rateChart(points, st.At), latencyChart(points, st.At), minutes(points)
	open, err := c.incidentsOpen(r.Context())
	if err != nil {
		return view{}, err
	}
	for _, in := range open {
		if slices.Contains(in.Services, s.ID) {
			p.Open = append(p.Open, in)
		}
	}
	p.Journal, _, err = c.Backend.Entries(r.Context(), journal.Query{Service: estate.ServiceID(s.ID), Limit: overviewEntries})
	return view{template: "service", title: s.ID, nav: "services", live: true, body: p}, err
}

// one gives a service by its name.
func (c *Console) one(ctx context.Context, id string) (apiv1.Status, apiv1.Service, error) {
	st, err := c.status(ctx)
	if err != nil {
		return st, apiv1.Service{}, err
	}
	i := slices.IndexFunc(st.Services, func(s apiv1.Service) bool { return s.ID == id })
	if i < 0 {
		return st, apiv1.Service{}, errs.E(errs.NotFound, "service %q is not in the estate", id)
	}
	return st, st.Services[i], nil
}
