package web

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/report"
	"github.com/sparecloud/spare/internal/web/session"
)

// incidentsPage lists incidents, newest first.
type incidentsPage struct {
	List  []apiv1.Incident
	State string // "", "open" or "closed"
	After string // id that the next page goes on from; "" = there is none
	Later bool   // this is not the first page
}

func (c *Console) incidents(r *http.Request, _ *session.Session) (view, error) {
	q := r.URL.Query()
	p := incidentsPage{State: q.Get("state"), Later: q.Get("before") != ""}
	if p.State != "" && p.State != apiv1.IncidentOpen && p.State != apiv1.IncidentClosed {
		return view{}, errs.E(errs.Invalid, "state=%q is neither open nor closed", p.State)
	}
	list, err := c.Backend.Incidents(r.Context(), apiv1.IncidentQuery{State: p.State, Before: q.Get("before"), Limit: perPage + 1})
	if len(list) > perPage {
		list = list[:perPage]
		p.After = list[perPage-1].ID
	}
	p.List = list
	return view{template: "incidents", title: "Incidents", nav: "incidents", live: !p.Later, body: p}, err
}

// incidentPage is one incident.
type incidentPage struct {
	apiv1.Incident
	Milestones []milestone
	Timeline   []journal.Entry
}

// milestone is one of the moments that an incident is measured by.
type milestone struct {
	Name, About string
	At          time.Time
}

func (c *Console) incident(r *http.Request, _ *session.Session) (view, error) {
	in, err := c.Backend.Incident(r.Context(), r.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	p := incidentPage{Incident: in, Milestones: milestones(in)}
	p.Timeline, err = c.Backend.Timeline(r.Context(), in.ID)
	return view{template: "incident", title: in.Title, nav: "incidents", live: in.State != apiv1.IncidentClosed, body: p}, err
}

// report shows an incident's report, which is a page of its own that can be
// saved and sent, under its own policy.
func (c *Console) report(w http.ResponseWriter, r *http.Request) {
	s := c.who(r)
	if !c.permitted(readers, s) {
		http.Redirect(w, r, loginFor(r), http.StatusSeeOther)
		return
	}
	c.seen()
	doc, err := api.Report(r.Context(), c.Backend, r.PathValue("id"))
	if err != nil {
		c.fail(w, r, s, err)
		return
	}
	w.Header().Set("Content-Security-Policy", report.CSP())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	back := url.URL{Path: "/incidents/" + doc.Incident.ID}
	_, _ = w.Write(report.HTML(doc, report.Links{Journal: "/journal", Back: back.String()})) // the client is gone, and nobody else wants to know
}

// milestones gives those that were reached, in order of time: the data path
// often ejects before the checks agree.
func milestones(in apiv1.Incident) []milestone {
	list := []milestone{
		{"Opened", "first evidence", in.Opened},
		{"Ejected", "a data process took an origin out", in.Times.Ejected},
		{"Detected", "held to be wrong", in.Times.Detected},
		{"Switched", "a service moved", in.Times.Switched},
		{"Recovered", "all well again", in.Times.Recovered},
		{"Closed", "and it stayed so", in.Closed},
	}
	list = slices.DeleteFunc(list, func(m milestone) bool { return m.At.IsZero() })
	slices.SortStableFunc(list, func(a, b milestone) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	return list
}
