package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/sqlitedb/crashtest"
)

func TestMain(m *testing.M) { crashtest.Main(m, appendUntilKilled) }

// appendUntilKilled appends pairs of entries from several goroutines and
// promises the ID of the first of each pair.
func appendUntilKilled(dir, run string, ack func(string, ...any)) {
	ctx := context.Background()
	j, err := Open(ctx, filepath.Join(dir, "journal.db"), crashOptions())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	failed := make(chan error)
	for w := range 8 {
		go func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%s/%d/%d", run, w, n)
				got, err := j.Append(ctx, crashEntry(name, "first"), crashEntry(name, "second"))
				if err != nil {
					failed <- err
					return
				}
				ack("%d %s", got[0].ID, name)
			}
		}()
	}
	fmt.Fprintln(os.Stderr, <-failed)
}

func crashOptions() Options {
	return Options{MaxEntries: 1 << 20, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
}

func crashEntry(name, part string) Entry {
	data, _ := json.Marshal(strings.Repeat(name+" ", 100)) // a string has a JSON form
	return Entry{Kind: KindVerdict, Service: "shop", Message: name + " " + part, Data: data, Dedup: name + part}
}

func TestKillLosesNoAcknowledgedEntry(t *testing.T) {
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	rng := crashtest.Rand(t)
	dir := t.TempDir()
	promised := map[int64]string{}
	for round := range rounds {
		for _, ack := range crashtest.Kill(t, rng, dir, fmt.Sprintf("run-%d", round)) {
			var id int64
			var name string
			if _, err := fmt.Sscanf(ack, "%d %s", &id, &name); err != nil {
				t.Fatalf("promise %q: %v", ack, err)
			}
			if other, ok := promised[id]; ok {
				t.Errorf("ID %d was given to %s and to %s", id, other, name)
			}
			promised[id] = name
		}
		j := openIn(t, dir, crashOptions())
		checkPromises(t, j, promised)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d promises", rounds, len(promised))
}

// checkPromises looks for every promised pair, for pairs torn in two, and for
// holes.
func checkPromises(t *testing.T, j *Journal, promised map[int64]string) {
	t.Helper()
	entries := all(t, j)
	for i, e := range entries {
		if e.ID != int64(i)+1 {
			t.Fatalf("entry %d has ID %d", i+1, e.ID)
		}
		name, part, _ := strings.Cut(e.Message, " ")
		want := crashEntry(name, part)
		if e.Message != want.Message || string(e.Data) != string(want.Data) || e.Service != want.Service {
			t.Fatalf("entry %d is not what was appended: %+v", e.ID, e)
		}
		if part == "second" && (i == 0 || entries[i-1].Message != name+" first") {
			t.Fatalf("entry %d stands without the first of its pair", e.ID)
		}
	}
	if n := len(entries); n%2 != 0 || n > 0 && !strings.HasSuffix(entries[n-1].Message, "second") {
		t.Fatalf("the last pair of %d entries is torn", n)
	}
	for id, name := range promised {
		if id > int64(len(entries)) || entries[id-1].Message != name+" first" {
			t.Fatalf("promise broken: entry %d, %s", id, name)
		}
	}
}
