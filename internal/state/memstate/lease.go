package memstate

import (
	"context"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

// Lease implements [state.Store].
func (s *Store) Lease(ctx context.Context, name, holder string, ttl time.Duration) (state.Revision, error) {
	if err := state.CheckLease(name, holder, ttl); err != nil {
		return 0, err
	}
	if err := s.begin(ctx); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	now := time.Now()
	l, held := s.leases[name]
	held = held && now.Before(l.ends)
	if held && l.holder != holder {
		return 0, errs.E(errs.Conflict, "lease %q is held by %s", name, l.holder)
	}
	if !held {
		s.revision++ // a revision of its own, and no change of a record
		l = lease{holder: holder, token: s.revision}
	}
	l.ends = now.Add(ttl)
	s.leases[name] = l
	return l.token, nil
}

// Release implements [state.Store].
func (s *Store) Release(ctx context.Context, name, holder string) error {
	if err := state.CheckLease(name, holder, time.Nanosecond); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	l, ok := s.leases[name]
	if !ok || l.holder != holder || !time.Now().Before(l.ends) {
		return errs.E(errs.Stale, "lease %q is not held by %s", name, holder)
	}
	delete(s.leases, name)
	return nil
}
