package incident

import (
	"context"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/journal"
)

const (
	evidenceMax = 500
	pageSize    = 1000 // entries asked of the journal at once
	linkTimeout = time.Second
)

// evidenceKinds are the entries that bear on an incident.
var evidenceKinds = []journal.Kind{
	journal.KindVerdict, journal.KindEject, journal.KindReadmit, journal.KindSwitch,
	journal.KindOperator, journal.KindOverride, journal.KindFence,
}

// link finds the journal's entries about what the incidents hold, those from
// just before an incident opened included. Nobody has to pass IDs around: an
// entry that is written after its incident opened is found the next time.
func (d *Desk) link(ctx context.Context) {
	if len(d.book.records) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, linkTimeout) // a slow journal must not hold up the rest
	defer cancel()
	newest, err := d.opt.Journal.Query(ctx, journal.Query{Limit: 1})
	for _, r := range d.book.records {
		for more := true; more && err == nil; {
			more, err = d.linkPage(ctx, r, newest.Next)
		}
	}
	if err != nil {
		d.opt.Log.Warn("cannot look for evidence in the journal, trying again", "err", err)
	}
}

// linkPage links a page of entries. After the last one, everything up to
// newest was looked at.
func (d *Desk) linkPage(ctx context.Context, r *record, newest int64) (bool, error) {
	if r.Linked >= newest {
		return false, nil
	}
	page, err := d.opt.Journal.Query(ctx, journal.Query{
		After: r.Linked, From: r.Incident.Opened.Add(-lookBack), To: r.Incident.Closed,
		Kinds: evidenceKinds, Oldest: true, Limit: pageSize,
	})
	if err != nil {
		return false, err
	}
	for _, e := range page.Entries {
		r.Linked = max(r.Linked, e.ID)
		r.linkEntry(e)
	}
	if !page.More {
		r.Linked = max(r.Linked, newest)
	}
	if r.dirty {
		d.book.rank(r)
	}
	return page.More, nil
}

func (r *record) linkEntry(e journal.Entry) {
	in := &r.Incident
	if !r.concerns(e) || slices.Contains(in.Evidence, e.ID) || len(in.Evidence) >= evidenceMax {
		return
	}
	in.Evidence = append(in.Evidence, e.ID)
	slices.Sort(in.Evidence)
	r.dirty = true
	bad := e.Kind == journal.KindEject || e.Kind == journal.KindVerdict && e.Level != journal.Info
	for i := range r.Tally {
		t := &r.Tally[i]
		if bad && t.Target.Service == e.Service && t.Target.Site == e.Site {
			t.Entries = append(t.Entries, e.ID)
		}
	}
}

// concerns reports whether the entry is about an origin that the incident
// holds, about one of its services as a whole, or about its site as a whole.
func (r *record) concerns(e journal.Entry) bool {
	if slices.ContainsFunc(r.Held, func(h held) bool { return h.Target.Service == e.Service && h.Target.Site == e.Site }) {
		return true
	}
	if e.Kind == journal.KindSwitch || e.Site == "" {
		return r.hasService(e.Service)
	}
	return e.Service == "" && e.Site == r.Incident.Site
}
