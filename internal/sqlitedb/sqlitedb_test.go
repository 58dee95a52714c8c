package sqlitedb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sparecloud/spare/internal/errs"
)

var words = Schema{Name: "words", AppID: 7, Check: true, Steps: []string{"CREATE TABLE word (w TEXT NOT NULL) STRICT"}}

func open(t *testing.T, path string, schema Schema) *DB {
	t.Helper()
	d, err := Open(t.Context(), path, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func add(d *DB, ctx context.Context, word string) error {
	return d.Write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO word VALUES (?)", word)
		return err
	})
}

func count(t *testing.T, d *DB) (n int) {
	t.Helper()
	err := d.Read(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, "SELECT count(*) FROM word").Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWriterSyncsEveryCommit(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "w.db"), words)
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "mmap_size": "0", "cache_size": "-512",
	} {
		var got string
		if err := d.writer.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", pragma, got, err, want)
		}
	}
}

func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "we ird?&#%41.db")
	d := open(t, path, words)
	if err := add(d, t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", p, info, err)
		}
	}
}

func TestFailedWriteChangesNothing(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "w.db"), words)
	boom := errs.E(errs.Conflict, "boom")
	err := d.Write(t.Context(), func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO word VALUES ('a')"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) || !errs.Is(err, errs.Conflict) {
		t.Errorf("got %v, want the error of the function", err)
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d words after a failed write, want none", n)
	}
}

func TestEndedContextWritesNothing(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "w.db"), words)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := add(d, ctx, "a")
	if !errors.Is(err, context.Canceled) || !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) {
		t.Errorf("got %v, want a plain Unavailable", err)
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d words, want none", n)
	}
}

// The disk is at work when the caller loses patience.
func TestSlowWriteIsMaybeApplied(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "w.db"), words)
	ctx, cancel := context.WithCancel(t.Context())
	goOn := make(chan struct{})
	err := d.Write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		cancel()
		<-goOn
		_, err := tx.ExecContext(ctx, "INSERT INTO word VALUES ('late')")
		return err
	})
	if !errs.IsMaybeApplied(err) || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want MaybeApplied", err)
	}
	waiting, stop := context.WithCancel(t.Context())
	stop()
	if err := add(d, waiting, "queued"); err == nil || errs.IsMaybeApplied(err) {
		t.Errorf("got %v from a write that never had its turn, want a plain error", err)
	}
	close(goOn)
	if err := add(d, t.Context(), "next"); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d); n != 2 {
		t.Errorf("%d words, want the late one and the next one", n)
	}
}

func TestChangedTellsOfCommits(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "w.db"), words)
	changed := d.Changed()
	_ = d.Write(t.Context(), func(context.Context, *sql.Tx) error { return errors.New("no") })
	select {
	case <-changed:
		t.Fatal("a failed write was told of")
	default:
	}
	if err := add(d, t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	<-changed
}

func TestWritesTakeTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.db")
	dbs := []*DB{open(t, path, words), open(t, path, words)} // as two processes would
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				if err := add(dbs[i%2], t.Context(), "a"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := count(t, dbs[0]); n != 80 {
		t.Errorf("%d words, want 80", n)
	}
}

func TestFullDiskChangesNothingAndPasses(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "w.db"), words)
	if _, err := d.writer.Exec("PRAGMA max_page_count = 4"); err != nil {
		t.Fatal(err)
	}
	err := add(d, t.Context(), strings.Repeat("x", 1<<20))
	if !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) || !strings.Contains(errs.Hint(err), d.Path()) {
		t.Errorf("got %v, hint %q; want Unavailable with a hint", err, errs.Hint(err))
	}
	if _, err := d.writer.Exec("PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	if err := add(d, t.Context(), "a"); err != nil {
		t.Errorf("after room was made: %v", err)
	}
	if n := count(t, d); n != 1 {
		t.Errorf("%d words, want 1", n)
	}
}

func TestNewerVersionIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.db")
	newer := words
	newer.Steps = append(newer.Steps, "CREATE TABLE other (x) ", "CREATE TABLE third (x)")
	if err := open(t, path, newer).Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), path, words)
	if !errs.Is(err, errs.Unsupported) || errs.Hint(err) == "" || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, hint %q; want Unsupported that names the file", err, errs.Hint(err))
	}
}

func TestOlderVersionIsBroughtUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.db")
	d := open(t, path, words)
	if err := add(d, t.Context(), "kept"); err != nil {
		t.Fatal(err)
	}
	_ = d.Close()
	bad := words
	bad.Steps = append(bad.Steps, "CREATE TABLE other (x); CREATE TABLE word (twice)")
	if _, err := Open(t.Context(), path, bad); err == nil {
		t.Fatal("a step that fails opened")
	}
	newer := words
	newer.Steps = append(newer.Steps, "CREATE TABLE other (x)") // fails if the bad step left anything
	if n := count(t, open(t, path, newer)); n != 1 {
		t.Errorf("%d words, want the one kept", n)
	}
}

func TestForeignFileIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs.db")
	db, err := sql.Open("sqlite", theirs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE precious (x)"); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	ours := filepath.Join(dir, "ours.db")
	_ = open(t, ours, Schema{Name: "other part", AppID: 8, Steps: words.Steps}).Close()
	for _, path := range []string{theirs, ours} {
		before, _ := os.ReadFile(path)
		if _, err := Open(t.Context(), path, words); !errs.Is(err, errs.Invalid) || errs.Hint(err) == "" {
			t.Errorf("%s: got %v, want Invalid with a hint", path, err)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s was changed", path)
		}
	}
	if _, err := Open(t.Context(), dir, words); !errs.Is(err, errs.Invalid) {
		t.Errorf("a folder: got %v, want Invalid", err)
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "no", "such"), words); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a missing folder: got %v, want Unavailable", err)
	}
}

func TestDamageIsNamedAndKept(t *testing.T) {
	damages := map[string]func(t *testing.T, path string){
		"header overwritten": func(t *testing.T, path string) { overwrite(t, path, 0, 100) },
		"page overwritten":   func(t *testing.T, path string) { overwrite(t, path, 4096, 4096) },
		"cut short":          func(t *testing.T, path string) { truncate(t, path, 5000) },
		"cut inside header":  func(t *testing.T, path string) { truncate(t, path, 50) },
		"emptied beside its log": func(t *testing.T, path string) {
			truncate(t, path, 0)
			if err := os.WriteFile(path+"-wal", make([]byte, 5000), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "w.db")
			d := open(t, path, words)
			if err := add(d, t.Context(), strings.Repeat("x", 20000)); err != nil {
				t.Fatal(err)
			}
			_ = d.Close()
			damage(t, path)
			before, _ := os.ReadFile(path)
			_, err := Open(t.Context(), path, words)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "damaged") || !strings.Contains(errs.Hint(err), "aside") {
				t.Errorf("got %v, hint %q; want damage, the file's name and a remedy", err, errs.Hint(err))
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the damaged file was changed")
			}
		})
	}
}

func TestSetAsideKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.db")
	for p, text := range map[string]string{path: "db", path + "-wal": "log"} {
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	to, err := SetAside(path, ".damaged-1")
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]string{to: "db", to + "-wal": "log"} {
		if got, err := os.ReadFile(p); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", p, got, err, want)
		}
	}
	if n := count(t, open(t, path, words)); n != 0 {
		t.Errorf("%d words in the new database", n)
	}
	if _, err := SetAside(path, ".damaged-1"); !errs.Is(err, errs.Conflict) {
		t.Errorf("a taken name: got %v, want Conflict", err)
	}
}

func TestClosedDatabaseSaysSo(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "w.db"), words)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(d, t.Context(), "a"); !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) {
		t.Errorf("write: %v", err)
	}
	err := d.Read(t.Context(), func(context.Context, *sql.Tx) error { return nil })
	if !errs.Is(err, errs.Unavailable) {
		t.Errorf("read: %v", err)
	}
}

func overwrite(t *testing.T, path string, at int64, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, n), at); err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}
