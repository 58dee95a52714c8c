package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// stall keeps the disk busy until the function that it gives is called.
func stall(t *testing.T, j *Journal) (goOn func()) {
	t.Helper()
	begun, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		err := j.db.Write(context.Background(), func(context.Context, *sql.Tx) error {
			close(begun)
			<-end
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-begun
	var once sync.Once
	goOn = func() { once.Do(func() { close(end); wg.Wait() }) }
	t.Cleanup(goOn)
	return goOn
}

// appendAsync appends in the background and gives the outcome.
func appendAsync(j *Journal, ctx context.Context, e Entry) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := j.Append(ctx, e)
		done <- err
	}()
	return done
}

// occupy has the writer hold a batch of one request while the disk is stalled:
// it is as large as a batch may be, so that none that follows joins it.
func occupy(t *testing.T, j *Journal, ctx context.Context) *request {
	t.Helper()
	r := &request{entries: []Entry{note("being written").normal()}, bytes: batchBytes, done: make(chan error, 1)}
	if err := j.enqueue(ctx, r); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the writer", func() bool { return r.state.Load() == taken })
	return r
}

// eventually waits for something that must come.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for start := time.Now(); !cond(); time.Sleep(time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			t.Fatalf("%s does not come", what)
		}
	}
}

// The disk hangs while one entry is being written and another one waits.
func TestImpatientAppendersLearnWhatIsKnown(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	goOn := stall(t, j)
	ctx1, cancel1 := context.WithCancel(t.Context())
	defer cancel1()
	ctx2, cancel2 := context.WithCancel(t.Context())
	defer cancel2()
	being := occupy(t, j, ctx1)
	waits := appendAsync(j, ctx2, note("waiting"))
	eventually(t, "the second one in the queue", func() bool { return len(j.queue) == 1 })

	cancel1()
	if err := being.wait(ctx1); !errs.IsMaybeApplied(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("the one being written: %v, want MaybeApplied", err)
	}
	cancel2()
	if err := <-waits; errs.IsMaybeApplied(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("the one that waits: %v, want a plain error", err)
	}
	goOn()
	mustAppend(t, j, note("third"))
	got := all(t, j)
	if len(got) != 2 || got[0].Message != "being written" || got[1].Message != "third" {
		t.Errorf("the journal holds %+v", got)
	}
}

func TestCloseWritesWhatWaits(t *testing.T) {
	dir := t.TempDir()
	j := openIn(t, dir, Options{})
	goOn := stall(t, j)
	being := occupy(t, j, t.Context())
	outcomes := []<-chan error{being.done}
	for i := range 9 {
		outcomes = append(outcomes, appendAsync(j, t.Context(), note("%d", i)))
	}
	eventually(t, "a full queue", func() bool { return len(j.queue) == 9 })
	closed := make(chan error, 1)
	go func() { closed <- j.Close() }()
	eventually(t, "the close", func() bool { j.mu.RLock(); defer j.mu.RUnlock(); return j.closed })
	goOn()
	for _, done := range outcomes {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if n := len(all(t, openIn(t, dir, Options{}))); n != 10 {
		t.Errorf("%d entries after closing, want 10", n)
	}
}

func TestAppendersShareACommit(t *testing.T) {
	j := &Journal{queue: make(chan *request, queueLength)}
	send := func(entries, bytes int, state int32) *request {
		r := &request{entries: make([]Entry, entries), bytes: bytes, done: make(chan error, 1)}
		r.state.Store(state)
		j.queue <- r
		return r
	}
	wantBatch := func(want int) {
		t.Helper()
		if got := j.gather(<-j.queue); len(got) != want {
			t.Errorf("a batch of %d requests, want %d", len(got), want)
		}
	}
	for range 64 {
		send(1, 100, waiting)
	}
	wantBatch(64)

	send(1, 1, abandoned)
	send(1, 1, waiting)
	send(1, 1, abandoned)
	wantBatch(1)

	for range 3 {
		send(batchEntries/2, 1, waiting)
	}
	wantBatch(2) // full in entries
	wantBatch(1)
	send(1, batchBytes, waiting)
	send(1, 1, waiting)
	wantBatch(1) // full in bytes
	send(1, 1, waiting)
	close(j.queue)
	wantBatch(2) // and the queue's end ends a batch
}

func TestConcurrentAppendersAllGetTheirOwn(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	var mu sync.Mutex
	given := map[int64]string{}
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			last := int64(0)
			for n := range 10 {
				message := fmt.Sprintf("%d/%d", w, n)
				got, err := j.Append(t.Context(), note("%s", message), note("%s+", message))
				if err != nil || len(got) != 2 || got[0].ID <= last || got[1].ID != got[0].ID+1 || got[0].Message != message {
					t.Errorf("append %s after %d: %+v, %v", message, last, got, err)
					return
				}
				last = got[1].ID
				mu.Lock()
				given[got[0].ID], given[got[1].ID] = message, message+"+"
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	entries := all(t, j)
	if len(entries) != 320 || len(given) != 320 || j.Last(t.Context()) != 320 {
		t.Errorf("%d entries, %d IDs, last %d; want 320 of each", len(entries), len(given), j.Last(t.Context()))
	}
	for _, e := range entries {
		if given[e.ID] != e.Message {
			t.Errorf("entry %d is %q, and was given for %q", e.ID, e.Message, given[e.ID])
		}
	}
}

func TestOldestGoFirstAndIDsAreNeverReused(t *testing.T) {
	dir := t.TempDir()
	const keep = 20
	opts := Options{MaxEntries: keep}
	j := openIn(t, dir, opts)
	for i := range 100 {
		mustAppend(t, j, note("%d", i))
		got := all(t, j)
		if want := min(i+1, keep); len(got) != want || got[len(got)-1].ID != int64(i)+1 || got[0].ID != int64(i+2-want) {
			t.Fatalf("after %d: %d entries, %d to %d", i+1, len(got), got[0].ID, got[len(got)-1].ID)
		}
	}
	_ = j.Close()
	j = openIn(t, dir, Options{MaxAge: 1}) // all of them are too old
	last := mustAppend(t, j, note("new"))[0]
	if last.ID != 101 {
		t.Errorf("ID %d after 100", last.ID)
	}
	for round := range int64(3) {
		_ = j.Close()
		j = openIn(t, dir, Options{MaxAge: 1})
		time.Sleep(time.Microsecond)
		j.trimIdle()
		if n := len(all(t, j)); n != 0 {
			t.Errorf("%d entries are left", n)
		}
		if got := j.Last(t.Context()); got != 101+round {
			t.Errorf("last of an empty journal is %d, want %d", got, 101+round)
		}
		if id := mustAppend(t, j, note("new"))[0].ID; id != 102+round {
			t.Errorf("ID %d after %d", id, 101+round)
		}
	}
}

// A journal that nobody appends to gets shorter all the same, in slices.
func TestAgeIsKeptWhileNobodyAppends(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := openIn(t, dir, Options{MaxAge: 24 * time.Hour})
		defer func() { _ = j.Close() }()
		many := make([]Entry, 2*trimSlice+10)
		for i := range many {
			many[i] = note("%d", i)
		}
		mustAppend(t, j, many...)
		time.Sleep(12 * time.Hour)
		mustAppend(t, j, note("younger"))
		if n := len(all(t, j)); n != len(many)+1 {
			t.Fatalf("%d entries, want all %d", n, len(many)+1)
		}
		time.Sleep(12*time.Hour + 2*trimEvery)
		if got := all(t, j); len(got) != 1 || got[0].Message != "younger" {
			t.Fatalf("%d entries are left, want the younger one alone", len(got))
		}
		time.Sleep(12 * time.Hour)
		if n := len(all(t, j)); n != 0 {
			t.Fatalf("%d entries are left, want none", n)
		}
	})
}

// A bound that was lowered is reached step by step, no step being long.
func TestLoweredBoundIsReachedInSlices(t *testing.T) {
	dir := t.TempDir()
	j := openIn(t, dir, Options{})
	many := make([]Entry, 500)
	for i := range many {
		many[i] = note("%d", i)
	}
	mustAppend(t, j, many...)
	_ = j.Close()
	j = openIn(t, dir, Options{MaxEntries: 10})
	left := len(many)
	for left > 10 {
		mustAppend(t, j, note("next"))
		n := len(all(t, j))
		if n >= left || left-n > 60 {
			t.Fatalf("an append took the journal from %d to %d entries", left, n)
		}
		left = n
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, appenders := range []int{1, 64} {
		b.Run(fmt.Sprintf("appenders=%d", appenders), func(b *testing.B) {
			j := openIn(b, b.TempDir(), Options{})
			e := note("%s", strings.Repeat("x", 100))
			e.Service, e.Site, e.Incident = "shop", "virginia", "inc-1"
			work := make(chan struct{})
			var wg sync.WaitGroup
			for range appenders {
				wg.Go(func() {
					for range work {
						if _, err := j.Append(b.Context(), e); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
		})
	}
}
