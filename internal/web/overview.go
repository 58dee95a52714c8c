package web

import (
	"net/http"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/web/session"
)

// overviewPage is the whole picture on one page.
type overviewPage struct {
	apiv1.Status
	Selection selection
	Map       matrix
	Buckets   bucketMap
	ByState   map[string]int // buckets
	Open      []apiv1.Incident
	Journal   []journal.Entry
	Counts    map[string]int // of services by state
	Known     bool           // rates are
	Rate      float64        // requests a second of the services shown
	Failed    float64
}

const overviewEntries = 12

func (c *Console) overview(r *http.Request, _ *session.Session) (view, error) {
	st, err := c.status(r.Context())
	if err != nil {
		return view{}, err
	}
	p := overviewPage{Status: st, Counts: map[string]int{}, ByState: map[string]int{}}
	for i := range st.Services {
		p.Counts[st.Services[i].State]++
	}
	for i := range st.Buckets {
		p.ByState[st.Buckets[i].State]++
	}
	var rows []apiv1.Service
	if p.Selection, rows, err = choose(r, st.Services, ofServices); err != nil {
		return view{}, err
	}
	p.Map = c.matrix(st, rows)
	p.Buckets = bucketsOf(st.Sites, st.Buckets[:min(perPage, len(st.Buckets))])
	for _, row := range p.Map.Rows {
		p.Known = p.Known || row.Known
		p.Rate += row.Rate
		p.Failed += row.Failed
	}
	if p.Open, err = c.incidentsOpen(r.Context()); err != nil {
		return view{}, err
	}
	p.Journal, _, err = c.Backend.Entries(r.Context(), journal.Query{Limit: overviewEntries})
	return view{template: "overview", title: "Overview", nav: "overview", live: true, body: p}, err
}

// servicesPage lists services, one a line.
type servicesPage struct {
	Selection selection
	Rows      []row
}

func (c *Console) services(r *http.Request, _ *session.Session) (view, error) {
	st, err := c.status(r.Context())
	if err != nil {
		return view{}, err
	}
	sel, rows, err := choose(r, st.Services, ofServices)
	if err != nil {
		return view{}, err
	}
	return view{template: "services", title: "Services", nav: "services", live: true,
		body: servicesPage{Selection: sel, Rows: c.matrix(st, rows).Rows}}, nil
}
