package sqlitestate

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
	"github.com/sparecloud/spare/internal/state/statetest"
)

func openIn(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(dir, "state.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	statetest.Run(t, func(t *testing.T) state.Store { return openIn(t, t.TempDir()) })
}

func TestDurability(t *testing.T) {
	statetest.RunDurable(t, func(t *testing.T, dir string) state.Store { return openIn(t, dir) })
}

func TestLeaseEndsToTheNanosecond(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := openIn(t, dir)
		first, err := s.Lease(t.Context(), "l", "one", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute - time.Nanosecond)
		if _, err := s.Lease(t.Context(), "l", "two", math.MaxInt64); !errs.Is(err, errs.Conflict) {
			t.Fatalf("before its end: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if second, err := s.Lease(t.Context(), "l", "two", math.MaxInt64); err != nil || second <= first {
			t.Fatalf("at its end: %d, %v", second, err)
		}
		time.Sleep(100 * 365 * 24 * time.Hour)
		if _, err := s.Lease(t.Context(), "l", "one", time.Minute); !errs.Is(err, errs.Conflict) {
			t.Fatalf("a very long lease ended: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// A log of few changes forgets the old ones, and says so to those who ask.
func TestLogIsBoundedInChanges(t *testing.T) {
	dir := t.TempDir()
	s := openIn(t, dir)
	s.changes = 5
	txn := func(n int) {
		var ops []state.Op
		for i := range n {
			ops = append(ops, state.Op{Key: fmt.Sprint(i), Expect: state.Any})
		}
		if _, err := s.Txn(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
	}
	wantLog := func(rows int, from map[state.Revision]bool) {
		t.Helper()
		if n := logRows(t, s); n != rows {
			t.Errorf("the log has %d rows, want %d", n, rows)
		}
		for rev, whole := range from {
			if got := watchIsOpen(t, s, rev); got != whole {
				t.Errorf("watch from %d is open: %v, want %v", rev, got, whole)
			}
		}
	}
	txn(3)
	wantLog(3, map[state.Revision]bool{0: true})
	txn(3) // cuts the first transaction in two
	wantLog(5, map[state.Revision]bool{0: false, 1: true})
	txn(8)
	wantLog(5, map[state.Revision]bool{0: false, 1: false, 2: false, 3: true})
	_ = s.Close()
	s = openIn(t, dir)
	wantLog(5, map[state.Revision]bool{2: false, 3: true})
}

func TestLogIsBoundedInBytes(t *testing.T) {
	s := openIn(t, t.TempDir())
	s.logged = 100
	put := func(size int) {
		if _, err := s.Put(t.Context(), "k", make([]byte, size), state.Any); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		put(39) // and a byte of the key
	}
	if n := logRows(t, s); n != 3 { // the first of them reaches back beyond the bound
		t.Errorf("the log has %d rows, want 3", n)
	}
	put(1000)
	if n := logRows(t, s); n != 1 {
		t.Errorf("the log has %d rows, want the newest alone", n)
	}
	if !watchIsOpen(t, s, 10) || watchIsOpen(t, s, 9) {
		t.Error("watches do not begin where the log does")
	}
}

func TestWatchThatFellBehindIsClosed(t *testing.T) {
	s := openIn(t, t.TempDir())
	s.changes = 4
	changes, err := s.Watch(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := s.Put(t.Context(), "k", nil, state.Any); err != nil {
			t.Fatal(err)
		}
	}
	last := state.Revision(0)
	for kv := range changes {
		if kv.Revision != last+1 {
			t.Fatalf("revision %d after %d", kv.Revision, last)
		}
		last = kv.Revision
	}
	if last >= 20 {
		t.Error("the watch missed nothing, so the test shows nothing")
	}
}

func TestWatchLargerThanABatch(t *testing.T) {
	s := openIn(t, t.TempDir())
	for n := range 10 {
		ops := make([]state.Op, state.MaxOps)
		for i := range ops {
			ops[i] = state.Op{Key: fmt.Sprintf("%d/%d", n%2, i), Value: make([]byte, 16<<10), Expect: state.Any}
		}
		if _, err := s.Txn(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
	}
	changes, err := s.Watch(t.Context(), "1/", 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 * state.MaxOps {
		kv := <-changes
		if want := fmt.Sprintf("1/%d", i%state.MaxOps); kv.Key != want || len(kv.Value) != 16<<10 {
			t.Fatalf("change %d is of %q (%d bytes), want %q", i, kv.Key, len(kv.Value), want)
		}
	}
}

func TestDamagedStoreIsRefusedAndKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := openIn(t, filepath.Dir(path))
	for i := range 20 {
		if _, err := s.Put(t.Context(), fmt.Sprint(i), make([]byte, 4096), state.Absent); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(doc); i += 2 { // every page but the first
		doc[i] ^= 0x5a
	}
	if err := os.WriteFile(path, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), path, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), path) || errs.Hint(err) == "" {
		t.Errorf("got %v, hint %q; want an error that names the file, and a hint", err, errs.Hint(err))
	}
	if info, err := os.Stat(path); err != nil || info.Size() != int64(len(doc)) {
		t.Errorf("the damaged file is gone or changed: %v, %v", info, err)
	}
}

func logRows(t *testing.T, s *Store) (rows int) {
	t.Helper()
	batch, _, _, err := s.readLog(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	return len(batch)
}

// watchIsOpen reports whether a watch from the revision goes on.
func watchIsOpen(t *testing.T, s *Store, from state.Revision) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes, err := s.Watch(ctx, "", from)
	if err != nil {
		t.Fatal(err)
	}
	if rev, _ := s.Revision(ctx); rev == from {
		select {
		case <-changes:
			return false
		case <-time.After(10 * time.Millisecond):
			return true
		}
	}
	kv, ok := <-changes
	return ok && kv.Revision == from+1
}

func BenchmarkPut(b *testing.B) {
	s := openIn(b, b.TempDir())
	value := make([]byte, 200)
	for i := 0; b.Loop(); i++ {
		if _, err := s.Put(b.Context(), fmt.Sprint(i%1000), value, state.Any); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := openIn(b, b.TempDir())
	if _, err := s.Put(b.Context(), "k", make([]byte, 200), state.Any); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Get(b.Context(), "k"); err != nil {
			b.Fatal(err)
		}
	}
}
