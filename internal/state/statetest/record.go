package statetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

func testGetGivesWhatWasPut(t *testing.T, s state.Store) {
	for _, value := range []string{"one", "two\x00\xff", strings.Repeat("x", state.MaxValue)} {
		rev := mustPut(t, s, "k", value, state.Any)
		kv, err := s.Get(t.Context(), "k")
		if err != nil || kv.Key != "k" || string(kv.Value) != value || kv.Revision != rev || kv.Deleted {
			t.Errorf("got %q (%d bytes) at %d, %v; want %d bytes at %d", kv.Key, len(kv.Value), kv.Revision, err, len(value), rev)
		}
	}
	for _, empty := range [][]byte{nil, {}} {
		if kv, err := s.Put(t.Context(), "empty", empty, state.Any); err != nil || kv.Value == nil {
			t.Errorf("put of no bytes: %+v, %v; want an empty value", kv, err)
		}
		if kv, err := s.Get(t.Context(), "empty"); err != nil || kv.Value == nil || len(kv.Value) != 0 {
			t.Errorf("get of no bytes: %+v, %v; want an empty value that is not nil", kv, err)
		}
	}
}

func testAbsentKeyIsNotFound(t *testing.T, s state.Store) {
	_, err := s.Get(t.Context(), "nowhere")
	wantKind(t, "get", err, errs.NotFound)
	if kvs, err := s.List(t.Context(), ""); err != nil || len(kvs) != 0 {
		t.Errorf("list of an empty store: %v, %v", kvs, err)
	}
	if rev := newest(t, s); rev != 0 {
		t.Errorf("revision of an empty store is %d, want 0", rev)
	}
}

func testBytesBelongToTheCaller(t *testing.T, s state.Store) {
	value := []byte("good")
	put, err := s.Put(t.Context(), "k", value, state.Absent)
	if err != nil {
		t.Fatal(err)
	}
	copy(value, "evil")
	copy(put.Value, "evil")
	got, err := s.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	copy(got.Value, "evil")
	listed, err := s.List(t.Context(), "")
	if err != nil || len(listed) != 1 {
		t.Fatalf("list: %v, %v", listed, err)
	}
	copy(listed[0].Value, "evil")
	first, _ := receive(t, mustWatch(t, t.Context(), s, "", 0))
	copy(first.Value, "evil")
	second, _ := receive(t, mustWatch(t, t.Context(), s, "", 0))
	if string(second.Value) != "good" {
		t.Errorf("a watcher changed what another sees: %q", second.Value)
	}
	wantValue(t, s, "k", "good")
}

func testKeysAreBytes(t *testing.T, s state.Store) {
	keys := []string{"a", "A", "a\x00", "a\x00b", "a%", "a_", "\xff", "\xff\xff", "ü", " ", "'; --"}
	for _, key := range keys {
		mustPut(t, s, key, "of "+key, state.Absent)
	}
	for _, key := range keys {
		wantValue(t, s, key, "of "+key)
	}
}

func testPutComparesRevisions(t *testing.T, s state.Store) {
	_, err := s.Put(t.Context(), "k", nil, state.Absent)
	if err != nil {
		t.Fatalf("absent key with Absent: %v", err)
	}
	_, err = s.Put(t.Context(), "k", []byte("x"), state.Absent)
	wantKind(t, "present key with Absent", err, errs.Conflict)
	rev1 := mustPut(t, s, "k", "1", state.Any)
	other := mustPut(t, s, "other", "1", state.Any)
	rev2 := mustPut(t, s, "k", "2", rev1)
	_, err = s.Put(t.Context(), "k", []byte("x"), rev1)
	wantKind(t, "an older revision", err, errs.Conflict)
	_, err = s.Put(t.Context(), "k", []byte("x"), other)
	wantKind(t, "another key's revision", err, errs.Conflict)
	_, err = s.Put(t.Context(), "absent", []byte("x"), rev2)
	wantKind(t, "absent key with a revision", err, errs.Conflict)
	wantValue(t, s, "absent", "")
	wantValue(t, s, "k", "2")
	mustPut(t, s, "k", "3", state.Any)
	mustPut(t, s, "new", "1", state.Any)
	wantValue(t, s, "k", "3")
}

func testDeleteComparesRevisions(t *testing.T, s state.Store) {
	rev1 := mustPut(t, s, "k", "1", state.Absent)
	rev2 := mustPut(t, s, "k", "2", rev1)
	wantKind(t, "an older revision", s.Delete(t.Context(), "k", rev1), errs.Conflict)
	wantKind(t, "a present key with Absent", s.Delete(t.Context(), "k", state.Absent), errs.Conflict)
	wantKind(t, "an absent key with a revision", s.Delete(t.Context(), "absent", rev2), errs.Conflict)
	wantValue(t, s, "k", "2")
	mustDelete(t, s, "k", rev2)
	wantValue(t, s, "k", "")
	before := newest(t, s)
	mustDelete(t, s, "k", state.Any)
	mustDelete(t, s, "k", state.Absent)
	if now := newest(t, s); now != before {
		t.Errorf("deleting an absent key moved the revision from %d to %d", before, now)
	}
}

func testDeletedKeyIsAbsent(t *testing.T, s state.Store) {
	rev1 := mustPut(t, s, "k", "1", state.Absent)
	mustDelete(t, s, "k", state.Any)
	_, err := s.Put(t.Context(), "k", []byte("x"), rev1)
	wantKind(t, "the revision before the deletion", err, errs.Conflict)
	if kvs, err := s.List(t.Context(), ""); err != nil || len(kvs) != 0 {
		t.Errorf("list: %v, %v; want nothing", kvs, err)
	}
	if rev := mustPut(t, s, "k", "2", state.Absent); rev <= rev1+1 {
		t.Errorf("revision %d after the deletion at %d", rev, rev1+1)
	}
}

func testListIsOrderedAndBounded(t *testing.T, s state.Store) {
	keys := []string{"a", "a/", "a/1", "a/10", "a/2", "a/b/c", "a0", "b", "\xff", "\xff\xff", "\xff\xffa", "A", "a%1", "a_1"}
	for _, key := range keys {
		mustPut(t, s, key, "of "+key, state.Absent)
	}
	slices.Sort(keys)
	for _, prefix := range []string{"", "a", "a/", "a/1", "a/2", "b", "c", "\xff", "\xff\xff", "a%", "a_", strings.Repeat("z", 600)} {
		var want []string
		for _, key := range keys {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		kvs, err := s.List(t.Context(), prefix)
		if err != nil {
			t.Fatalf("list %q: %v", prefix, err)
		}
		var got []string
		for _, kv := range kvs {
			got = append(got, kv.Key)
			if string(kv.Value) != "of "+kv.Key || kv.Revision == 0 {
				t.Errorf("list %q gave %+v", prefix, kv)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("list %q = %q, want %q", prefix, got, want)
		}
	}
}

func testLimitsAreKept(t *testing.T, s state.Store) {
	long := strings.Repeat("k", state.MaxKey)
	mustPut(t, s, long, "x", state.Absent)
	wantValue(t, s, long, "x")
	for _, key := range []string{"", long + "k"} {
		what := fmt.Sprintf("a key of %d bytes", len(key))
		_, err := s.Get(t.Context(), key)
		wantKind(t, "get of "+what, err, errs.Invalid)
		_, err = s.Put(t.Context(), key, nil, state.Any)
		wantKind(t, "put of "+what, err, errs.Invalid)
		wantKind(t, "delete of "+what, s.Delete(t.Context(), key, state.Any), errs.Invalid)
		_, err = s.Txn(t.Context(), state.Op{Key: "fine", Expect: state.Any}, state.Op{Key: key, Expect: state.Any})
		wantKind(t, "txn with "+what, err, errs.Invalid)
	}
	_, err := s.Put(t.Context(), "k", make([]byte, state.MaxValue+1), state.Any)
	wantKind(t, "put of a value that is too long", err, errs.Invalid)
	ops := make([]state.Op, state.MaxOps+1)
	for i := range ops {
		ops[i] = state.Op{Key: strconv.Itoa(i), Expect: state.Any}
	}
	_, err = s.Txn(t.Context(), ops...)
	wantKind(t, "txn with too many ops", err, errs.Invalid)
	mustTxn(t, s, ops[:state.MaxOps]...)
	_, err = s.Txn(t.Context(), state.Op{Key: "twice", Expect: state.Any}, state.Op{Key: "twice", Expect: state.Any, Delete: true})
	wantKind(t, "txn that changes a key twice", err, errs.Invalid)
	wantValue(t, s, "fine", "")
	wantValue(t, s, "twice", "")
}

func testRevisionsGrowByOne(t *testing.T, s state.Store) {
	for i := range state.Revision(5) {
		if rev := mustPut(t, s, "k", "v", state.Any); rev != i+1 || newest(t, s) != rev {
			t.Errorf("put %d took revision %d, and the newest is %d", i+1, rev, newest(t, s))
		}
	}
	_, _ = s.Put(t.Context(), "k", nil, state.Absent) // a conflict
	mustDelete(t, s, "k", state.Any)
	if rev := newest(t, s); rev != 6 {
		t.Errorf("newest revision is %d, want 6", rev)
	}
}

// testConcurrentIncrementsLoseNothing has many counters on one key.
func testConcurrentIncrementsLoseNothing(t *testing.T, s state.Store) {
	const workers, each = 8, 10
	mustPut(t, s, "n", "0", state.Absent)
	var mu sync.Mutex
	given := map[state.Revision]bool{}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				rev, err := increment(t.Context(), s, "n")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				if given[rev] {
					t.Errorf("revision %d was given twice", rev)
				}
				given[rev] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	wantValue(t, s, "n", strconv.Itoa(workers*each))
	if rev := newest(t, s); rev != workers*each+1 {
		t.Errorf("newest revision is %d, want %d", rev, workers*each+1)
	}
}

func increment(ctx context.Context, s state.Store, key string) (state.Revision, error) {
	for {
		kv, err := s.Get(ctx, key)
		if err != nil {
			return 0, err
		}
		n, err := strconv.Atoi(string(kv.Value))
		if err != nil {
			return 0, err
		}
		put, err := s.Put(ctx, key, []byte(strconv.Itoa(n+1)), kv.Revision)
		if !errs.Is(err, errs.Conflict) {
			return put.Revision, err
		}
	}
}

func testConcurrentCreatorsHaveOneWinner(t *testing.T, s state.Store) {
	for round := range 5 {
		var mu sync.Mutex
		var winners []string
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				who := strconv.Itoa(i)
				_, err := s.Put(t.Context(), fmt.Sprint("k", round), []byte(who), state.Absent)
				if err == nil {
					mu.Lock()
					winners = append(winners, who)
					mu.Unlock()
				} else {
					wantKind(t, "a later creator", err, errs.Conflict)
				}
			})
		}
		wg.Wait()
		if len(winners) != 1 {
			t.Fatalf("%d creators won", len(winners))
		}
		wantValue(t, s, fmt.Sprint("k", round), winners[0])
	}
}

func testEndedContextChangesNothing(t *testing.T, s state.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	calls := map[string]func() error{
		"get":      func() error { _, err := s.Get(ctx, "k"); return err },
		"list":     func() error { _, err := s.List(ctx, ""); return err },
		"put":      func() error { _, err := s.Put(ctx, "k", nil, state.Any); return err },
		"delete":   func() error { return s.Delete(ctx, "k", state.Any) },
		"txn":      func() error { _, err := s.Txn(ctx, state.Op{Key: "k", Expect: state.Any}); return err },
		"lease":    func() error { _, err := s.Lease(ctx, "l", "me", patience); return err },
		"release":  func() error { return s.Release(ctx, "l", "me") },
		"revision": func() error { _, err := s.Revision(ctx); return err },
	}
	for what, call := range calls {
		err := call()
		wantKind(t, what, err, errs.Unavailable)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v does not say that the context was cancelled", what, err)
		}
	}
	if rev := newest(t, s); rev != 0 {
		t.Errorf("revision is %d, want 0", rev)
	}
}

func testClosedStoreIsUnavailable(t *testing.T, s state.Store) {
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	_, err := s.Get(t.Context(), "k")
	wantKind(t, "get", err, errs.Unavailable)
	_, err = s.Put(t.Context(), "k", nil, state.Any)
	wantKind(t, "put", err, errs.Unavailable)
	_, err = s.Watch(t.Context(), "", 0)
	wantKind(t, "watch", err, errs.Unavailable)
	_, err = s.Lease(t.Context(), "l", "me", patience)
	wantKind(t, "lease", err, errs.Unavailable)
}
