// Package journal is the append-only record of what Spare saw, decided and
// did: one SQLite file of its own, bounded in size and age. The timeline of an
// incident, its report and the status page are views of it.
//
// A [Journal] takes an [Entry] with [Journal.Append], which returns when the
// entry is on disk; appenders that come together share one sync of the disk.
// [Journal.Query] gives entries in pages, [Journal.Subscribe] follows. IDs
// grow by one and are never used twice, also after the oldest entries went.
//
//	j, err := journal.Open(ctx, filepath.Join(data, "journal.db"), journal.Options{Log: log})
//	defer j.Close()
//	_, err = j.Append(ctx, journal.Entry{Kind: journal.KindSwitch, Service: "shop", Message: "shop moved to belgium"})
//	page, err := j.Query(ctx, journal.Query{Service: "shop", Limit: 20})
package journal

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/sqlitedb"
)

// Options tune a journal. The zero value is ready for use.
type Options struct {
	MaxEntries int64         // the oldest go when there are more; default 1,000,000
	MaxAge     time.Duration // since they were recorded; default 400 days
	Log        *slog.Logger  // default: no log
}

// Journal is an open journal. Its methods may be called from several
// goroutines.
type Journal struct {
	db   *sqlitedb.DB
	opts Options
	last atomic.Int64 // the newest ID that is on disk

	mu        sync.RWMutex // orders sends to queue before its close
	closed    bool
	queue     chan *request
	closing   chan struct{} // ends followers
	writer    sync.WaitGroup
	followers sync.WaitGroup
}

// schema of the file. Empty strings of the optional columns are NULL and not
// in their index. Times are Unix time in nanoseconds.
var schema = sqlitedb.Schema{
	Name:  "journal",
	AppID: 0x53704a72,
	Steps: []string{`
CREATE TABLE entry (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	at        INTEGER NOT NULL,
	recorded  INTEGER NOT NULL,
	kind      TEXT NOT NULL,
	level     TEXT NOT NULL,
	certainty TEXT NOT NULL,
	service   TEXT,
	site      TEXT,
	incident  TEXT,
	actor     TEXT NOT NULL,
	message   TEXT NOT NULL,
	data      BLOB,
	dedup     TEXT
) STRICT;
CREATE INDEX entry_at ON entry (at);
CREATE INDEX entry_kind ON entry (kind);
CREATE INDEX entry_service ON entry (service) WHERE service IS NOT NULL;
CREATE INDEX entry_site ON entry (site) WHERE site IS NOT NULL;
CREATE INDEX entry_incident ON entry (incident) WHERE incident IS NOT NULL;
CREATE UNIQUE INDEX entry_dedup ON entry (dedup) WHERE dedup IS NOT NULL;
`},
}

// Open opens the journal at path, and creates it if there is none. The folder
// must exist. A damaged file, one that a newer Spare wrote, and one that is
// something else are errors with a hint, and are left as they are.
func Open(ctx context.Context, path string, opts Options) (*Journal, error) {
	if opts.MaxEntries < 0 || opts.MaxAge < 0 {
		return nil, errs.E(errs.Invalid, "open journal: bounds of %d entries and %s: they must not be negative", opts.MaxEntries, opts.MaxAge)
	}
	if opts.MaxEntries == 0 {
		opts.MaxEntries = 1_000_000
	}
	if opts.MaxAge == 0 {
		opts.MaxAge = 400 * 24 * time.Hour
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	db, err := sqlitedb.Open(ctx, path, schema)
	if err != nil {
		return nil, err
	}
	j := &Journal{db: db, opts: opts, queue: make(chan *request, queueLength), closing: make(chan struct{})}
	last, err := j.readLast(ctx)
	if err != nil {
		_ = db.Close() // the first error is the one that matters
		return nil, err
	}
	j.last.Store(last)
	opts.Log.Debug("journal opened", "path", db.Path(), "last", last)
	j.writer.Go(j.write)
	return j, nil
}

// readLast asks the disk for the newest ID ever given, 0 when there is none.
func (j *Journal) readLast(ctx context.Context) (last int64, err error) {
	err = j.db.Read(ctx, func(ctx context.Context, tx *sql.Tx) error {
		err := tx.QueryRowContext(ctx, "SELECT seq FROM sqlite_sequence WHERE name = 'entry'").Scan(&last)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return last, err
}

// Last is the ID of the newest entry on disk, 0 when there never was one. It
// asks memory, not the disk.
func (j *Journal) Last(context.Context) int64 { return j.last.Load() }

// Close writes what was appended, ends all followers and closes the file.
// Closing twice is no error.
func (j *Journal) Close() error {
	j.mu.Lock()
	if !j.closed {
		j.closed = true
		close(j.queue)
		close(j.closing)
	}
	j.mu.Unlock()
	j.writer.Wait()
	j.followers.Wait()
	return j.db.Close()
}

func errClosed(what string) error {
	return errs.E(errs.Unavailable, "%s: the journal is closed", what)
}
