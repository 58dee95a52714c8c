package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
)

func openIn(t testing.TB, dir string, opts Options) *Journal {
	t.Helper()
	j, err := Open(t.Context(), filepath.Join(dir, "journal.db"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

func mustAppend(t testing.TB, j *Journal, entries ...Entry) []Entry {
	t.Helper()
	got, err := j.Append(t.Context(), entries...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// note is an entry that is fit to be appended.
func note(format string, args ...any) Entry {
	return Entry{Kind: KindVerdict, Message: fmt.Sprintf(format, args...)}
}

// all gives every entry, oldest first.
func all(t testing.TB, j *Journal) []Entry {
	t.Helper()
	var found []Entry
	q := Query{Oldest: true, Limit: 1000}
	for {
		page, err := j.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, page.Entries...)
		if !page.More {
			return found
		}
		q.After = page.Next
	}
}

func TestAppendCompletesAndKeepsEntries(t *testing.T) {
	dir := t.TempDir()
	j := openIn(t, dir, Options{})
	before := time.Now()
	full := Entry{
		ID: 99, Recorded: before.AddDate(1, 0, 0), // not the caller's to give
		At:   time.Date(2024, 2, 29, 23, 59, 59, 123456789, time.FixedZone("x", -5*3600)),
		Kind: "future_kind", Level: Error, Certainty: Reported, Service: "shop", Site: "virginia",
		Incident: "inc-1", Actor: "ann", Message: "a\x00 \"quoted\" ü\n", Data: json.RawMessage(`{"a": [1, null]}`), Dedup: "d1",
	}
	got := mustAppend(t, j, full, note("bare"))
	want := []Entry{full, {
		ID: 2, At: got[1].Recorded, Kind: KindVerdict, Level: Info, Certainty: Observed, Actor: "spare", Message: "bare",
	}}
	want[0].ID, want[0].At = 1, full.At.UTC()
	for i, e := range got {
		if e.Recorded.Before(before.Round(0)) || e.Recorded.After(time.Now()) || e.Recorded.Location() != time.UTC {
			t.Errorf("entry %d was recorded at %s", e.ID, e.Recorded)
		}
		want[i].Recorded = e.Recorded
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("appended (-want +got):\n%s", diff)
	}
	_ = j.Close()
	j = openIn(t, dir, Options{})
	want[0].Dedup = "" // is not given back
	if diff := cmp.Diff(want, all(t, j)); diff != "" {
		t.Errorf("after reopening (-want +got):\n%s", diff)
	}
	for _, e := range want {
		if got, err := j.Get(t.Context(), e.ID); err != nil || !cmp.Equal(e, got) {
			t.Errorf("get %d: %+v, %v", e.ID, got, err)
		}
	}
	if _, err := j.Get(t.Context(), 3); !errs.Is(err, errs.NotFound) {
		t.Errorf("get of an ID that was not given: %v", err)
	}
	if last := j.Last(t.Context()); last != 2 {
		t.Errorf("last is %d, want 2", last)
	}
}

func TestAppendRefusesWhatCannotBeKept(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	bad := map[string]Entry{
		"no kind":       {Message: "x"},
		"no message":    {Kind: KindStart},
		"level":         {Kind: KindStart, Message: "x", Level: "loud"},
		"certainty":     {Kind: KindStart, Message: "x", Certainty: "guessed"},
		"data":          {Kind: KindStart, Message: "x", Data: json.RawMessage(`{"a":`)},
		"too early":     {Kind: KindStart, Message: "x", At: time.Date(1500, 1, 1, 0, 0, 0, 0, time.UTC)},
		"too late":      {Kind: KindStart, Message: "x", At: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)},
		"long message":  {Kind: KindStart, Message: strings.Repeat("x", MaxEntryBytes)},
		"long data":     {Kind: KindStart, Message: "x", Data: json.RawMessage(`"` + strings.Repeat("x", MaxEntryBytes) + `"`)},
		"long identity": {Kind: KindStart, Message: "x", Dedup: strings.Repeat("x", MaxEntryBytes)},
	}
	for name, e := range bad {
		if _, err := j.Append(t.Context(), note("good"), e, note("good")); !errs.Is(err, errs.Invalid) || errs.IsMaybeApplied(err) {
			t.Errorf("%s: got %v, want Invalid", name, err)
		}
	}
	if _, err := j.Append(t.Context(), make([]Entry, MaxAppend+1)...); !errs.Is(err, errs.Invalid) {
		t.Errorf("too many: got %v, want Invalid", err)
	}
	if got, err := j.Append(t.Context()); got != nil || err != nil {
		t.Errorf("none: %v, %v", got, err)
	}
	if n := len(all(t, j)); n != 0 {
		t.Errorf("%d entries were written", n)
	}
}

func TestAppendSharesNothingWithItsCaller(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	e := note("x")
	e.Data = json.RawMessage(`"good"`)
	got := mustAppend(t, j, e)
	copy(e.Data, `"evil"`)
	if string(got[0].Data) != `"good"` {
		t.Errorf("data is %s", got[0].Data)
	}
}

func TestDedupWritesOnce(t *testing.T) {
	dir := t.TempDir()
	j := openIn(t, dir, Options{})
	named := func(dedup, message string) Entry {
		e := note("%s", message)
		e.Dedup = dedup
		return e
	}
	first := mustAppend(t, j, named("a", "first a"), named("a", "second a"), named("b", "first b"), note("unnamed"), note("unnamed"))
	if !cmp.Equal(first[0], first[1]) {
		t.Errorf("the second a gave %+v, want the first: %+v", first[1], first[0])
	}
	_ = j.Close()
	j = openIn(t, dir, Options{})
	again := mustAppend(t, j, named("b", "second b"), note("new"), named("a", "third a"))
	if !cmp.Equal(again[0], first[2]) || !cmp.Equal(again[2], first[0]) {
		t.Errorf("after reopening: %+v", again)
	}
	var messages []string
	for i, e := range all(t, j) {
		messages = append(messages, e.Message)
		if e.ID != int64(i)+1 {
			t.Errorf("entry %d has ID %d: IDs must have no holes", i+1, e.ID)
		}
	}
	if diff := cmp.Diff([]string{"first a", "first b", "unnamed", "unnamed", "new"}, messages); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestClosedJournalIsUnavailable(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	mustAppend(t, j, note("x"))
	for range 2 {
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := j.Append(t.Context(), note("y")); !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) {
		t.Errorf("append: %v", err)
	}
	if _, err := j.Query(t.Context(), Query{}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("query: %v", err)
	}
	if _, ok := <-j.Subscribe(t.Context(), 0); ok {
		t.Error("a follower of a closed journal was sent something")
	}
}

func TestEndedContextAppendsNothing(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		if _, err := j.Append(ctx, note("x")); !errors.Is(err, context.Canceled) || errs.IsMaybeApplied(err) {
			t.Errorf("append: %v", err)
		}
	}
	if _, err := j.Query(ctx, Query{}); !errors.Is(err, context.Canceled) || !errs.Is(err, errs.Unavailable) {
		t.Errorf("query: %v", err)
	}
	if n := len(all(t, j)); n != 0 {
		t.Errorf("%d entries were written", n)
	}
}

func TestNegativeBoundsAreRefused(t *testing.T) {
	for _, opts := range []Options{{MaxEntries: -1}, {MaxAge: -1}} {
		if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "j"), opts); !errs.Is(err, errs.Invalid) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

// Opening a large journal does not read it all, so damage may show later.
func TestDamageIsNamedWhereverItShows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j := openIn(t, filepath.Dir(path), Options{})
	for i := range 100 {
		mustAppend(t, j, note("%d %s", i, strings.Repeat("x", 3000)))
	}
	_ = j.Close()
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 20 * 4096; i < len(doc); i++ {
		doc[i] ^= 0x5a
	}
	if err := os.WriteFile(path, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	j, err = Open(t.Context(), path, Options{})
	if err == nil {
		defer func() { _ = j.Close() }()
		_, err = j.Query(t.Context(), Query{Limit: 1000})
	}
	if err == nil || !strings.Contains(err.Error(), path) || errs.Hint(err) == "" {
		t.Errorf("got %v, hint %q; want an error that names the file, and a hint", err, errs.Hint(err))
	}
}
