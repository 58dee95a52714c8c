// Package memstate is a [state.Store] in memory, for tests. It keeps the whole
// contract but durability, and it checks its callers: what would work here by
// accident and fail with another store panics.
//
// Time is time.Now, so that leases run out inside a testing/synctest bubble.
//
//	st := memstate.New()
//	defer st.Close()
package memstate

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

// maxChanges is how many past changes a watch can begin from.
const maxChanges = 10_000

// Store keeps records in memory.
type Store struct {
	mu       sync.Mutex
	records  map[string]state.KV
	leases   map[string]lease
	revision state.Revision
	log      []state.KV     // the newest changes, oldest first
	dropped  int            // how many changes the log has lost at its front
	lost     state.Revision // of the last of these
	changed  chan struct{}  // closed by the next change
	closing  chan struct{}
	closed   bool
	watches  sync.WaitGroup
}

type lease struct {
	holder string
	token  state.Revision
	ends   time.Time
}

var _ state.Store = (*Store)(nil)

// New gives an empty store.
func New() *Store {
	return &Store{
		records: map[string]state.KV{},
		leases:  map[string]lease{},
		changed: make(chan struct{}),
		closing: make(chan struct{}),
	}
}

// begin takes the lock. When it gives an error the lock is not held.
func (s *Store) begin(ctx context.Context) error {
	if ctx == nil {
		panic("memstate: nil context")
	}
	if err := ctx.Err(); err != nil {
		return errs.Wrap(errs.Unavailable, err, "use the state")
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return errs.E(errs.Unavailable, "use the state: it is closed")
	}
	return nil
}

// Get implements [state.Store].
func (s *Store) Get(ctx context.Context, key string) (state.KV, error) {
	if err := state.CheckKey(key); err != nil {
		return state.KV{}, err
	}
	if err := s.begin(ctx); err != nil {
		return state.KV{}, err
	}
	defer s.mu.Unlock()
	kv, ok := s.records[key]
	if !ok {
		return state.KV{}, errs.E(errs.NotFound, "key %q is not there", key)
	}
	return clone(kv), nil
}

// List implements [state.Store].
func (s *Store) List(ctx context.Context, prefix string) ([]state.KV, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var found []state.KV
	for key, kv := range s.records {
		if strings.HasPrefix(key, prefix) {
			found = append(found, clone(kv))
		}
	}
	slices.SortFunc(found, func(a, b state.KV) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}

// Put implements [state.Store].
func (s *Store) Put(ctx context.Context, key string, value []byte, expect state.Revision) (state.KV, error) {
	rev, err := s.Txn(ctx, state.Op{Key: key, Value: value, Expect: expect})
	if err != nil {
		return state.KV{}, err
	}
	return clone(state.KV{Key: key, Value: value, Revision: rev}), nil
}

// Delete implements [state.Store].
func (s *Store) Delete(ctx context.Context, key string, expect state.Revision) error {
	_, err := s.Txn(ctx, state.Op{Key: key, Expect: expect, Delete: true})
	return err
}

// Txn implements [state.Store].
func (s *Store) Txn(ctx context.Context, ops ...state.Op) (state.Revision, error) {
	for _, op := range ops {
		if (op.Check || op.Delete) && op.Value != nil || op.Check && op.Delete {
			panic("memstate: op on " + op.Key + " both changes and does not: set Value, Delete or Check")
		}
	}
	if err := state.CheckOps(ops); err != nil {
		return 0, err
	}
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	for _, op := range ops {
		if err := s.expect(op); err != nil {
			return 0, err
		}
	}
	var changes []state.KV
	for _, op := range ops {
		_, there := s.records[op.Key]
		if op.Check || op.Delete && !there {
			continue
		}
		changes = append(changes, clone(state.KV{Key: op.Key, Value: op.Value, Revision: s.revision + 1, Deleted: op.Delete}))
	}
	if len(changes) > 0 {
		s.apply(changes)
	}
	return s.revision, nil
}

func (s *Store) expect(op state.Op) error {
	now := s.records[op.Key].Revision // Absent when there is none
	if op.Expect != state.Any && op.Expect > s.revision {
		panic("memstate: op on " + op.Key + " expects a revision that was never given")
	}
	if op.Expect != state.Any && op.Expect != now {
		return errs.E(errs.Conflict, "key %q is at revision %d, not %d", op.Key, now, op.Expect)
	}
	return nil
}

func (s *Store) apply(changes []state.KV) {
	s.revision++
	for _, kv := range changes {
		if kv.Deleted {
			delete(s.records, kv.Key)
		} else {
			s.records[kv.Key] = kv
		}
	}
	s.log = append(s.log, changes...)
	if over := len(s.log) - maxChanges; over > 0 {
		s.lost = s.log[over-1].Revision
		s.dropped += over
		s.log = slices.Delete(s.log, 0, over)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// Revision implements [state.Store].
func (s *Store) Revision(ctx context.Context) (state.Revision, error) {
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	return s.revision, nil
}

// Close implements [state.Store]. It waits until all watches have ended.
func (s *Store) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.watches.Wait()
	return nil
}

// clone keeps callers from sharing bytes with the store. A value that is there
// is never nil.
func clone(kv state.KV) state.KV {
	if kv.Deleted {
		kv.Value = nil
	} else {
		kv.Value = append([]byte{}, kv.Value...)
	}
	return kv
}
