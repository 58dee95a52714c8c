package failover

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/route"
	"github.com/sparecloud/spare/internal/run"
	"github.com/sparecloud/spare/internal/state"
)

const (
	storeTimeout = 5 * time.Second
	retryMin     = 200 * time.Millisecond
	retryMax     = 5 * time.Second
)

// mirror is what is known here of the store's overrides and decisions.
// Changes may come twice and out of order; the higher revision wins, and a
// deletion is remembered so that an older value cannot come back.
type mirror struct {
	log       *slog.Logger
	revs      map[string]state.Revision
	overrides map[string]Override
	decisions map[estate.ServiceID]record
}

func newMirror(log *slog.Logger) *mirror {
	return &mirror{
		log: log, revs: map[string]state.Revision{},
		overrides: map[string]Override{}, decisions: map[estate.ServiceID]record{},
	}
}

func (m *mirror) apply(kv state.KV) {
	if have, ok := m.revs[kv.Key]; ok && have >= kv.Revision {
		return
	}
	m.revs[kv.Key] = kv.Revision
	switch {
	case strings.HasPrefix(kv.Key, overridePrefix):
		delete(m.overrides, kv.Key)
		if kv.Deleted {
			return
		}
		o, err := parseOverride(kv.Key, kv.Value)
		if err != nil {
			m.log.Error("override is unreadable and has no effect", "key", kv.Key, "error", err)
			return
		}
		m.overrides[kv.Key] = o
	case strings.HasPrefix(kv.Key, decisionPrefix):
		id := estate.ServiceID(strings.TrimPrefix(kv.Key, decisionPrefix))
		if kv.Deleted {
			delete(m.decisions, id)
			return
		}
		d, err := parseDecision(kv.Key, kv.Value)
		if err != nil {
			// The decision before it stands: a guess could split the writes.
			m.log.Error("decision is unreadable and has no effect", "key", kv.Key, "error", err)
			return
		}
		m.decisions[id] = record{Decision: d, rev: kv.Revision}
	}
}

// reset applies all records as of rev: what is missing was deleted.
func (m *mirror) reset(kvs []state.KV, rev state.Revision) {
	here := map[string]bool{}
	for _, kv := range kvs {
		here[kv.Key] = true
	}
	for key, have := range m.revs {
		if !here[key] && have < rev {
			m.apply(state.KV{Key: key, Revision: rev, Deleted: true})
		}
	}
	for _, kv := range kvs {
		m.apply(kv)
	}
}

// known gives all overrides in the order of their keys.
func (m *mirror) known() []Override {
	keys := make([]string, 0, len(m.overrides))
	for key := range m.overrides {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	all := make([]Override, 0, len(keys))
	for _, key := range keys {
		all = append(all, m.overrides[key])
	}
	return all
}

// snapshot is one whole reading of the store.
type snapshot struct {
	kvs  []state.KV
	rev  state.Revision
	last *route.Table // nil when none was kept
}

// follow keeps the loop's mirror up to date until ctx ends.
func (c *Controller) follow(ctx context.Context) error {
	again := run.Backoff{Min: retryMin, Max: retryMax, Jitter: 0.2}
	for ctx.Err() == nil {
		err := c.followOnce(ctx, again.Reset)
		if ctx.Err() != nil {
			break
		}
		c.post(ctx, func(l *loop) { l.storeSaid(err) })
		_ = run.Sleep(ctx, again.Next()) // its end ends the loop
	}
	return nil
}

// followOnce reads everything and then watches until something fails. A watch
// that ended because it fell behind is no error.
func (c *Controller) followOnce(ctx context.Context, ok func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	snap, err := c.read(ctx)
	if err != nil {
		return errs.Wrap(errs.KindOf(err), err, "read overrides and decisions")
	}
	overrides, err := c.opt.Store.Watch(ctx, overridePrefix, snap.rev)
	if err != nil {
		return errs.Wrap(errs.KindOf(err), err, "watch overrides")
	}
	decisions, err := c.opt.Store.Watch(ctx, decisionPrefix, snap.rev)
	if err != nil {
		return errs.Wrap(errs.KindOf(err), err, "watch decisions")
	}
	ok()
	c.post(ctx, func(l *loop) { l.sync(snap) })
	for {
		var kv state.KV
		var open bool
		select {
		case kv, open = <-overrides:
		case kv, open = <-decisions:
		}
		if !open {
			return nil
		}
		c.post(ctx, func(l *loop) { l.mirror.apply(kv) })
	}
}

func (c *Controller) read(ctx context.Context) (snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	st := c.opt.Store
	rev, err := st.Revision(ctx)
	if err != nil {
		return snapshot{}, err
	}
	snap := snapshot{rev: rev}
	for _, prefix := range []string{overridePrefix, decisionPrefix} {
		kvs, err := st.List(ctx, prefix)
		if err != nil {
			return snapshot{}, err
		}
		snap.kvs = append(snap.kvs, kvs...)
	}
	kv, err := st.Get(ctx, lastKey)
	if errs.Is(err, errs.NotFound) {
		return snap, nil
	}
	if err != nil {
		return snapshot{}, err
	}
	snap.last = new(route.Table)
	if err := json.Unmarshal(kv.Value, snap.last); err != nil {
		c.log.Error("kept table is unreadable", "key", lastKey, "error", err)
		snap.last = nil
	}
	return snap, nil
}

// save keeps the newest table in the store, for the next start. It is a hint
// that may be late or missing, never what a data process serves from.
func (c *Controller) save(ctx context.Context) error {
	again := run.Backoff{Min: retryMin, Max: retryMax, Jitter: 0.2}
	for {
		var t *route.Table
		select {
		case <-ctx.Done():
			return nil
		case t = <-c.saves:
		}
		for t != nil && ctx.Err() == nil {
			put, cancel := context.WithTimeout(ctx, storeTimeout)
			_, err := c.opt.Store.Put(put, lastKey, encode(t), state.Any)
			cancel()
			switch {
			case err == nil:
				again.Reset()
				t = nil
				continue
			case errs.Is(err, errs.Invalid):
				c.log.Error("table is too large to be kept", "epoch", t.Epoch, "error", err)
				t = nil
				continue
			}
			_ = run.Sleep(ctx, again.Next()) // its end ends the loop
			select {
			case t = <-c.saves: // a newer one came meanwhile
			default:
			}
		}
	}
}
