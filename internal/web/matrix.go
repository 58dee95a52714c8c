package web

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
)

// perPage is how many services, incidents or entries a page shows.
const perPage = 50

// selection is the part of the services, or of the buckets, that a page shows.
type selection struct {
	Path   string // of the page, for links
	Noun   string // "service" or "bucket"
	Text   string // only those whose name or host holds it
	Show   string // "", or "unwell"
	Page   int    // from 1
	Pages  int
	Total  int // in the estate
	Unwell int // of them
	Found  int // by text and show
}

// choice is one kind of thing that can be selected from.
type choice[T any] struct {
	noun    string
	unwell  func(*T) bool
	matches func(v *T, text string) bool // text is in lower case
}

var ofServices = choice[apiv1.Service]{"service", unwell, matches}

// choose reads a selection from a page's query, and gives what it shows.
func choose[T any](r *http.Request, all []T, of choice[T]) (selection, []T, error) {
	q := r.URL.Query()
	sel := selection{Path: r.URL.Path, Noun: of.noun, Text: strings.TrimSpace(q.Get("q")), Show: q.Get("show"), Total: len(all), Page: 1}
	if sel.Show != "" && sel.Show != "unwell" {
		return sel, nil, errs.E(errs.Invalid, "show=%q is not known", sel.Show)
	}
	if p := q.Get("page"); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 {
			return sel, nil, errs.E(errs.Invalid, "page=%q is not a page", p)
		}
		sel.Page = n
	}
	var found []int // services are large: they are copied when they are shown
	text := strings.ToLower(sel.Text)
	for i := range all {
		sick := of.unwell(&all[i])
		if sick {
			sel.Unwell++
		}
		if (sick || sel.Show == "") && of.matches(&all[i], text) {
			found = append(found, i)
		}
	}
	sel.Found = len(found)
	sel.Pages = max(1, (len(found)+perPage-1)/perPage)
	sel.Page = min(sel.Page, sel.Pages)
	var rows []T
	for _, i := range found[(sel.Page-1)*perPage : min(sel.Page*perPage, len(found))] {
		rows = append(rows, all[i])
	}
	return sel, rows, nil
}

// unwell reports whether a person may want to see the service.
func unwell(s *apiv1.Service) bool {
	return s.State != apiv1.ServiceUp || len(s.Overrides) > 0 || s.Pending != nil
}

func matches(s *apiv1.Service, text string) bool {
	return text == "" || strings.Contains(strings.ToLower(s.ID), text) ||
		slices.ContainsFunc(s.Hosts, func(h string) bool { return strings.Contains(h, text) })
}

// Link gives the address of another page of the same selection.
func (s selection) Link(page int) string { return s.link(s.Show, page) }

// Showing gives the address of the selection by another state.
func (s selection) Showing(show string) string { return s.link(show, 1) }

// Previous and Next are the pages beside this one, 0 = none.
func (s selection) Previous() int { return s.Page - 1 }

func (s selection) Next() int {
	if s.Page >= s.Pages {
		return 0
	}
	return s.Page + 1
}

func (s selection) link(show string, page int) string {
	q := url.Values{}
	if s.Text != "" {
		q.Set("q", s.Text)
	}
	if show != "" {
		q.Set("show", show)
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if len(q) == 0 {
		return s.Path
	}
	return s.Path + "?" + q.Encode()
}

// matrix is the map of sites and services.
type matrix struct {
	Groups []group // of columns
	Sites  []apiv1.Site
	Rows   []row
}

// group is the sites of one provider, which stand side by side.
type group struct {
	Provider string
	Span     int
}

// row is one service.
type row struct {
	apiv1.Service
	Known  bool // rates are
	Rate   float64
	Failed float64
	Frozen bool
	Cells  []cell // one for each of the matrix's sites
}

// cell is a service at a site.
type cell struct {
	*apiv1.Origin         // nil: it is not there
	Site          string  // of the column
	Active        bool    // the service's active site
	Known         bool    // rates are
	Rate          float64 // attempts a second
	Share         float64 // of the service's attempts
}

// matrix lays out services. Columns are the sites at which they are.
func (c *Console) matrix(st apiv1.Status, services []apiv1.Service) matrix {
	m := matrix{}
	var used []string
	for _, s := range services {
		for _, o := range s.Origins {
			used = append(used, o.Site)
		}
	}
	m.Sites, m.Groups = columns(st.Sites, used)
	ids := make([]string, 0, len(services))
	for _, s := range services {
		ids = append(ids, s.ID)
		m.Rows = append(m.Rows, c.row(s, m.Sites))
	}
	if len(st.Services) > len(services) {
		c.history.Look(ids...)
	}
	return m
}

// columns gives the sites that are named, each once, those of one provider
// together, in the file's order otherwise.
func columns(declared []apiv1.Site, names []string) ([]apiv1.Site, []group) {
	used := map[string]bool{}
	for _, id := range names {
		used[id] = true
	}
	by := map[string][]apiv1.Site{}
	var providers []string
	put := func(s apiv1.Site) {
		if !used[s.ID] {
			return
		}
		delete(used, s.ID)
		if by[s.Provider] == nil {
			providers = append(providers, s.Provider)
		}
		by[s.Provider] = append(by[s.Provider], s)
	}
	for _, s := range declared {
		put(s)
	}
	for _, id := range names { // a site that the status does not declare is shown all the same
		put(apiv1.Site{ID: id})
	}
	var sites []apiv1.Site
	var groups []group
	for _, p := range providers {
		sites = append(sites, by[p]...)
		groups = append(groups, group{Provider: p, Span: len(by[p])})
	}
	return sites, groups
}

func (c *Console) row(s apiv1.Service, sites []apiv1.Site) row {
	p, ok := c.history.Rate(s.ID)
	out := row{Service: s, Known: ok, Rate: p.Rate, Failed: p.Failed, Cells: make([]cell, len(sites))}
	out.Frozen = slices.ContainsFunc(s.Overrides, func(o apiv1.Override) bool { return o.Kind == apiv1.OverrideFreeze })
	attempts := 0.0
	for _, o := range p.Origins {
		attempts += o.Rate
	}
	for i, site := range sites {
		cl := cell{Site: site.ID}
		if k := slices.IndexFunc(s.Origins, func(o apiv1.Origin) bool { return o.Site == site.ID }); k >= 0 {
			cl.Origin, cl.Active = &s.Origins[k], s.Active == site.ID
			if ok && k < len(p.Origins) {
				cl.Known, cl.Rate = true, p.Origins[k].Rate
			}
			if attempts > 0 && cl.Known {
				cl.Share = cl.Rate / attempts
			}
		}
		out.Cells[i] = cl
	}
	return out
}
