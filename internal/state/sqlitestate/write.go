package sqlitestate

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

// Put implements [state.Store].
func (s *Store) Put(ctx context.Context, key string, value []byte, expect state.Revision) (state.KV, error) {
	rev, err := s.Txn(ctx, state.Op{Key: key, Value: value, Expect: expect})
	if err != nil {
		return state.KV{}, err
	}
	return present(state.KV{Key: key, Value: bytes.Clone(value), Revision: rev}), nil
}

// Delete implements [state.Store].
func (s *Store) Delete(ctx context.Context, key string, expect state.Revision) error {
	_, err := s.Txn(ctx, state.Op{Key: key, Expect: expect, Delete: true})
	return err
}

// Txn implements [state.Store].
func (s *Store) Txn(ctx context.Context, ops ...state.Op) (state.Revision, error) {
	if err := state.CheckOps(ops); err != nil {
		return 0, err
	}
	ops = slices.Clone(ops) // the write may outlive this call
	for i := range ops {
		ops[i].Value = append([]byte{}, ops[i].Value...)
	}
	var rev state.Revision
	err := s.db.Write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		changes, err := effects(ctx, tx, ops)
		if err != nil {
			return err
		}
		if len(changes) == 0 {
			return tx.QueryRowContext(ctx, "SELECT revision FROM meta").Scan(&rev)
		}
		if rev, err = nextRevision(ctx, tx); err != nil {
			return err
		}
		return s.apply(ctx, tx, changes, rev)
	})
	if err != nil {
		return 0, err
	}
	return rev, nil
}

// effects checks all expectations and gives the ops that change something.
func effects(ctx context.Context, tx *sql.Tx, ops []state.Op) ([]state.Op, error) {
	var changes []state.Op
	for _, op := range ops {
		now := state.Absent
		err := tx.QueryRowContext(ctx, "SELECT revision FROM record WHERE key = ?", []byte(op.Key)).Scan(&now)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
		if op.Expect != state.Any && op.Expect != now {
			return nil, errs.E(errs.Conflict, "key %q is at revision %d, not %d", op.Key, now, op.Expect)
		}
		if !op.Check && (!op.Delete || now != state.Absent) {
			changes = append(changes, op)
		}
	}
	return changes, nil
}

func nextRevision(ctx context.Context, tx *sql.Tx) (state.Revision, error) {
	var rev state.Revision
	err := tx.QueryRowContext(ctx, "UPDATE meta SET revision = revision + 1 RETURNING revision").Scan(&rev)
	return rev, err
}

func (s *Store) apply(ctx context.Context, tx *sql.Tx, changes []state.Op, rev state.Revision) error {
	for _, op := range changes {
		var err error
		var logged any // NULL for a deletion
		if op.Delete {
			_, err = tx.ExecContext(ctx, "DELETE FROM record WHERE key = ?", []byte(op.Key))
		} else {
			logged = op.Value
			_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO record (key, value, revision) VALUES (?, ?, ?)",
				[]byte(op.Key), op.Value, int64(rev))
		}
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO change (revision, key, value, ends) VALUES (?1, ?2, ?3,
			?4 + coalesce((SELECT ends FROM change ORDER BY seq DESC LIMIT 1), 0))`,
			int64(rev), []byte(op.Key), logged, len(op.Key)+len(op.Value))
		if err != nil {
			return err
		}
	}
	return s.trim(ctx, tx)
}

// trim drops the oldest rows of the log that are over its bounds, and notes up
// to which revision it is no longer whole. The newest row always stays.
func (s *Store) trim(ctx context.Context, tx *sql.Tx) error {
	var first, newest, ends, keep int64 // keep: the first row that stays
	err := tx.QueryRowContext(ctx, "SELECT (SELECT min(seq) FROM change), seq, ends FROM change ORDER BY seq DESC LIMIT 1").Scan(&first, &newest, &ends)
	if err != nil {
		return err
	}
	err = tx.QueryRowContext(ctx, "SELECT seq FROM change WHERE ends >= ? ORDER BY seq LIMIT 1", ends-s.logged).Scan(&keep)
	if err != nil {
		return err
	}
	if keep = max(keep, newest-s.changes+1); keep == first {
		return nil
	}
	_, err = tx.ExecContext(ctx, `UPDATE meta SET lost = (SELECT max(revision) FROM change WHERE seq < ?1);
		DELETE FROM change WHERE seq < ?1`, keep)
	return err
}

// Lease implements [state.Store]. The lease ends by the wall clock: when that
// is set forward a lease may end early, and its token protects what it guards.
func (s *Store) Lease(ctx context.Context, name, holder string, ttl time.Duration) (state.Revision, error) {
	if err := state.CheckLease(name, holder, ttl); err != nil {
		return 0, err
	}
	var token state.Revision
	err := s.db.Write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now := time.Now().UnixNano()
		has, t, err := leaseHolder(ctx, tx, name, now)
		if err != nil {
			return err
		}
		token = t
		switch has {
		case holder:
		case "":
			if token, err = nextRevision(ctx, tx); err != nil {
				return err
			}
		default:
			return errs.E(errs.Conflict, "lease %q is held by %s", name, has)
		}
		ends := now + min(int64(ttl), math.MaxInt64-now)
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO lease (name, holder, token, ends) VALUES (?, ?, ?, ?)",
			[]byte(name), []byte(holder), int64(token), ends)
		return err
	})
	if err != nil {
		return 0, err
	}
	return token, nil
}

// Release implements [state.Store].
func (s *Store) Release(ctx context.Context, name, holder string) error {
	if err := state.CheckLease(name, holder, time.Nanosecond); err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		has, _, err := leaseHolder(ctx, tx, name, time.Now().UnixNano())
		if err != nil {
			return err
		}
		if has != holder {
			return errs.E(errs.Stale, "lease %q is not held by %s", name, holder)
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM lease WHERE name = ?", []byte(name))
		return err
	})
}

// leaseHolder gives who holds the lease at now, "" for nobody.
func leaseHolder(ctx context.Context, tx *sql.Tx, name string, now int64) (holder string, token state.Revision, err error) {
	err = tx.QueryRowContext(ctx, "SELECT holder, token FROM lease WHERE name = ? AND ends > ?", []byte(name), now).
		Scan(&holder, &token)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return holder, token, err
}
