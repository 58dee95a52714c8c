package statetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

func testRecordsSurviveReopen(t *testing.T, reopen func() state.Store) {
	s := reopen()
	mustPut(t, s, "a", "1", state.Absent)
	b := mustPut(t, s, "b", "x\x00\xff", state.Absent)
	mustPut(t, s, "c", "1", state.Absent)
	mustDelete(t, s, "c", state.Any)
	mustPut(t, s, "a", "2", state.Any)
	for range 3 {
		s = reopen()
		if rev := newest(t, s); rev != 5 {
			t.Errorf("newest revision is %d, want 5", rev)
		}
		wantValue(t, s, "a", "2")
		wantValue(t, s, "b", "x\x00\xff")
		wantValue(t, s, "c", "")
	}
	mustPut(t, s, "b", "3", b)
}

// testRevisionsNeverRepeat deletes all there is, so that a store which counts
// from its records begins again.
func testRevisionsNeverRepeat(t *testing.T, reopen func() state.Store) {
	var last state.Revision
	for round := range 4 {
		s := reopen()
		if rev := newest(t, s); rev != last {
			t.Errorf("round %d: newest revision is %d, want %d", round, rev, last)
		}
		rev := mustPut(t, s, "k", "v", state.Absent)
		token := mustLease(t, s, "l", "me", time.Hour)
		if rev <= last || token <= rev {
			t.Errorf("round %d: revision %d and token %d after %d", round, rev, token, last)
		}
		mustDelete(t, s, "k", rev)
		if err := s.Release(t.Context(), "l", "me"); err != nil {
			t.Fatalf("release: %v", err)
		}
		last = newest(t, s)
	}
}

func testLeasesSurviveReopen(t *testing.T, reopen func() state.Store) {
	s := reopen()
	token := mustLease(t, s, "l", "one", time.Hour)
	s = reopen()
	_, err := s.Lease(t.Context(), "l", "two", time.Hour)
	wantKind(t, "another's lease", err, errs.Conflict)
	if again := mustLease(t, s, "l", "one", time.Hour); again != token {
		t.Errorf("renewal gave token %d, want %d", again, token)
	}
}

func testWatchSurvivesReopen(t *testing.T, reopen func() state.Store) {
	s := reopen()
	var all []string
	for i := range 3 {
		all = append(all, fmt.Sprintf("%d k=%d", mustPut(t, s, "k", fmt.Sprint(i), state.Any), i))
	}
	s = reopen()
	mustDelete(t, s, "k", state.Any)
	wantEvents(t, mustWatch(t, t.Context(), s, "", 1), all[1], all[2], "4 -k")
}
