package journal

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// trimEvery is how often the bounds are looked after while nobody appends.
const trimEvery = time.Minute

// trimSlice is how many entries one transaction removes while nobody appends.
const trimSlice = 1000

// write is the one goroutine that writes. It ends when the queue is closed and
// empty.
func (j *Journal) write() {
	timer := time.NewTimer(trimEvery)
	defer timer.Stop()
	for {
		select {
		case r, ok := <-j.queue:
			if !ok {
				return
			}
			j.commit(j.gather(r))
		case <-timer.C:
			next := trimEvery
			if j.trimIdle() == trimSlice {
				next = 10 * time.Millisecond // there is more; let appenders between
			}
			timer.Reset(next)
		}
	}
}

// gather takes the first request and those that have come meanwhile.
func (j *Journal) gather(first *request) []*request {
	var batch []*request
	entries, size := 0, 0
	for r, ok := first, true; ok; {
		if r.state.CompareAndSwap(waiting, taken) {
			batch = append(batch, r)
			entries += len(r.entries)
			size += r.bytes
		}
		if entries >= batchEntries || size >= batchBytes {
			break
		}
		select {
		case r, ok = <-j.queue:
		default:
			ok = false
		}
	}
	return batch
}

// commit writes the requests in one transaction and answers them.
func (j *Journal) commit(batch []*request) {
	if len(batch) == 0 {
		return
	}
	last := j.last.Load()
	err := j.db.Write(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
		n, err := 0, error(nil)
		for _, r := range batch {
			if last, err = insert(ctx, tx, r.entries, last); err != nil {
				return err
			}
			n += len(r.entries)
		}
		// More than were added, so that a lowered bound is reached in time.
		_, err = j.trim(ctx, tx, last, 2*n+50)
		return err
	})
	if err == nil {
		j.last.Store(last)
	}
	for _, r := range batch {
		r.done <- err
	}
}

// insert writes the entries, completes them, and gives the newest ID, which
// was last before. IDs have no holes, because a failed transaction gives its
// IDs back; so a follower knows when it missed one.
func insert(ctx context.Context, tx *sql.Tx, entries []Entry, last int64) (int64, error) {
	stmt, err := tx.PrepareContext(ctx, `INSERT INTO entry
		(at, recorded, kind, level, certainty, service, site, incident, actor, message, data, dedup)
		VALUES (?, ?, ?, ?, ?, nullif(?, ''), nullif(?, ''), nullif(?, ''), ?, ?, ?, nullif(?, ''))`)
	if err != nil {
		return last, err
	}
	defer func() { _ = stmt.Close() }() // the transaction's end says what went wrong
	recorded := time.Now().UTC().Round(0)
	for i := range entries {
		e := &entries[i]
		if e.Dedup != "" {
			first, err := scan(tx.QueryRowContext(ctx, "SELECT "+columns+" FROM entry WHERE dedup = ?", e.Dedup))
			if err == nil {
				first.Dedup = e.Dedup
				*e = first
				continue
			}
			if !errors.Is(err, sql.ErrNoRows) {
				return last, err
			}
		}
		e.Recorded = recorded
		if e.At.IsZero() {
			e.At = recorded
		}
		res, err := stmt.ExecContext(ctx, e.At.UnixNano(), recorded.UnixNano(), string(e.Kind), string(e.Level), string(e.Certainty),
			string(e.Service), string(e.Site), e.Incident, e.Actor, e.Message, []byte(e.Data), e.Dedup)
		if err != nil {
			return last, err
		}
		if e.ID, err = res.LastInsertId(); err != nil {
			return last, err
		}
		last = e.ID
	}
	return last, nil
}

// trim removes the oldest entries that are over the bounds, limit at most, and
// gives their number.
func (j *Journal) trim(ctx context.Context, tx *sql.Tx, last int64, limit int) (int, error) {
	var first, old sql.NullInt64
	err := tx.QueryRowContext(ctx, `SELECT min(id), max(id) FILTER (WHERE recorded < ?)
		FROM (SELECT id, recorded FROM entry ORDER BY id LIMIT ?)`,
		unixNano(time.Now().Add(-j.opts.MaxAge)), limit).Scan(&first, &old)
	if err != nil || !first.Valid {
		return 0, err
	}
	upTo := max(last-j.opts.MaxEntries, old.Int64)
	upTo = min(upTo, first.Int64+int64(limit)-1)
	if upTo < first.Int64 {
		return 0, nil
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM entry WHERE id <= ?", upTo)
	return int(upTo - first.Int64 + 1), err
}

// trimIdle removes one slice while nobody appends.
func (j *Journal) trimIdle() (removed int) {
	err := j.db.Write(context.Background(), func(ctx context.Context, tx *sql.Tx) error {
		var err error
		removed, err = j.trim(ctx, tx, j.last.Load(), trimSlice)
		return err
	})
	if err != nil {
		j.opts.Log.Error("journal trim failed", "path", j.db.Path(), "error", err)
		return 0
	}
	return removed
}
