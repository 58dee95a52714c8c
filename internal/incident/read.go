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
	prefixes := []string{openPrefix, closedPrefix}
	if len(f.States) > 0 && !slices.Contains(f.States, Closed) {
		prefixes = prefixes[:1] // the closed ones are many
	}
	for _, prefix := range prefixes {
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
	r, err := d.find(ctx, id)
	if err != nil {
		return Incident{}, err
	}
	return r.Incident, nil
}

func (d *Desk) find(ctx context.Context, id string) (*record, error) {
	for _, prefix := range []string{openPrefix, closedPrefix} {
		kv, err := d.opt.Store.Get(ctx, prefix+id)
		if errs.Is(err, errs.NotFound) {
			continue
		}
		if err != nil {
			return nil, errs.Wrap(errs.KindOf(err), err, "read incident %s", id)
		}
		if r := d.decode(kv); r != nil {
			return r, nil
		}
		return nil, errs.E(errs.Internal, "incident %s in the store cannot be read", id)
	}
	return nil, errs.E(errs.NotFound, "there is no incident %q", id)
}

// Timeline gives what the journal says of the incident, of its site and of its
// services from half a minute before it opened until it closed, by when it
// happened. Entries of other incidents are left out. Beyond 10,000 entries the
// latest are left out. Traffic counts are not part of it: see Samples.
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
			if !seen[e.ID] && e.Kind != journal.KindTelemetry && (e.Incident == "" || e.Incident == id) {
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

// Samples gives what happened to requests from half a minute before the
// incident opened until it closed, or until now, in order of time. Those of the
// last seconds have no journal entry yet.
func (d *Desk) Samples(ctx context.Context, id string) ([]Sample, error) {
	r, err := d.find(ctx, id)
	if err != nil {
		return nil, err
	}
	entries, err := d.all(ctx, journal.Query{Incident: id, Kinds: []journal.Kind{journal.KindTelemetry}})
	if err != nil {
		return nil, errs.Wrap(errs.KindOf(err), err, "read the traffic of incident %s", id)
	}
	for _, w := range r.Entries {
		if w.Entry.Kind == journal.KindTelemetry {
			entries = append(entries, w.Entry)
		}
	}
	all := samplesOf(entries)
	for _, s := range r.Series.Pending {
		if n := len(all); n == 0 || !s.From.Before(all[n-1].To) {
			all = append(all, s)
		}
	}
	return slices.CompactFunc(all, func(a, b Sample) bool { return a.From.Equal(b.From) }), nil
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
