package memstate

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
	"github.com/sparecloud/spare/internal/state/statetest"
)

func TestConformance(t *testing.T) {
	statetest.Run(t, func(*testing.T) state.Store { return New() })
}

func TestMisusePanics(t *testing.T) {
	s := New()
	defer func() { _ = s.Close() }()
	var none context.Context
	for name, misuse := range map[string]func(){
		"nil context":         func() { _, _ = s.Get(none, "k") },
		"check with value":    func() { _, _ = s.Txn(t.Context(), state.Op{Key: "k", Check: true, Value: []byte("x")}) },
		"delete with value":   func() { _, _ = s.Txn(t.Context(), state.Op{Key: "k", Delete: true, Value: []byte("x")}) },
		"check and delete":    func() { _, _ = s.Txn(t.Context(), state.Op{Key: "k", Check: true, Delete: true}) },
		"an unknown revision": func() { _, _ = s.Put(t.Context(), "k", nil, 42) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			misuse()
		})
	}
	if _, err := s.Put(t.Context(), "k", nil, state.Absent); err != nil {
		t.Errorf("the store is unusable after misuse: %v", err)
	}
}

func TestLeaseEndsToTheNanosecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		first, err := s.Lease(t.Context(), "l", "one", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if again, err := s.Lease(t.Context(), "l", "one", time.Minute); err != nil || again != first {
			t.Fatalf("renewal: %d, %v", again, err)
		}
		time.Sleep(time.Minute - time.Nanosecond)
		if _, err := s.Lease(t.Context(), "l", "two", time.Minute); !errs.Is(err, errs.Conflict) {
			t.Fatalf("before its end: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if second, err := s.Lease(t.Context(), "l", "two", time.Minute); err != nil || second <= first {
			t.Fatalf("at its end: %d, %v", second, err)
		}
	})
}

func TestWatchThatFellBehindIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		defer func() { _ = s.Close() }()
		behind, err := s.Watch(t.Context(), "", 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2*maxChanges + 1 {
			if _, err := s.Put(t.Context(), strconv.Itoa(i%10), nil, state.Any); err != nil {
				t.Fatal(err)
			}
			if i == 10 {
				synctest.Wait() // now it holds a few and waits for its reader
			}
		}
		n := state.Revision(0)
		for kv := range behind {
			if n++; kv.Revision != n {
				t.Fatalf("revision %d, want %d", kv.Revision, n)
			}
		}
		if n == 0 || n > maxChanges {
			t.Errorf("%d changes were sent before the end", n)
		}
		for from, open := range map[state.Revision]bool{maxChanges: false, maxChanges + 1: true} {
			ctx, cancel := context.WithCancel(t.Context())
			changes, err := s.Watch(ctx, "", from)
			if err != nil {
				t.Fatal(err)
			}
			if kv, ok := <-changes; ok != open || ok && kv.Revision != from+1 {
				t.Errorf("watch from %d: %+v, open %v; want %v", from, kv, ok, open)
			}
			cancel()
		}
	})
}
