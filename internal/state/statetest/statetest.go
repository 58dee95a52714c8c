// Package statetest is the conformance suite of [state.Store]. Every
// implementation passes [Run]; one that keeps its records on disk passes
// [RunDurable] too.
//
//	func TestStore(t *testing.T) {
//		statetest.Run(t, func(t *testing.T) state.Store { return memstate.New() })
//	}
package statetest

import (
	"context"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

// patience bounds every wait for something that must come. It is long, so that
// only a store that never gets there fails, however busy the machine.
const patience = 30 * time.Second

// Run checks the stores that open gives against the contract. Each is empty
// and used by one test; Run closes it.
func Run(t *testing.T, open func(t *testing.T) state.Store) {
	tests := []struct {
		name string
		test func(t *testing.T, s state.Store)
	}{
		{"GetGivesWhatWasPut", testGetGivesWhatWasPut},
		{"AbsentKeyIsNotFound", testAbsentKeyIsNotFound},
		{"BytesBelongToTheCaller", testBytesBelongToTheCaller},
		{"KeysAreBytes", testKeysAreBytes},
		{"PutComparesRevisions", testPutComparesRevisions},
		{"DeleteComparesRevisions", testDeleteComparesRevisions},
		{"DeletedKeyIsAbsent", testDeletedKeyIsAbsent},
		{"ListIsOrderedAndBounded", testListIsOrderedAndBounded},
		{"LimitsAreKept", testLimitsAreKept},
		{"RevisionsGrowByOne", testRevisionsGrowByOne},
		{"TxnIsAllUnderOneRevision", testTxnIsAllUnderOneRevision},
		{"TxnIsNothingOnConflict", testTxnIsNothingOnConflict},
		{"TxnChecksAgainstTheStateBefore", testTxnChecksAgainstTheStateBefore},
		{"TxnWithoutChangeTakesNoRevision", testTxnWithoutChangeTakesNoRevision},
		{"ConcurrentIncrementsLoseNothing", testConcurrentIncrementsLoseNothing},
		{"ConcurrentCreatorsHaveOneWinner", testConcurrentCreatorsHaveOneWinner},
		{"ReadsSeeWholeTransactions", testReadsSeeWholeTransactions},
		{"EndedContextChangesNothing", testEndedContextChangesNothing},
		{"ClosedStoreIsUnavailable", testClosedStoreIsUnavailable},
		{"WatchSendsChangesInOrder", testWatchSendsChangesInOrder},
		{"WatchResumesFromARevision", testWatchResumesFromARevision},
		{"WatchMissesNothingUnderLoad", testWatchMissesNothingUnderLoad},
		{"WatchEndsWithItsContext", testWatchEndsWithItsContext},
		{"WatchEndsWithTheStore", testWatchEndsWithTheStore},
		{"WatchFromTheFutureIsClosed", testWatchFromTheFutureIsClosed},
		{"SlowWatchHasNoGap", testSlowWatchHasNoGap},
		{"LeaseHasOneHolder", testLeaseHasOneHolder},
		{"LeaseRenewalKeepsItsToken", testLeaseRenewalKeepsItsToken},
		{"LeaseRunsOut", testLeaseRunsOut},
		{"LeaseRunOutIsAcquiredAnew", testLeaseRunOutIsAcquiredAnew},
		{"ReleasedLeaseIsFree", testReleasedLeaseIsFree},
		{"ReleaseByOthersIsStale", testReleaseByOthersIsStale},
		{"LeaseIsNoRecord", testLeaseIsNoRecord},
		{"LeaseInputIsChecked", testLeaseInputIsChecked},
		{"ConcurrentLeasesHaveOneHolder", testConcurrentLeasesHaveOneHolder},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			tt.test(t, s)
		})
	}
}

// RunDurable checks that what a store has acknowledged is there when it is
// opened again. open opens the store that lives in dir.
func RunDurable(t *testing.T, open func(t *testing.T, dir string) state.Store) {
	tests := []struct {
		name string
		test func(t *testing.T, reopen func() state.Store)
	}{
		{"RecordsSurviveReopen", testRecordsSurviveReopen},
		{"RevisionsNeverRepeat", testRevisionsNeverRepeat},
		{"LeasesSurviveReopen", testLeasesSurviveReopen},
		{"WatchSurvivesReopen", testWatchSurvivesReopen},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			var s state.Store
			shut := func() {
				if s == nil {
					return
				}
				if err := s.Close(); err != nil {
					t.Fatalf("close: %v", err)
				}
			}
			t.Cleanup(shut)
			tt.test(t, func() state.Store {
				shut()
				s = open(t, dir)
				return s
			})
		})
	}
}

func mustPut(t *testing.T, s state.Store, key, value string, expect state.Revision) state.Revision {
	t.Helper()
	kv, err := s.Put(t.Context(), key, []byte(value), expect)
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	if kv.Key != key || string(kv.Value) != value || kv.Deleted {
		t.Fatalf("put %q gave %+v", key, kv)
	}
	return kv.Revision
}

func mustDelete(t *testing.T, s state.Store, key string, expect state.Revision) {
	t.Helper()
	if err := s.Delete(t.Context(), key, expect); err != nil {
		t.Fatalf("delete %q: %v", key, err)
	}
}

func mustTxn(t *testing.T, s state.Store, ops ...state.Op) state.Revision {
	t.Helper()
	rev, err := s.Txn(t.Context(), ops...)
	if err != nil {
		t.Fatalf("txn: %v", err)
	}
	return rev
}

func mustLease(t *testing.T, s state.Store, name, holder string, ttl time.Duration) state.Revision {
	t.Helper()
	token, err := s.Lease(t.Context(), name, holder, ttl)
	if err != nil {
		t.Fatalf("lease %q for %s: %v", name, holder, err)
	}
	return token
}

func newest(t *testing.T, s state.Store) state.Revision {
	t.Helper()
	rev, err := s.Revision(t.Context())
	if err != nil {
		t.Fatalf("revision: %v", err)
	}
	return rev
}

// wantValue checks what is under key; "" means absent.
func wantValue(t *testing.T, s state.Store, key, want string) {
	t.Helper()
	kv, err := s.Get(t.Context(), key)
	switch {
	case want == "" && !errs.Is(err, errs.NotFound):
		t.Errorf("get %q: %+v, %v; want NotFound", key, kv, err)
	case want != "" && (err != nil || string(kv.Value) != want):
		t.Errorf("get %q: %q, %v; want %q", key, kv.Value, err, want)
	}
}

// wantKind checks the kind of an error that is no outcome left open.
func wantKind(t *testing.T, what string, err error, kind errs.Kind) {
	t.Helper()
	if !errs.Is(err, kind) || errs.IsMaybeApplied(err) {
		t.Errorf("%s: got %v, want a plain error of kind %s", what, err, kind)
	}
}

// receive gives the next change of a watch, ok false when it was closed.
func receive(t *testing.T, changes <-chan state.KV) (state.KV, bool) {
	t.Helper()
	select {
	case kv, ok := <-changes:
		return kv, ok
	case <-time.After(patience):
		t.Fatal("the watch is silent")
		return state.KV{}, false
	}
}

func mustWatch(t *testing.T, ctx context.Context, s state.Store, prefix string, from state.Revision) <-chan state.KV {
	t.Helper()
	changes, err := s.Watch(ctx, prefix, from)
	if err != nil {
		t.Fatalf("watch %q from %d: %v", prefix, from, err)
	}
	return changes
}
