package statetest

import (
	"context"
	"strconv"
	"sync"
	"testing"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

func testTxnIsAllUnderOneRevision(t *testing.T, s state.Store) {
	old := mustPut(t, s, "old", "1", state.Absent)
	gone := mustPut(t, s, "gone", "1", state.Absent)
	rev := mustTxn(t, s,
		state.Op{Key: "new", Value: []byte("2"), Expect: state.Absent},
		state.Op{Key: "old", Value: []byte("2"), Expect: old},
		state.Op{Key: "gone", Delete: true, Expect: gone},
		state.Op{Key: "never", Delete: true, Expect: state.Any},
	)
	if rev != gone+1 || newest(t, s) != rev {
		t.Errorf("revision %d, newest %d; want both %d", rev, newest(t, s), gone+1)
	}
	for _, key := range []string{"new", "old"} {
		if kv, err := s.Get(t.Context(), key); err != nil || kv.Revision != rev || string(kv.Value) != "2" {
			t.Errorf("%s: %+v, %v; want 2 at %d", key, kv, err, rev)
		}
	}
	wantValue(t, s, "gone", "")
}

// testTxnIsNothingOnConflict puts the op that fails in each place.
func testTxnIsNothingOnConflict(t *testing.T, s state.Store) {
	rev := mustPut(t, s, "k", "1", state.Absent)
	mustPut(t, s, "gone", "1", state.Absent)
	before := newest(t, s)
	good := []state.Op{
		{Key: "new", Value: []byte("x"), Expect: state.Absent},
		{Key: "k", Value: []byte("x"), Expect: rev},
		{Key: "gone", Delete: true, Expect: state.Any},
	}
	bad := []state.Op{
		{Key: "missing", Value: []byte("x"), Expect: rev},
		{Key: "missing", Delete: true, Expect: rev},
		{Key: "missing", Check: true, Expect: rev},
		{Key: "k", Check: true, Expect: state.Absent},
		{Key: "gone", Check: true, Expect: rev},
	}
	for _, fail := range bad {
		for at := range len(good) + 1 {
			ops := append([]state.Op{}, good[:at]...)
			ops = append(append(ops, fail), good[at:]...)
			_, err := s.Txn(t.Context(), ops...)
			wantKind(t, "txn", err, errs.Conflict)
		}
	}
	wantValue(t, s, "new", "")
	wantValue(t, s, "k", "1")
	wantValue(t, s, "gone", "1")
	if now := newest(t, s); now != before {
		t.Errorf("revision moved from %d to %d", before, now)
	}
}

func testTxnChecksAgainstTheStateBefore(t *testing.T, s state.Store) {
	rev := mustPut(t, s, "k", "1", state.Absent)
	mustTxn(t, s,
		state.Op{Key: "k", Value: []byte("2"), Expect: rev},
		state.Op{Key: "k", Check: true, Expect: rev},
		state.Op{Key: "new", Value: []byte("2"), Expect: state.Absent},
		state.Op{Key: "new", Check: true, Expect: state.Absent},
	)
	wantValue(t, s, "k", "2")
	wantValue(t, s, "new", "2")
}

func testTxnWithoutChangeTakesNoRevision(t *testing.T, s state.Store) {
	rev := mustPut(t, s, "k", "1", state.Absent)
	for _, ops := range [][]state.Op{
		nil,
		{{Key: "k", Check: true, Expect: rev}},
		{{Key: "k", Check: true, Expect: state.Any}, {Key: "absent", Check: true, Expect: state.Absent}},
		{{Key: "absent", Delete: true, Expect: state.Any}},
	} {
		if got := mustTxn(t, s, ops...); got != rev || newest(t, s) != rev {
			t.Errorf("%+v gave revision %d, newest %d; want %d", ops, got, newest(t, s), rev)
		}
	}
	wantValue(t, s, "k", "1")
}

// testReadsSeeWholeTransactions moves two records together while others look.
func testReadsSeeWholeTransactions(t *testing.T, s state.Store) {
	write := func(n int) {
		mustTxn(t, s,
			state.Op{Key: "pair/a", Value: []byte(strconv.Itoa(n)), Expect: state.Any},
			state.Op{Key: "pair/b", Value: []byte(strconv.Itoa(n)), Expect: state.Any})
	}
	write(0)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				kvs, err := s.List(t.Context(), "pair/")
				if err != nil || len(kvs) != 2 || string(kvs[0].Value) != string(kvs[1].Value) || kvs[0].Revision != kvs[1].Revision {
					t.Errorf("list: %+v, %v; want two records of one revision", kvs, err)
					return
				}
			}
		})
	}
	for n := range 50 {
		write(n)
	}
	stop()
	wg.Wait()
}
