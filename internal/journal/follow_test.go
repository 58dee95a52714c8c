package journal

import (
	"context"
	"sync"
	"testing"
	"time"
)

// next gives a follower's next entry, ok false when it was closed.
func next(t *testing.T, entries <-chan Entry) (Entry, bool) {
	t.Helper()
	select {
	case e, ok := <-entries:
		return e, ok
	case <-time.After(30 * time.Second):
		t.Fatal("the follower is sent nothing")
		return Entry{}, false
	}
}

func wantIDs(t *testing.T, entries <-chan Entry, from, to int64) {
	t.Helper()
	for id := from; id <= to; id++ {
		if e, ok := next(t, entries); !ok || e.ID != id {
			t.Fatalf("got entry %d (open: %v), want %d", e.ID, ok, id)
		}
	}
}

func wantClosed(t *testing.T, entries <-chan Entry) {
	t.Helper()
	if e, ok := next(t, entries); ok {
		t.Fatalf("got entry %d, want a closed channel", e.ID)
	}
}

func TestFollowerGetsThePastAndThePresent(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	for range 5 {
		mustAppend(t, j, notes(50)...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	fromStart, fromMiddle, live := j.Subscribe(ctx, 0), j.Subscribe(ctx, 120), j.Subscribe(ctx, j.Last(ctx))
	wantIDs(t, fromStart, 1, 250)
	wantIDs(t, fromMiddle, 121, 250)
	mustAppend(t, j, notes(3)...)
	for _, f := range []<-chan Entry{fromStart, fromMiddle, live} {
		wantIDs(t, f, 251, 253)
	}
	cancel()
	for _, f := range []<-chan Entry{fromStart, fromMiddle, live} {
		wantClosed(t, f)
	}
}

func notes(n int) []Entry {
	entries := make([]Entry, n)
	for i := range entries {
		entries[i] = note("%d", i)
	}
	return entries
}

func TestFollowersMissNothingUnderLoad(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if _, err := j.Append(t.Context(), note("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			after := j.Last(t.Context())
			entries := j.Subscribe(t.Context(), after)
			for id := after + 1; id <= writers*each; id++ {
				if e, ok := <-entries; !ok || e.ID != id {
					t.Errorf("got entry %d (open: %v), want %d", e.ID, ok, id)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestFollowerThatMissedEntriesIsClosed(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{MaxEntries: 150})
	mustAppend(t, j, notes(120)...)
	slow := j.Subscribe(t.Context(), 0)
	wantIDs(t, slow, 1, 1) // it has read a page by now
	for range 5 {
		mustAppend(t, j, notes(100)...)
	}
	wantIDs(t, slow, 2, followPage)
	wantClosed(t, slow)
	wantClosed(t, j.Subscribe(t.Context(), 300))        // 301 is gone
	wantClosed(t, j.Subscribe(t.Context(), 621))        // 621 was never given
	wantClosed(t, j.Subscribe(t.Context(), -1))         // nor this
	wantIDs(t, j.Subscribe(t.Context(), 470), 471, 620) // the oldest that is left
	wantIDs(t, j.Subscribe(t.Context(), 0), 471, 620)
}

func TestFollowersEndWithTheJournal(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	mustAppend(t, j, notes(3)...)
	idle, pending := j.Subscribe(t.Context(), 3), j.Subscribe(t.Context(), 0)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	wantClosed(t, idle)
	wantClosed(t, pending)
}
