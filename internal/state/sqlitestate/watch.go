package sqlitestate

import (
	"context"
	"database/sql"
	"math"
	"strings"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

// What a watch reads of the log at once: rows, and the bytes of their values
// after which it stops early.
const (
	watchRows  = 256
	watchBytes = 4 << 20
)

// Watch implements [state.Store]. A watcher reads the log of changes at its own
// pace and costs the writers nothing. It is closed when the log no longer
// reaches back to it, and when the log cannot be read.
func (s *Store) Watch(ctx context.Context, prefix string, from state.Revision) (<-chan state.KV, error) {
	var seq int64 // the last row that is not to be sent
	var newest, lost state.Revision
	err := s.db.Read(ctx, func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `SELECT revision, lost,
			coalesce((SELECT max(seq) FROM change WHERE revision <= ?), (SELECT min(seq) - 1 FROM change), 0) FROM meta`,
			int64(min(from, math.MaxInt64))).Scan(&newest, &lost, &seq)
	})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errs.E(errs.Unavailable, "watch state: it is closed")
	}
	out := make(chan state.KV)
	if from < lost || from > newest {
		close(out)
		return out, nil
	}
	s.watches.Go(func() {
		defer close(out)
		s.follow(ctx, out, prefix, seq)
	})
	return out, nil
}

// follow sends the changes after row seq.
func (s *Store) follow(ctx context.Context, out chan<- state.KV, prefix string, seq int64) {
	for {
		changed := s.db.Changed()
		batch, last, whole, err := s.readLog(ctx, prefix, seq)
		if err != nil && ctx.Err() == nil {
			s.log.Error("state watch ended", "prefix", prefix, "error", err)
		}
		if err != nil || !whole {
			return
		}
		for _, kv := range batch {
			select {
			case out <- kv:
			case <-ctx.Done():
				return
			case <-s.closing:
				return
			}
		}
		if last > seq {
			seq = last
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-s.closing:
			return
		}
	}
}

// readLog reads the rows after seq, a batch at most. It gives those under the
// prefix, the last row that it saw, and whether no row after seq is lost.
func (s *Store) readLog(ctx context.Context, prefix string, seq int64) (batch []state.KV, last int64, whole bool, err error) {
	last, whole = seq, true
	err = s.db.Read(ctx, func(ctx context.Context, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT seq, revision, key, value, value IS NULL FROM change WHERE seq > ? ORDER BY seq LIMIT ?",
			seq, watchRows)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err says what went wrong
		for size := 0; size < watchBytes && rows.Next(); {
			var row int64
			var kv state.KV
			if err := rows.Scan(&row, &kv.Revision, &kv.Key, &kv.Value, &kv.Deleted); err != nil {
				return err
			}
			whole = whole && row == last+1
			last = row
			if !strings.HasPrefix(kv.Key, prefix) {
				continue
			}
			if !kv.Deleted {
				kv = present(kv)
			}
			size += len(kv.Value)
			batch = append(batch, kv)
		}
		return rows.Err()
	})
	return batch, last, whole, err
}
