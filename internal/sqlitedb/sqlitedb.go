// Package sqlitedb is the one home of SQLite in Spare: it opens a database
// file with the settings that every user of one needs, brings its schema up to
// date, and turns SQLite's result codes into the project's kinds of error.
//
// A [DB] has one connection that writes and a few that read. Files are in WAL
// mode with synchronous=FULL: what [DB.Write] has acknowledged survives
// kill -9 and loss of power, and readers never wait for a writer.
//
//	db, err := sqlitedb.Open(ctx, path, sqlitedb.Schema{
//		Name: "journal", AppID: 0x5370724a, Steps: []string{createTables},
//	})
//	err = db.Write(ctx, func(ctx context.Context, tx *sql.Tx) error { ... })
//	err = db.Read(ctx, func(ctx context.Context, tx *sql.Tx) error { ... })
package sqlitedb

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/sparecloud/spare/internal/errs"
)

// DB is an open database. Its methods may be called from several goroutines.
type DB struct {
	path    string
	name    string
	writer  *sql.DB
	readers *sql.DB
	turn    chan struct{} // holds one value while nobody writes

	mu      sync.Mutex
	changed chan struct{} // closed by the next commit
	closed  bool
}

// readConnections is how many reads run at once. Each connection costs about
// half a megabyte, so the pool keeps one and opens another under load.
const readConnections = 2

// Open opens the database at path, and creates it if there is none. The folder
// must exist. Invalid: the file is another program's, or another part's.
// Unsupported: a newer Spare wrote it. Internal, with a hint: it is damaged.
func Open(ctx context.Context, path string, schema Schema) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "open %s %s", schema.Name, path)
	}
	d := &DB{path: abs, name: schema.Name, turn: make(chan struct{}, 1), changed: make(chan struct{})}
	d.turn <- struct{}{}
	if err := d.prepareFile(); err != nil {
		return nil, err
	}
	if err := register(); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "open %s", d.name)
	}
	if d.writer, err = sql.Open("sqlite", dsn(abs, false)); err != nil {
		return nil, d.fail(err, "open")
	}
	d.writer.SetMaxOpenConns(1)
	if err := d.setUp(ctx, schema); err != nil {
		_ = d.writer.Close() // the first error is the one that matters
		return nil, err
	}
	if d.readers, err = sql.Open("sqlite", dsn(abs, true)); err != nil {
		_ = d.writer.Close()
		return nil, d.fail(err, "open")
	}
	d.readers.SetMaxOpenConns(readConnections)
	d.readers.SetMaxIdleConns(1)
	return d, nil
}

// Path is the absolute path of the database file.
func (d *DB) Path() string { return d.path }

// prepareFile creates a missing file with narrow permissions, which SQLite
// gives to the files beside it too. It never opens one that exists: closing it
// again would drop the locks that this process holds on it.
func (d *DB) prepareFile() error {
	info, err := os.Stat(d.path)
	if os.IsNotExist(err) {
		f, err := os.OpenFile(d.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil && !os.IsExist(err) {
			return errs.WithHint(errs.Wrap(errs.Unavailable, err, "create %s", d.name),
				"the folder %s must exist and be writable", filepath.Dir(d.path))
		}
		if f != nil {
			if err := f.Close(); err != nil {
				return errs.Wrap(errs.Unavailable, err, "create %s", d.name)
			}
		}
		info, err = os.Stat(d.path)
		if err != nil {
			return errs.Wrap(errs.Unavailable, err, "create %s", d.name)
		}
	} else if err != nil {
		return errs.Wrap(errs.Unavailable, err, "open %s", d.name)
	}
	if !info.Mode().IsRegular() {
		return errs.E(errs.Invalid, "open %s: %s is not a regular file", d.name, d.path)
	}
	// SQLite would throw the log away and begin anew. An empty file with a
	// full log is never left by a crash, so something emptied it.
	if wal, err := os.Stat(d.path + "-wal"); err == nil && wal.Size() > 0 && info.Size() == 0 {
		return d.damaged(fmt.Errorf("the file is empty, and its log %s-wal is not", d.path))
	}
	return nil
}

// dsn names the file and the settings of each connection to it. The cache is
// small because the records are; the kernel caches the file anyway.
func dsn(path string, readOnly bool) string {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", // ms; covers the last moments of a killed predecessor
		"synchronous(FULL)",
		"cache_size(-512)", // KiB
		"mmap_size(0)",
		"journal_size_limit(8388608)", // bytes the log keeps after a checkpoint
		"trusted_schema(OFF)",
		"cell_size_check(ON)",
	}}
	if readOnly {
		q.Add("_pragma", "query_only(ON)")
	} else {
		q.Set("_txlock", "immediate")
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}
	return u.String()
}

// Read runs fn on one snapshot of the database.
func (d *DB) Read(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if d.isClosed() {
		return d.errClosed("read")
	}
	tx, err := d.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err == nil {
		defer func() { _ = tx.Rollback() }() // nothing was written
		err = fn(ctx, tx)
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // rather than SQLite's "interrupted"
	}
	return d.fail(err, "read")
}

// Write runs fn in a transaction and commits it. Writes take turns. A nil error
// means that it is durable. An error that [errs.IsMaybeApplied] marks leaves
// the outcome open: ctx ended while the disk was still at work, or the commit
// failed. After any other error nothing has changed.
//
// The transaction itself runs to its end whatever becomes of ctx, perhaps
// after Write has returned, so fn must not use what its caller may change.
func (d *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	select {
	case <-d.turn:
	case <-ctx.Done():
		return errs.Wrap(errs.Unavailable, ctx.Err(), "wait to write %s", d.name)
	}
	if err := ctx.Err(); err != nil || d.isClosed() {
		d.turn <- struct{}{}
		if err == nil {
			return d.errClosed("write")
		}
		return errs.Wrap(errs.Unavailable, err, "write %s", d.name)
	}
	done := make(chan error, 1)
	go func() {
		err := d.transact(context.WithoutCancel(ctx), fn)
		d.turn <- struct{}{}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select { // an answer that is there already is better than none
	case err := <-done:
		return err
	default:
		return errs.MaybeApplied(errs.Wrap(errs.Unavailable, ctx.Err(), "write %s", d.name))
	}
}

func (d *DB) transact(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return d.fail(err, "write")
	}
	if err := fn(ctx, tx); err != nil {
		_ = tx.Rollback() // the first error is the one that matters
		return d.fail(err, "write")
	}
	if err := tx.Commit(); err != nil {
		// The log may hold the whole transaction although its sync failed.
		return errs.MaybeApplied(d.fail(err, "commit"))
	}
	d.mu.Lock()
	close(d.changed)
	d.changed = make(chan struct{})
	d.mu.Unlock()
	return nil
}

// Changed gives a channel that is closed by the next commit. Take it before
// reading, and no change is missed.
func (d *DB) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// Close waits for the write under way and closes the database. Further calls
// of any method but Close fail with Unavailable. Closing twice is no error.
func (d *DB) Close() error {
	d.mu.Lock()
	was := d.closed
	d.closed = true
	d.mu.Unlock()
	if was {
		return nil
	}
	<-d.turn
	defer func() { d.turn <- struct{}{} }()
	err := d.readers.Close() // first, so that the writer's close is the last and folds the log in
	if werr := d.writer.Close(); err == nil {
		err = werr
	}
	return d.fail(err, "close")
}
