// Package sqlitestate is the [state.Store] of a single node: one SQLite file.
// What it has acknowledged survives kill -9 and loss of power.
//
// A [Store] keeps the records, the leases, and a bounded log of changes from
// which watches are served. One process at a time should have it open: a
// second one reads and writes correctly, but its changes wake the watches of
// the first only with the first's own next change.
//
//	st, err := sqlitestate.Open(ctx, filepath.Join(data, "state.db"), log)
//	if err != nil { ... }
//	defer st.Close()
package sqlitestate

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/sqlitedb"
	"github.com/sparecloud/spare/internal/state"
)

// Bounds of the log of changes. A watch can begin no further back.
const (
	maxChanges = 10_000
	maxLogged  = 64 << 20 // bytes of keys and values
)

// schema of the file. Keys are BLOBs so that they sort by their bytes. In
// change, ends counts the bytes ever logged up to and with that row.
var schema = sqlitedb.Schema{
	Name:  "state",
	AppID: 0x53705374,
	Check: true,
	Steps: []string{`
CREATE TABLE meta (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	revision INTEGER NOT NULL, -- the newest
	lost     INTEGER NOT NULL  -- the newest of which change has lost a row
) STRICT;
INSERT INTO meta VALUES (1, 0, 0);
CREATE TABLE record (
	key      BLOB PRIMARY KEY,
	value    BLOB NOT NULL,
	revision INTEGER NOT NULL
) STRICT;
CREATE TABLE change (
	seq      INTEGER PRIMARY KEY AUTOINCREMENT,
	revision INTEGER NOT NULL,
	key      BLOB NOT NULL,
	value    BLOB, -- NULL: deleted
	ends     INTEGER NOT NULL
) STRICT;
CREATE TABLE lease (
	name   BLOB PRIMARY KEY,
	holder BLOB NOT NULL,
	token  INTEGER NOT NULL,
	ends   INTEGER NOT NULL -- Unix time in nanoseconds
) STRICT;
`},
}

// Store keeps records in a SQLite file.
type Store struct {
	db      *sqlitedb.DB
	log     *slog.Logger
	changes int64 // bound of the log, in rows
	logged  int64 // bound of the log, in bytes

	mu      sync.Mutex // guards closed, and orders it before watches.Wait
	closed  bool
	closing chan struct{}
	watches sync.WaitGroup
}

var _ state.Store = (*Store)(nil)

// Open opens the store at path, and creates it if there is none. The folder
// must exist. A damaged file, one that a newer Spare wrote, and one that is
// something else are errors with a hint, and are left as they are.
func Open(ctx context.Context, path string, log *slog.Logger) (*Store, error) {
	db, err := sqlitedb.Open(ctx, path, schema)
	if err != nil {
		return nil, err
	}
	s := &Store{db: db, log: log, changes: maxChanges, logged: maxLogged, closing: make(chan struct{})}
	rev, err := s.Revision(ctx)
	if err != nil {
		_ = db.Close() // the first error is the one that matters
		return nil, err
	}
	log.Debug("state opened", "path", db.Path(), "revision", uint64(rev))
	return s, nil
}

// Get implements [state.Store].
func (s *Store) Get(ctx context.Context, key string) (state.KV, error) {
	if err := state.CheckKey(key); err != nil {
		return state.KV{}, err
	}
	kv := state.KV{Key: key}
	err := s.db.Read(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT value, revision FROM record WHERE key = ?", []byte(key)).
			Scan(&kv.Value, &kv.Revision)
		if errors.Is(err, sql.ErrNoRows) {
			return errs.E(errs.NotFound, "key %q is not there", key)
		}
		return err
	})
	if err != nil {
		return state.KV{}, err
	}
	return present(kv), nil
}

// List implements [state.Store].
func (s *Store) List(ctx context.Context, prefix string) ([]state.KV, error) {
	var found []state.KV
	err := s.db.Read(ctx, func(ctx context.Context, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT key, value, revision FROM record WHERE key >= ? AND key < ? ORDER BY key",
			[]byte(prefix), after(prefix))
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err says what went wrong
		for rows.Next() {
			var kv state.KV
			if err := rows.Scan(&kv.Key, &kv.Value, &kv.Revision); err != nil {
				return err
			}
			found = append(found, present(kv))
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// after gives a key that is greater than every key with the prefix.
func after(prefix string) []byte {
	return []byte(prefix + strings.Repeat("\xff", state.MaxKey+1))
}

// present makes sure that the value of a record is never nil.
func present(kv state.KV) state.KV {
	if kv.Value == nil {
		kv.Value = []byte{}
	}
	return kv
}

// Revision implements [state.Store].
func (s *Store) Revision(ctx context.Context) (state.Revision, error) {
	var rev state.Revision
	err := s.db.Read(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT revision FROM meta").Scan(&rev)
	})
	if err != nil {
		return 0, err
	}
	return rev, nil
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
	return s.db.Close()
}
