package replica

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

// away is a provider that answers nothing for as long as the test wants.
type away struct {
	blob.Driver
	now  atomic.Pointer[memblob.Driver] // what is there instead; nil = Driver
	gone atomic.Bool
}

var errAway = errs.E(errs.Unavailable, "nothing answers (by the test)")

func (d *away) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	if d.gone.Load() {
		return nil, errAway
	}
	return d.at().Get(ctx, key, o)
}

func (d *away) at() blob.Driver {
	if now := d.now.Load(); now != nil {
		return now
	}
	return d.Driver
}

func (d *away) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	return d.at().Put(ctx, key, body, size, o)
}

func (d *away) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	return d.at().List(ctx, o)
}

// running opens a bucket whose last member can go away, and keeps it.
func (g *fleet) running(t *testing.T) (b *Bucket, last *away) {
	t.Helper()
	n := len(g.all) - 1
	last = &away{Driver: g.heads[n]}
	b = g.open(t, func(o *Options) { o.Members[n].Heads, o.Timing.Sweep = blob.New(siteNames[n], last), time.Minute })
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return b, last
}

func TestAMemberThatAnswersAgainCatchesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b, last := g.running(t)
		mustPut(t, b, "old", "x")
		time.Sleep(time.Second)
		last.gone.Store(true)
		want := map[string]string{"old": "x"}
		for i := range 20 {
			key := fmt.Sprint("k", i)
			mustPut(t, b, key, "y")
			want[key] = "y"
		}
		// Something that this process knows nothing of: a full repair finds it.
		_ = g.all[2].heads.Delete(t.Context(), headPrefix+"old", blob.DeleteOptions{})
		time.Sleep(10 * time.Minute)
		if n, oldest, _ := b.dirty.behind("paris"); n < 20 || time.Since(oldest) < 9*time.Minute {
			t.Errorf("paris is behind on %d keys since %s", n, time.Since(oldest))
		}
		last.gone.Store(false)
		time.Sleep(3 * b.o.Timing.Sweep)
		if n, _, _ := b.dirty.behind("paris"); n != 0 {
			t.Errorf("paris is still behind on %d keys", n)
		}
		if diff := cmp.Diff(want, g.wantWhole(t)); diff != "" {
			t.Error(diff)
		}
		if s := b.Status(); s.Counts.Repaired == 0 {
			t.Errorf("status is %+v", s)
		}
		// Once is enough.
		lists := mutations(b)["list"]
		time.Sleep(5 * b.o.Timing.Sweep)
		if n := mutations(b)["list"]; n != lists {
			t.Errorf("it lists on: %d, then %d", lists, n)
		}
	})
}

func TestAShortFailureIsMadeUpForWithoutGoingThroughAllKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b, _ := g.running(t)
		time.Sleep(2 * b.o.Timing.Sweep) // a bucket that was opened is gone through once
		before := mutations(b)["list"]
		if _, err := g.heads[2].Inject(faultblob.Fault{Kind: faultblob.Down, Keys: headPrefix + "*", Times: 2}); err != nil {
			t.Fatal(err)
		}
		mustPut(t, b, "k", "x")
		time.Sleep(time.Second)
		if n, _, _ := b.dirty.behind("paris"); n > 1 {
			t.Errorf("paris is behind on %d keys", n)
		}
		time.Sleep(2 * b.o.Timing.Sweep)
		if n, _, _ := b.dirty.behind("paris"); n != 0 {
			t.Errorf("paris is still behind on %d keys", n)
		}
		g.wantWhole(t)
		if n := mutations(b)["list"] - before; n != 0 {
			t.Errorf("%d listings were made", n)
		}
	})
}

func TestAnEmptiedMemberIsFilledByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b, last := g.running(t)
		for i := range 5 {
			mustPut(t, b, fmt.Sprint("k", i), "x")
		}
		time.Sleep(time.Second)
		g.all[2] = stores(1)[0]
		last.now.Store(g.all[2].heads)
		time.Sleep(2 * b.o.Timing.Pulse)
		if !b.members[2].amnesic.Load() {
			t.Fatal("the emptied member is counted")
		}
		time.Sleep(3 * b.o.Timing.Sweep)
		if b.members[2].amnesic.Load() {
			t.Error("the member is still not counted")
		}
		if got := g.wantWhole(t); len(got) != 5 {
			t.Errorf("%d keys", len(got))
		}
	})
}

func TestWhatFailsAgainStaysKnownSinceItsFirstTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "k", "x")
		synctest.Wait()
		b.dirty.add("k", "paris")
		_, since, _ := b.dirty.behind("paris")
		time.Sleep(time.Hour)
		if _, err := g.heads[2].Inject(faultblob.Fault{Kind: faultblob.Down}); err != nil {
			t.Fatal(err)
		}
		if v, err := b.repairKey(t.Context(), "k"); err != nil || len(v.behind) != 1 {
			t.Errorf("repair gives %+v, %v", v, err)
		}
		if n, at, _ := b.dirty.behind("paris"); n != 1 || !at.Equal(since) {
			t.Errorf("paris is behind on %d keys since %s, want since %s", n, at, since)
		}
		g.heal(t)
		time.Sleep(time.Minute)
		if v, err := b.repairKey(t.Context(), "k"); err != nil || len(v.behind) != 0 {
			t.Errorf("repair gives %+v, %v", v, err)
		}
		if n, _, _ := b.dirty.behind("paris"); n != 0 {
			t.Errorf("paris is behind on %d keys", n)
		}
	})
}

func TestAFullRepairThatFailsIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b, last := g.running(t)
		mustPut(t, b, "k", "x")
		time.Sleep(time.Second)
		last.gone.Store(true)
		time.Sleep(2 * b.o.Timing.Sweep)
		// It answers, but not for one key.
		junk := strings.Repeat("x", maxHead+1)
		if _, err := g.all[2].heads.Put(t.Context(), headPrefix+"j", strings.NewReader(junk), int64(len(junk)), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		last.gone.Store(false)
		time.Sleep(3 * b.o.Timing.Sweep)
		first := mutations(b)["list"]
		if first == 0 {
			t.Fatal("no full repair was made")
		}
		time.Sleep(b.o.Timing.Sweep)
		if n := mutations(b)["list"]; n != first {
			t.Error("a full repair that failed is made again at once")
		}
		_ = g.all[2].heads.Delete(t.Context(), headPrefix+"j", blob.DeleteOptions{})
		time.Sleep(2 * fullPause * b.o.Timing.Sweep)
		second := mutations(b)["list"]
		if second == first {
			t.Error("a full repair that failed is not made again")
		}
		time.Sleep(time.Hour)
		if n := mutations(b)["list"]; n != second {
			t.Error("full repairs go on")
		}
	})
}
