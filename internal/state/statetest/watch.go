package statetest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

// event is a change in short, for comparing.
func event(kv state.KV) string {
	if kv.Deleted {
		return fmt.Sprintf("%d -%s", kv.Revision, kv.Key)
	}
	return fmt.Sprintf("%d %s=%s", kv.Revision, kv.Key, kv.Value)
}

// wantEvents receives as many changes as are wanted and compares them.
func wantEvents(t *testing.T, changes <-chan state.KV, want ...string) {
	t.Helper()
	var got []string
	for range want {
		kv, ok := receive(t, changes)
		if !ok {
			t.Fatalf("the watch was closed after %q, want %q", got, want)
		}
		if kv.Deleted != (kv.Value == nil) {
			t.Errorf("change %+v: the value must be nil for a deletion, and only then", kv)
		}
		got = append(got, event(kv))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

// wantClosed drains a watch until it is closed.
func wantClosed(t *testing.T, changes <-chan state.KV) {
	t.Helper()
	for {
		if _, ok := receive(t, changes); !ok {
			return
		}
	}
}

func testWatchSendsChangesInOrder(t *testing.T, s state.Store) {
	mustPut(t, s, "a/before", "1", state.Absent)
	changes := mustWatch(t, t.Context(), s, "a/", newest(t, s))
	mustPut(t, s, "a/1", "x", state.Absent)
	mustPut(t, s, "b/1", "x", state.Absent) // not under the prefix
	mustPut(t, s, "a/1", "", state.Any)
	mustTxn(t, s, state.Op{Key: "a/2", Value: []byte("y"), Expect: state.Absent}, state.Op{Key: "b/1", Delete: true, Expect: state.Any})
	_, _ = s.Put(t.Context(), "a/1", nil, state.Absent) // a conflict is no change
	mustDelete(t, s, "a/never", state.Any)
	mustDelete(t, s, "a/1", state.Any)
	wantEvents(t, changes, "2 a/1=x", "4 a/1=", "5 a/2=y", "6 -a/1")
}

func testWatchResumesFromARevision(t *testing.T, s state.Store) {
	var all []string
	for i := range 5 {
		rev := mustPut(t, s, "k", strconv.Itoa(i), state.Any)
		all = append(all, fmt.Sprintf("%d k=%d", rev, i))
	}
	mustDelete(t, s, "k", state.Any)
	all = append(all, "6 -k")
	for from := range all {
		ctx, cancel := context.WithCancel(t.Context())
		changes := mustWatch(t, ctx, s, "", state.Revision(from))
		wantEvents(t, changes, all[from:]...)
		cancel()
		wantClosed(t, changes)
	}
}

// testWatchMissesNothingUnderLoad starts watches while several writers are at
// work: each must see every later change once or more, in order.
func testWatchMissesNothingUnderLoad(t *testing.T, s state.Store) {
	const writers, each, total = 4, 20, 4 * 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := s.Put(t.Context(), fmt.Sprintf("%d/%d", w, i), nil, state.Absent); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 4 {
		wg.Go(func() {
			from, err := s.Revision(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			changes, err := s.Watch(t.Context(), "", from)
			if err != nil {
				t.Error(err)
				return
			}
			for last := from; last < total; {
				kv, ok := <-changes
				if !ok || kv.Revision > last+1 {
					t.Errorf("after revision %d came %d (open: %v)", last, kv.Revision, ok)
					return
				}
				last = max(last, kv.Revision)
			}
		})
	}
	wg.Wait()
}

func testWatchEndsWithItsContext(t *testing.T, s state.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	idle := mustWatch(t, ctx, s, "", 0)
	mustPut(t, s, "k", "1", state.Absent)
	pending := mustWatch(t, ctx, s, "", 0)
	cancel()
	wantClosed(t, idle)
	wantClosed(t, pending)
	if changes, err := s.Watch(ctx, "", 0); err == nil {
		wantClosed(t, changes)
	} else {
		wantKind(t, "watch with an ended context", err, errs.Unavailable)
	}
}

func testWatchEndsWithTheStore(t *testing.T, s state.Store) {
	mustPut(t, s, "k", "1", state.Absent)
	idle := mustWatch(t, t.Context(), s, "", newest(t, s))
	pending := mustWatch(t, t.Context(), s, "", 0)
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	wantClosed(t, idle)
	wantClosed(t, pending)
}

func testWatchFromTheFutureIsClosed(t *testing.T, s state.Store) {
	mustPut(t, s, "k", "1", state.Absent)
	for _, from := range []state.Revision{2, 1 << 40, 1 << 63, state.Any} {
		wantClosed(t, mustWatch(t, t.Context(), s, "", from))
	}
}

// testSlowWatchHasNoGap leaves a watch alone while more changes pass than any
// store needs to keep. It may then be sent them all, or be closed, but never
// skip one.
func testSlowWatchHasNoGap(t *testing.T, s state.Store) {
	const transactions = 100
	changes := mustWatch(t, t.Context(), s, "", 0)
	ops := make([]state.Op, state.MaxOps)
	for i := range ops {
		ops[i] = state.Op{Key: strconv.Itoa(i), Value: []byte("v"), Expect: state.Any}
	}
	for range transactions {
		mustTxn(t, s, ops...)
	}
	counts := map[state.Revision]int{}
	for len(counts) < transactions || counts[transactions] < len(ops) {
		kv, ok := receive(t, changes)
		if !ok {
			break
		}
		counts[kv.Revision]++
		if before := kv.Revision - 1; before > 0 && counts[before] < len(ops) {
			t.Fatalf("revision %d came after %d of %d changes of the one before", kv.Revision, counts[before], len(ops))
		}
	}
	// Whoever was closed out can begin again from the present.
	next := mustWatch(t, t.Context(), s, "", newest(t, s))
	rev := mustPut(t, s, "next", "v", state.Absent)
	wantEvents(t, next, fmt.Sprintf("%d next=v", rev))
}
