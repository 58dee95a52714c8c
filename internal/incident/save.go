package incident

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/notify"
	"github.com/sparecloud/spare/internal/state"
)

// The keys. An incident stays under open until all that is to be said about it
// has been handed on; then it is filed under closed.
const (
	openPrefix   = "incident/open/"
	closedPrefix = "incident/closed/"
	sourcePrefix = "incident/source/"
)

// restore reads the books from the store. Incidents that it cannot read it
// leaves alone.
func (d *Desk) restore(ctx context.Context) bool {
	if time.Now().Before(d.retry) {
		return false
	}
	b, err := d.read(ctx, time.Now())
	if err != nil {
		if ctx.Err() == nil {
			d.opt.Log.Warn("cannot read the incidents, trying again", "err", err)
		}
		d.retry = time.Now().Add(retryEvery)
		return false
	}
	d.book = b
	return true
}

func (d *Desk) read(ctx context.Context, now time.Time) (*book, error) {
	b := newBook(d.opt)
	open, err := d.opt.Store.List(ctx, openPrefix)
	if err != nil {
		return nil, err
	}
	closed, err := d.opt.Store.List(ctx, closedPrefix)
	if err != nil {
		return nil, err
	}
	sources, err := d.opt.Store.List(ctx, sourcePrefix)
	if err != nil {
		return nil, err
	}
	for _, kv := range open {
		if r := d.decode(kv); r != nil {
			b.restored(r)
		} else {
			b.filed[strings.TrimPrefix(kv.Key, openPrefix)] = true // its ID is taken
		}
	}
	for _, kv := range closed {
		b.filed[strings.TrimPrefix(kv.Key, closedPrefix)] = true
		if r := d.decode(kv); r != nil && now.Sub(r.Incident.Closed) < keepRecent {
			b.recent = append(b.recent, r)
		}
	}
	for _, kv := range sources {
		s := &source{rev: kv.Revision, seen: now}
		if err := json.Unmarshal(kv.Value, s); err != nil {
			d.opt.Log.Error("the counters of a data process cannot be read, counting from zero", "key", kv.Key, "err", err)
			s.Last = now
		}
		if s.Counts == nil {
			s.Counts = map[estate.ServiceID]counted{}
		}
		b.sources[strings.TrimPrefix(kv.Key, sourcePrefix)] = s
	}
	return b, nil
}

func (d *Desk) decode(kv state.KV) *record {
	r := &record{rev: kv.Revision}
	if err := json.Unmarshal(kv.Value, r); err != nil || r.Incident.ID == "" {
		d.opt.Log.Error("an incident cannot be read", "key", kv.Key, "err", err)
		return nil
	}
	return r
}

// restored takes a stored incident into the book, with the levels that it was
// stored with.
func (b *book) restored(r *record) {
	r.said = r.summary()
	b.records[r.Incident.ID] = r
	for _, h := range r.Held {
		if r.Incident.State != Closed && b.declared(h.Target) {
			b.levels[h.Target] = &level{Down: h.Level.Down, Ejected: h.Level.Ejected, Since: h.Level.Since}
		}
	}
	if r.Trouble == nil {
		r.Trouble = map[estate.ServiceID]time.Time{}
	}
	if r.From == nil {
		r.From = map[estate.ServiceID]time.Time{}
	}
	b.urgent = b.urgent || len(r.Entries) > 0 || len(r.Notices) > 0
}

// save stores everything that changed in one transaction, so that an
// incident's impact and the counters that it was taken from never part. It
// reports whether the store is now as the book is.
func (d *Desk) save(ctx context.Context, now time.Time) bool {
	c := d.changes()
	if len(c.ops) == 0 {
		d.saved, d.book.urgent = now, false
		return true
	}
	rev, err := d.opt.Store.Txn(ctx, c.ops...)
	switch {
	case err == nil:
		c.done(rev)
		d.saved, d.book.urgent = now, false
		return true
	case errs.Is(err, errs.Conflict), errs.IsMaybeApplied(err):
		d.opt.Log.Warn("incidents may have changed in the store, reading them again", "err", err)
		d.reload(ctx, now)
	case ctx.Err() == nil:
		d.retry = now.Add(retryEvery)
		d.opt.Log.Error("cannot store incidents, trying again", "err", err)
	}
	return false
}

// reload takes the store's version of the books. What is known of origins is
// kept, so that what is still unwell opens incidents again; counts since the
// stored counters come back with the next reports.
func (d *Desk) reload(ctx context.Context, now time.Time) {
	b, err := d.read(ctx, now)
	if err != nil {
		d.retry = now.Add(retryEvery)
		d.opt.Log.Warn("cannot read the incidents, trying again", "err", err)
		return
	}
	old := d.book
	b.estate, b.switches, b.urgent = old.estate, old.switches, true
	maps.Copy(b.levels, old.levels)
	for name, s := range b.sources {
		if was := old.sources[name]; was != nil {
			s.seen = was.seen
		}
	}
	for id, r := range b.records {
		if was := old.records[id]; was != nil {
			r.wellSince, r.troubleSeen = was.wellSince, was.troubleSeen
		}
	}
	d.book = b
}

// changes are the operations of one save, and what to do once it is done.
type changes struct {
	ops  []state.Op
	then []func(rev state.Revision)
}

func (c *changes) add(op state.Op, then func(rev state.Revision)) {
	c.ops = append(c.ops, op)
	if then != nil {
		c.then = append(c.then, then)
	}
}

func (c *changes) done(rev state.Revision) {
	for _, f := range c.then {
		f(rev)
	}
}

func (d *Desk) changes() *changes {
	b, c := d.book, &changes{}
	for _, id := range slices.Sorted(maps.Keys(b.records)) {
		r := b.records[id]
		switch {
		case !r.dirty:
		case r.Incident.State == Closed && len(r.Entries) == 0 && len(r.Notices) == 0:
			d.file(c, r)
		default:
			r.snapshot(b)
			c.add(state.Op{Key: openPrefix + id, Value: d.encode(r), Expect: r.rev}, func(rev state.Revision) {
				r.rev, r.dirty = rev, false
			})
		}
	}
	for _, r := range b.recent {
		if r.dirty {
			c.add(state.Op{Key: closedPrefix + r.Incident.ID, Value: d.encode(r), Expect: r.rev}, func(rev state.Revision) {
				r.rev, r.dirty = rev, false
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(b.sources)) {
		if s := b.sources[name]; s.dirty {
			c.add(state.Op{Key: sourcePrefix + name, Value: d.encode(b.settled(name, s)), Expect: s.rev}, func(rev state.Revision) {
				s.rev, s.dirty = rev, false
			})
		}
	}
	for _, name := range b.gone {
		c.add(state.Op{Key: sourcePrefix + name, Delete: true, Expect: state.Any}, nil)
	}
	c.then = append(c.then, func(state.Revision) { b.gone = nil })
	return c
}

// file moves a closed incident to its place, and drops the oldest beyond Keep.
func (d *Desk) file(c *changes, r *record) {
	b, id := d.book, r.Incident.ID
	if r.rev != state.Absent {
		c.add(state.Op{Key: openPrefix + id, Delete: true, Expect: r.rev}, nil)
	}
	c.add(state.Op{Key: closedPrefix + id, Value: d.encode(r), Expect: state.Absent}, func(rev state.Revision) {
		r.rev, r.dirty = rev, false
		delete(b.records, id)
		b.recent = append(b.recent, r)
		b.filed[id] = true
	})
	excess := len(b.filed) + 1 - d.opt.Keep
	if excess <= 0 {
		return
	}
	for _, old := range slices.Sorted(maps.Keys(b.filed))[:excess] {
		c.add(state.Op{Key: closedPrefix + old, Delete: true, Expect: state.Any}, func(state.Revision) {
			delete(b.filed, old)
			b.recent = slices.DeleteFunc(b.recent, func(r *record) bool { return r.Incident.ID == old })
		})
	}
}

// snapshot copies the levels of what the incident holds into it.
func (r *record) snapshot(b *book) {
	for i := range r.Held {
		r.Held[i].Level = level{}
		if l := b.levels[r.Held[i].Target]; l != nil {
			r.Held[i].Level = level{Down: l.Down, Ejected: l.Ejected, Since: l.Since}
		}
	}
}

func (d *Desk) encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		d.opt.Log.Error("cannot encode an incident", "err", err) // plain values: cannot happen
	}
	return b
}

// handOn writes the journal entries and sends the notices that wait. It
// reports whether any was handed on, which must be stored.
func (d *Desk) handOn(ctx context.Context, now time.Time) bool {
	any := false
	for _, id := range slices.Sorted(maps.Keys(d.book.records)) {
		r := d.book.records[id]
		for len(r.Entries) > 0 {
			e := r.Entries[0].Entry
			e.Dedup = r.Entries[0].Dedup
			if _, err := d.opt.Journal.Append(ctx, e); err != nil {
				d.opt.Log.Warn("cannot record a change of an incident, trying again", "incident", id, "err", err)
				break
			}
			r.Entries = r.Entries[1:]
			any, r.dirty = true, true
		}
		for len(r.Notices) > 0 {
			if err := d.notify(ctx, now, r); err != nil {
				d.opt.Log.Warn("cannot tell of an incident, trying again", "incident", id, "err", err)
				break
			}
			r.Notices = r.Notices[1:]
			any, r.dirty = true, true
		}
	}
	return any
}

func (d *Desk) notify(ctx context.Context, now time.Time, r *record) error {
	if d.opt.Notify == nil {
		return nil
	}
	event := r.Notices[0]
	return d.opt.Notify(ctx, notify.Notice{
		Version: notify.Version, Event: event, ID: r.Incident.ID + strings.TrimPrefix(event, "incident"),
		Subject: r.Incident.ID, At: now.UTC(), Incident: d.encode(r.Incident),
	})
}
