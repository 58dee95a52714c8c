package sqlitestate

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/sqlitedb/crashtest"
	"github.com/sparecloud/spare/internal/state"
)

func TestMain(m *testing.M) { crashtest.Main(m, putUntilKilled) }

// putUntilKilled writes pairs of records, each pair in one transaction, from
// several goroutines, and promises each revision.
func putUntilKilled(dir, run string, ack func(string, ...any)) {
	ctx := context.Background()
	s, err := Open(ctx, filepath.Join(dir, "state.db"), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	failed := make(chan error)
	for w := range 4 {
		go func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("%s/%d/%d", run, w, n)
				rev, err := s.Txn(ctx,
					state.Op{Key: "left/" + key, Value: crashValue(key), Expect: state.Absent},
					state.Op{Key: "right/" + key, Value: crashValue(key), Expect: state.Absent},
					state.Op{Key: "passing", Value: []byte(key), Expect: state.Any})
				if err != nil {
					failed <- err
					return
				}
				ack("%d %s", rev, key)
			}
		}()
	}
	fmt.Fprintln(os.Stderr, <-failed)
}

func crashValue(key string) []byte { return []byte(strings.Repeat(key+" ", 100)) }

func TestKillLosesNoAcknowledgedChange(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	rng := crashtest.Rand(t)
	dir := t.TempDir()
	promised := map[string]state.Revision{} // by key
	given := map[state.Revision]string{}
	for round := range rounds {
		run := fmt.Sprintf("run-%d", round)
		for _, ack := range crashtest.Kill(t, rng, dir, run) {
			var rev state.Revision
			var key string
			if _, err := fmt.Sscanf(ack, "%d %s", &rev, &key); err != nil {
				t.Fatalf("promise %q: %v", ack, err)
			}
			if other, ok := given[rev]; ok {
				t.Errorf("revision %d was given to %s and to %s", rev, other, key)
			}
			promised[key], given[rev] = rev, key
		}
		s := openIn(t, dir) // with a check of every page
		checkPromises(t, s, promised)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d promises", rounds, len(promised))
}

// checkPromises looks for every promised pair, and for pairs torn in two.
func checkPromises(t *testing.T, s *Store, promised map[string]state.Revision) {
	t.Helper()
	newest, err := s.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]state.Revision{}
	for _, side := range []string{"left/", "right/"} {
		kvs, err := s.List(t.Context(), side)
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range kvs {
			key := strings.TrimPrefix(kv.Key, side)
			if string(kv.Value) != string(crashValue(key)) || kv.Revision > newest {
				t.Errorf("record %s is not what was put", kv.Key)
			}
			if other, ok := found[key]; side == "right/" && (!ok || other != kv.Revision) {
				t.Errorf("transaction of %s is torn: left at %d, right at %d", key, other, kv.Revision)
			}
			found[key] = kv.Revision
		}
		for key, rev := range promised {
			if found[key] != rev {
				t.Fatalf("promise broken: %s%s at %d, want %d", side, key, found[key], rev)
			}
		}
		if side == "left/" {
			continue
		}
		if n := len(kvs); n != len(found) {
			t.Errorf("%d left halves, %d right halves", len(found), n)
		}
	}
}
