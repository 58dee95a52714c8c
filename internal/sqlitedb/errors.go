package sqlitedb

import (
	"context"
	"errors"
	"os"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/sparecloud/spare/internal/errs"
)

// fail gives err a kind, and says which database was at fault. An error that
// has a kind already passes unchanged.
func (d *DB) fail(err error, what string) error {
	var serr *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errs.Wrap(errs.Unavailable, err, "%s %s", what, d.name)
	case err.Error() == "sql: database is closed": // database/sql does not export it
		return d.errClosed(what)
	case !errors.As(err, &serr):
		return err
	}
	switch serr.Code() & 0xff {
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return d.damaged(err)
	case lib.SQLITE_FULL:
		return errs.WithHint(errs.Wrap(errs.Unavailable, err, "%s %s %s", what, d.name, d.path),
			"make room on the disk that holds %s", d.path)
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_IOERR, lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY,
		lib.SQLITE_INTERRUPT, lib.SQLITE_NOMEM, lib.SQLITE_PERM, lib.SQLITE_PROTOCOL:
		return errs.Wrap(errs.Unavailable, err, "%s %s %s", what, d.name, d.path)
	}
	return errs.Wrap(errs.Internal, err, "%s %s %s", what, d.name, d.path)
}

// damaged is the error for a file that is not what SQLite wrote. Nothing here
// repairs or removes it: that is for whoever owns the data.
func (d *DB) damaged(err error) error {
	return errs.WithHint(errs.Wrap(errs.Internal, err, "the %s database %s is damaged", d.name, d.path),
		"stop Spare, then put back a copy of %[1]s, or move %[1]s, %[1]s-wal and %[1]s-shm aside to begin with an empty one", d.path)
}

func (d *DB) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.closed
}

func (d *DB) errClosed(what string) error {
	return errs.E(errs.Unavailable, "%s %s: it is closed", what, d.name)
}

// SetAside renames the database at path, and the files beside it, to names
// that end in suffix, so that the next [Open] begins with an empty one. Nobody
// may have it open. It gives the database's new name. Only an operator's word
// leads here. Conflict: the new name is taken.
func SetAside(path, suffix string) (string, error) {
	to := path + suffix
	if _, err := os.Lstat(to); err == nil {
		return "", errs.E(errs.Conflict, "set %s aside: %s exists", path, to)
	}
	// The log goes first: it must never stand beside a new, empty database.
	for _, part := range []string{"-wal", "-shm", ""} {
		err := os.Rename(path+part, to+part)
		if err != nil && (part == "" || !os.IsNotExist(err)) {
			return "", errs.Wrap(errs.Unavailable, err, "set %s aside", path)
		}
	}
	return to, nil
}
