package sqlitedb

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sparecloud/spare/internal/errs"
)

// Schema says what a database holds. The file's header carries AppID and the
// number of steps done (SQLite's application_id and user_version).
type Schema struct {
	Name  string   // of the part that owns it, for messages: "journal"
	AppID int32    // tells the parts' files apart; not 0
	Steps []string // Steps[n] takes version n to n+1; only ever appended to
	Check bool     // read every page when opening: for small databases
}

// setUp makes sure that the file is sound, is what schema says and has its
// version. A file of somebody else's is left as it is.
func (d *DB) setUp(ctx context.Context, schema Schema) error {
	if err := d.checkOwner(ctx, d.writer, schema); err != nil {
		return err
	}
	if schema.Check {
		if err := d.quickCheck(ctx); err != nil {
			return err
		}
	}
	version, err := d.version(ctx, d.writer)
	if err != nil {
		return d.fail(err, "open")
	}
	if version > len(schema.Steps) {
		return errs.WithHint(errs.E(errs.Unsupported, "open %s: %s has version %d, and this Spare knows up to %d",
			d.name, d.path, version, len(schema.Steps)),
			"a newer Spare wrote it: run that version, or put back a copy from before the upgrade")
	}
	var mode string
	if err := d.writer.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return d.fail(err, "open")
	}
	if mode != "wal" {
		return errs.WithHint(errs.E(errs.Unsupported, "open %s: no write-ahead log at %s, only %q", d.name, d.path, mode),
			"put the file on a local file system")
	}
	return d.migrate(ctx, schema)
}

// migrate does the steps that the file lacks. They and the version that counts
// them are one transaction, so a crash leaves the old version or the new one.
func (d *DB) migrate(ctx context.Context, schema Schema) error {
	return d.Write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		version, err := d.version(ctx, tx)
		if err != nil || version == len(schema.Steps) {
			return err
		}
		for v := version; v < len(schema.Steps); v++ {
			if _, err := tx.ExecContext(ctx, schema.Steps[v]); err != nil {
				return fmt.Errorf("schema step %d: %w", v+1, err)
			}
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d",
			schema.AppID, len(schema.Steps)))
		return err
	})
}

func (d *DB) version(ctx context.Context, q queryer) (version int, err error) {
	err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// checkOwner refuses a file that something else made.
func (d *DB) checkOwner(ctx context.Context, q queryer, schema Schema) error {
	var app int32
	var tables int
	if err := q.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app); err != nil {
		return d.fail(err, "open")
	}
	if err := q.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return d.fail(err, "open")
	}
	if app == schema.AppID || (app == 0 && tables == 0) {
		return nil
	}
	return errs.WithHint(errs.E(errs.Invalid, "open %s: %s is a database, but not a Spare %s", d.name, d.path, d.name),
		"check the path: this file belongs to something else and was left as it is")
}

func (d *DB) quickCheck(ctx context.Context) error {
	var answer string
	if err := d.writer.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&answer); err != nil {
		return d.fail(err, "open")
	}
	if answer != "ok" {
		return d.damaged(fmt.Errorf("%s", answer))
	}
	return nil
}
