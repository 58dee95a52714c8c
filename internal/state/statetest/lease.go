package statetest

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

func testLeaseHasOneHolder(t *testing.T, s state.Store) {
	mustPut(t, s, "k", "1", state.Absent)
	token := mustLease(t, s, "l", "one", time.Hour)
	if token != 2 || newest(t, s) != 2 {
		t.Errorf("token %d, newest revision %d; want both 2", token, newest(t, s))
	}
	_, err := s.Lease(t.Context(), "l", "two", time.Hour)
	wantKind(t, "a second holder", err, errs.Conflict)
	if err != nil && !strings.Contains(err.Error(), "one") {
		t.Errorf("%q does not name the holder", err)
	}
	if other := mustLease(t, s, "another", "two", math.MaxInt64); other <= token {
		t.Errorf("token %d of a later lease, after %d", other, token)
	}
	if rev := mustPut(t, s, "k", "2", state.Any); rev <= token {
		t.Errorf("a change after token %d took revision %d", token, rev)
	}
}

func testLeaseRenewalKeepsItsToken(t *testing.T, s state.Store) {
	token := mustLease(t, s, "l", "one", time.Hour)
	mustPut(t, s, "k", "1", state.Absent)
	before := newest(t, s)
	for range 3 {
		if again := mustLease(t, s, "l", "one", 2*time.Hour); again != token {
			t.Errorf("renewal gave token %d, want %d", again, token)
		}
	}
	if now := newest(t, s); now != before {
		t.Errorf("renewals moved the revision from %d to %d", before, now)
	}
}

// takeOver asks for the lease until it is free, and says how long after start
// it was.
func takeOver(t *testing.T, s state.Store, name, holder string, start time.Time) (state.Revision, time.Duration) {
	t.Helper()
	for {
		token, err := s.Lease(t.Context(), name, holder, time.Hour)
		if err == nil {
			return token, time.Since(start)
		}
		wantKind(t, "lease", err, errs.Conflict)
		if time.Since(start) > patience {
			t.Fatal("the lease does not run out")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func testLeaseRunsOut(t *testing.T, s state.Store) {
	const ttl = 300 * time.Millisecond
	first := mustLease(t, s, "l", "one", time.Millisecond)
	start := time.Now()
	// A renewal, or a new lease: it counts from now either way.
	first = max(first, mustLease(t, s, "l", "one", ttl))
	second, after := takeOver(t, s, "l", "two", start)
	if after < ttl {
		t.Errorf("the lease was free after %s, want %s", after, ttl)
	}
	if second <= first {
		t.Errorf("token %d after %d", second, first)
	}
	_, err := s.Lease(t.Context(), "l", "one", time.Hour)
	wantKind(t, "the former holder", err, errs.Conflict)
	wantKind(t, "release by the former holder", s.Release(t.Context(), "l", "one"), errs.Stale)
}

func testLeaseRunOutIsAcquiredAnew(t *testing.T, s state.Store) {
	first := mustLease(t, s, "l", "one", time.Millisecond)
	start := time.Now()
	for {
		token := mustLease(t, s, "l", "one", time.Millisecond)
		if token > first {
			break
		}
		if time.Since(start) > patience {
			t.Fatal("a lease that ran out keeps its token")
		}
		time.Sleep(20 * time.Millisecond)
	}
	for time.Since(start) < patience {
		time.Sleep(20 * time.Millisecond)
		if err := s.Release(t.Context(), "l", "one"); err != nil {
			wantKind(t, "release of a lease that ran out", err, errs.Stale)
			return
		}
		mustLease(t, s, "l", "one", time.Millisecond)
	}
	t.Error("a lease that ran out can still be released")
}

func testReleasedLeaseIsFree(t *testing.T, s state.Store) {
	first := mustLease(t, s, "l", "one", time.Hour)
	if err := s.Release(t.Context(), "l", "one"); err != nil {
		t.Fatalf("release: %v", err)
	}
	wantKind(t, "a second release", s.Release(t.Context(), "l", "one"), errs.Stale)
	second := mustLease(t, s, "l", "two", time.Hour)
	if second <= first {
		t.Errorf("token %d after %d", second, first)
	}
}

func testReleaseByOthersIsStale(t *testing.T, s state.Store) {
	wantKind(t, "release of a lease that never was", s.Release(t.Context(), "l", "one"), errs.Stale)
	token := mustLease(t, s, "l", "one", time.Hour)
	wantKind(t, "release by another", s.Release(t.Context(), "l", "two"), errs.Stale)
	if again := mustLease(t, s, "l", "one", time.Hour); again != token {
		t.Errorf("token is %d, want %d", again, token)
	}
}

func testLeaseIsNoRecord(t *testing.T, s state.Store) {
	mustLease(t, s, "l", "one", time.Hour)
	wantValue(t, s, "l", "")
	if kvs, err := s.List(t.Context(), ""); err != nil || len(kvs) != 0 {
		t.Errorf("list: %v, %v; want nothing", kvs, err)
	}
	changes := mustWatch(t, t.Context(), s, "", 0)
	mustPut(t, s, "l", "mine", state.Absent)
	wantEvents(t, changes, "2 l=mine")
	mustDelete(t, s, "l", state.Any)
	_, err := s.Lease(t.Context(), "l", "two", time.Hour)
	wantKind(t, "a lease whose name was a key too", err, errs.Conflict)
}

func testLeaseInputIsChecked(t *testing.T, s state.Store) {
	long := strings.Repeat("x", state.MaxKey+1)
	for _, in := range []struct {
		name, holder string
		ttl          time.Duration
	}{
		{"", "me", time.Hour}, {long, "me", time.Hour}, {"l", "", time.Hour}, {"l", long, time.Hour},
		{"l", "me", 0}, {"l", "me", -time.Second},
	} {
		_, err := s.Lease(t.Context(), in.name, in.holder, in.ttl)
		wantKind(t, "lease", err, errs.Invalid)
	}
	wantKind(t, "release", s.Release(t.Context(), "", "me"), errs.Invalid)
	if rev := newest(t, s); rev != 0 {
		t.Errorf("revision is %d, want 0", rev)
	}
}

func testConcurrentLeasesHaveOneHolder(t *testing.T, s state.Store) {
	var mu sync.Mutex
	var holders []string
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			who := strconv.Itoa(i)
			if _, err := s.Lease(t.Context(), "l", who, time.Hour); err == nil {
				mu.Lock()
				holders = append(holders, who)
				mu.Unlock()
			} else {
				wantKind(t, "a later holder", err, errs.Conflict)
			}
		})
	}
	wg.Wait()
	if len(holders) != 1 {
		t.Errorf("held by %q", holders)
	}
}
