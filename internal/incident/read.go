package incident

import (
	"cmp"
	"context"
	"slices"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/journal"
)

const timelineMax = 10000 // entries

// List gives the incidents that the filter selects, newest first, as they are
// in the store: open ones at most a second old. It may be called from any
// goroutine, with or without Run.
func (d *Desk) List(ctx context.Context, f Filter) ([]Incident, error) {
	var list []Incident
	for _, prefix := range []string{openPrefix, closedPrefix} {
		kvs, err := d.opt.Store.List(ctx, prefix)
		if err != nil {
			return nil, errs.Wrap(errs.KindOf(err), err, "list incidents")
		}
		for _, kv := range kvs {
			r := d.decode(kv)
			if r != nil && f.selects(&r.Incident) && !slices.ContainsFunc(list, func(i Incident) bool { return i.ID == r.Incident.ID }) {
				list = append(list, r.Incident)
			}
		}
	}
	slices.SortFunc(list, func(a, b Incident) int { return cmp.Compare(b.ID, a.ID) })
	return list[:min(len(list), min(orDefault(f.Limit, 100), 1000))], nil
}

func (f Filter) selects(i *Incident) bool {
	return (len(f.States) == 0 || slices.Contains(f.States, i.State)) &&
		(f.Service == "" || slices.Contains(i.Services, f.Service)) &&
		(f.Site == "" || i.Site == f.Site) &&
		(f.Before == "" || i.ID < f.Before)
}

// Get gives the incident with the ID, or an error of kind NotFound.
func (d *Desk) Get(ctx context.Context, id string) (Incident, error) {
	for _, prefix := range []string{openPrefix, closedPrefix} {
		kv, err := d.opt.Store.Get(ctx, prefix+id)
		if errs.Is(err, errs.NotFound) {
			continue
		}
		if err != nil {
			return Incident{}, errs.Wrap(errs.KindOf(err), err, "read incident %s", id)
		}
		if r := d.decode(kv); r != nil {
			return r.Incident, nil
		}
		return Incident{}, errs.E(errs.Internal, "incident %s in the store cannot be read", id)
	}
	return Incident{}, errs.E(errs.NotFound, "there is no incident %q", id)
}

// Timeline gives what the journal says of the incident, of its site and of its
// services from half a minute before it opened until it closed, by when it
// happened. Entries of other incidents are left out. Beyond 10,000 entries the
// latest are left out.
func (d *Desk) Timeline(ctx context.Context, id string) ([]journal.Entry, error) {
	in, err := d.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	window := journal.Query{From: in.Opened.Add(-lookBack), To: in.Closed}
	queries := []journal.Query{{Incident: id}}
	if in.Site != "" {
		q := window
		q.Site = in.Site
		queries = append(queries, q)
	}
	for _, svc := range in.Services {
		q := window
		q.Service = svc
		queries = append(queries, q)
	}
	seen := map[int64]bool{}
	var lines []journal.Entry
	for _, q := range queries {
		entries, err := d.all(ctx, q)
		if err != nil {
			return nil, errs.Wrap(errs.KindOf(err), err, "read the timeline of incident %s", id)
		}
		for _, e := range entries {
			if !seen[e.ID] && (e.Incident == "" || e.Incident == id) {
				seen[e.ID] = true
				lines = append(lines, e)
			}
		}
	}
	slices.SortFunc(lines, func(a, b journal.Entry) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	for i := range lines {
		lines[i].At = lines[i].At.UTC()
	}
	return lines, nil
}

// all gives every page of the query, up to a bound.
func (d *Desk) all(ctx context.Context, q journal.Query) ([]journal.Entry, error) {
	q.Oldest, q.Limit = true, pageSize
	var all []journal.Entry
	for {
		page, err := d.opt.Journal.Query(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Entries...)
		if !page.More || len(all) >= timelineMax {
			return all, nil
		}
		q.After = page.Next
	}
}
