package failover

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/route"
)

func TestTrafficLeavesADeadSiteAndComesBack(t *testing.T) {
	simulate(t, service(nil, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		w.kill("a")
		n.want(time.Second, "b* up, a down")
		n.wantEntry(journal.KindVerdict, "shop@a is down (refused)")
		n.wantEntry(journal.KindSwitch, "traffic of shop moved from a to b: a is down: refused")
		w.revive("a")
		n.want(5*time.Second, "b* up, a up")
		n.want(10*time.Second, "a* up, b up")
		n.wantEntry(journal.KindSwitch, "moved from b to a: failback: a is up again")
		if len(n.switched()) != 2 || n.switched()[0].Hard || n.switched()[0].To != "b" {
			t.Errorf("switches: %+v", n.switched())
		}
	})
}

func TestManualFailbackWaitsForAPerson(t *testing.T) {
	simulate(t, service(manual, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		ctx := context.Background()
		n.want(time.Second, "a* up, b up")
		if err := n.c.Failback(ctx, "shop", "ann", ""); !errs.Is(err, errs.Conflict) {
			t.Errorf("failback of what is at home: %v", err)
		}
		w.kill("a")
		n.want(time.Second, "b* up, a down")
		if err := n.c.Failback(ctx, "shop", "ann", ""); !errs.Is(err, errs.Conflict) {
			t.Errorf("failback to a dead site: %v", err)
		}
		w.revive("a")
		n.want(10*time.Minute, "b* up, a up")
		if err := n.c.Failback(ctx, "shop", "ann", "tested"); err != nil {
			t.Fatal(err)
		}
		n.want(0, "a* up, b up")
		n.wantEntry(journal.KindSwitch, "failback by hand: tested")
		n.want(10*time.Minute, "a* up, b up")
	})
}

func TestAFlappingSiteIsNotReturnedTo(t *testing.T) {
	simulate(t, service(nil, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		for range 20 {
			w.kill("a")
			time.Sleep(3 * time.Second)
			w.revive("a")
			time.Sleep(6 * time.Second)
		}
		synctest.Wait()
		if len(n.switched()) != 1 {
			t.Errorf("%d switches, want the first one only: %+v", len(n.switched()), n.switched())
		}
	})
}

func TestARestartResurrectsNothing(t *testing.T) {
	simulate(t, service(nil, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		w.kill("a")
		n.want(time.Second, "b* up, a down")
		n.stop()
		again := w.start("one", nil)
		again.want(50*time.Millisecond, "b* up, a down")
		again.want(30*time.Second, "b* up, a down")
		if len(again.switched()) != 0 || again.published()[0].Epoch <= n.c.Table().Epoch {
			t.Errorf("after the restart: switches %+v, first epoch %d after %d", again.switched(), again.published()[0].Epoch, n.c.Table().Epoch)
		}
		for _, table := range again.published() {
			if a, _ := originOf(serviceOf(table, "shop"), "a"); a.State != route.Down {
				t.Errorf("table %d has the dead origin %s", table.Epoch, a.State)
			}
		}
		// The same without the store, from the table that a data process has.
		w.store.setAway(true)
		again.stop()
		third := w.start("one", again.c.Table())
		third.want(50*time.Millisecond, "b* up, a down")
		if third.published()[0].Epoch <= again.c.Table().Epoch {
			t.Errorf("epoch %d after %d", third.published()[0].Epoch, again.c.Table().Epoch)
		}
	})
}

func TestRoutingAwayNeedsNoStore(t *testing.T) {
	simulate(t, service(nil, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		w.store.setAway(true)
		n.setDeaf(true)
		for range 8 { // more tables than one block of epochs holds
			w.kill("a")
			n.want(2*time.Second, "b* up, a down")
			w.revive("a")
			time.Sleep(11 * time.Minute)
			synctest.Wait()
		}
		if n.c.Status().Store == "" {
			t.Error("status does not tell of the store's absence")
		}
		w.store.setAway(false)
		n.setDeaf(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := n.c.Status().Store; s != "" {
			t.Errorf("the store is back, status says %q", s)
		}
		n.wantEntry(journal.KindSwitch, "moved from a to b")
		n.stop()
		again := w.start("one", nil)
		again.want(time.Second, "a* up, b up")
		if again.published()[0].Epoch <= n.c.Table().Epoch {
			t.Errorf("epoch %d after %d", again.published()[0].Epoch, n.c.Table().Epoch)
		}
	})
}

func TestDrainIsObeyedAndEnds(t *testing.T) {
	simulate(t, service(nil, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		ctx := context.Background()
		n.want(time.Second, "a* up, b up")
		o := Override{Service: "shop", Site: "a", Actor: "ann", Reason: "kernel upgrade", Until: time.Now().Add(time.Minute)}
		if err := n.c.Drain(ctx, o); err != nil {
			t.Fatal(err)
		}
		if got := n.now(); got != "b* up, a drained" {
			t.Errorf("when Drain returns the routing is %q", got)
		}
		n.want(0, "b* up, a drained")
		n.wantEntry(journal.KindOperator, "drain of shop@a set by ann until")
		n.wantEntry(journal.KindSwitch, "a is drained: kernel upgrade")
		last := Override{Kind: KindDrain, Service: "shop", Site: "b", Actor: "ann"}
		if err := n.c.MaySet(ctx, last); !errs.Is(err, errs.Conflict) {
			t.Errorf("asked before: %v", err)
		}
		err := n.c.Drain(ctx, last)
		if !errs.Is(err, errs.Conflict) || errs.Hint(err) == "" {
			t.Errorf("drain of the last origin: %v", err)
		}
		n.want(50*time.Second, "b* up, a drained")
		o.Until = time.Now().Add(time.Minute)
		if err := n.c.Drain(ctx, o); err != nil {
			t.Fatal(err)
		}
		n.want(0, "b* up, a drained")
		n.wantEntry(journal.KindOperator, "renewed by ann")
		n.want(55*time.Second, "b* up, a drained")
		n.want(6*time.Second, "b* up, a up")
		n.wantEntry(journal.KindOverride, "drain of shop@a that ann set ended by itself")
		n.want(11*time.Second, "a* up, b up")
		if kvs, _ := w.store.List(ctx, overridePrefix); len(kvs) != 0 {
			t.Errorf("left in the store: %v", kvs)
		}
		if err := n.c.Undrain(ctx, o); !errs.Is(err, errs.NotFound) {
			t.Errorf("undrain of what is not drained: %v", err)
		}
	})
}

func TestUndrainAndOverridesSurviveARestart(t *testing.T) {
	simulate(t, service(nil, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		ctx := context.Background()
		n.want(time.Second, "a* up, b up")
		if err := n.c.Drain(ctx, Override{Service: "shop", Site: "a", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		n.stop()
		n = w.start("one", nil)
		n.want(time.Second, "b* up, a drained")
		if err := n.c.Undrain(ctx, Override{Service: "shop", Site: "a", Actor: "bob"}); err != nil {
			t.Fatal(err)
		}
		n.want(0, "b* up, a up")
		n.wantEntry(journal.KindOperator, "drain of shop@a ended by bob")
	})
}

func TestAnOverrideOfAnEndingKindIsRefused(t *testing.T) {
	simulate(t, service(nil, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		for name, tt := range map[string]struct {
			o    Override
			want errs.Kind
		}{
			"too long":   {Override{Service: "shop", Site: "a", Actor: "ann", Until: time.Now().Add(8 * 24 * time.Hour)}, errs.Invalid},
			"past":       {Override{Service: "shop", Site: "a", Actor: "ann", Until: time.Now().Add(-time.Second)}, errs.Invalid},
			"nobody":     {Override{Service: "shop", Site: "a"}, errs.Invalid},
			"no service": {Override{Service: "mill", Site: "a", Actor: "ann"}, errs.NotFound},
			"no site":    {Override{Service: "shop", Site: "z", Actor: "ann"}, errs.NotFound},
		} {
			if err := n.c.Drain(context.Background(), tt.o); !errs.Is(err, tt.want) {
				t.Errorf("%s: %v, want %s", name, err, tt.want)
			}
		}
		w.store.setAway(true)
		if err := n.c.Drain(context.Background(), Override{Service: "shop", Site: "a", Actor: "ann"}); !errs.Is(err, errs.Unavailable) {
			t.Errorf("without a store: %v", err)
		}
		n.want(0, "a* up, b up")
	})
}

func TestAFreezeHoldsThroughAnOutage(t *testing.T) {
	simulate(t, service(nil, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		ctx := context.Background()
		n.want(time.Second, "a* up, b up")
		if err := n.c.Freeze(ctx, Override{Service: "shop", Actor: "ann", Until: time.Now().Add(10 * time.Minute)}); err != nil {
			t.Fatal(err)
		}
		epoch := n.c.Table().Epoch
		w.kill("a")
		n.want(time.Minute, "a* up, b up")
		if n.c.Table().Epoch != epoch {
			t.Error("a frozen service made a new table")
		}
		n.stop()
		n = w.start("one", nil)
		n.want(time.Minute, "a* up, b up")
		if err := n.c.Failback(ctx, "shop", "ann", ""); !errs.Is(err, errs.Conflict) {
			t.Errorf("failback of a frozen service: %v", err)
		}
		if err := n.c.Drain(ctx, Override{Service: "shop", Site: "a", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		n.want(0, "b* up, a drained")
		if err := n.c.Undrain(ctx, Override{Service: "shop", Site: "a", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		n.want(0, "a* up, b up")
		n.want(9*time.Minute, "b* up, a down")
		n.wantEntry(journal.KindOverride, "freeze of shop that ann set ended by itself")
	})
}

func TestAnEpochAboveOursMakesANewTable(t *testing.T) {
	simulate(t, service(nil, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		n.c.Event(health.Event{Kind: health.Tabled, Epoch: 5000, Source: "x", Seq: 1})
		n.want(time.Second, "a* up, b up")
		if got := n.c.Table().Epoch; got <= 5000 {
			t.Errorf("epoch %d, the data process has 5000", got)
		}
		tables := len(n.published())
		n.c.AtLeast(5000)
		n.c.Event(health.Event{Kind: health.Tabled, Epoch: n.c.Table().Epoch, Source: "x", Seq: 2})
		n.want(time.Minute, "a* up, b up")
		if len(n.published()) != tables {
			t.Errorf("%d more tables for an epoch that is reached", len(n.published())-tables)
		}
		// A process that comes with our number may have another table.
		n.c.AtLeast(n.c.Table().Epoch)
		n.want(time.Minute, "a* up, b up")
		if len(n.published()) != tables+1 {
			t.Errorf("%d more tables for one hello", len(n.published())-tables)
		}
	})
}

func TestAReloadKeepsVerdictsOfWhatDidNotChange(t *testing.T) {
	simulate(t, service(nil, "a", "b"), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		w.kill("a")
		n.want(2*time.Second, "b* up, a down")
		next := service(func(s *estate.Service) { s.SpareReads = true; s.Origins[1].URL = "http://new.example.com" }, "a", "b")
		next.Digest = "d2"
		n.c.Load(next)
		synctest.Wait()
		if table := n.c.Table(); table.Estate != "d2" || !table.Services[0].SpareReads || show(table) != "b* unknown, a down" {
			t.Errorf("after the reload: %s of %s", show(table), table.Estate)
		}
		if v := n.c.Status().Services[0].Origins[0].Verdict; v.State != health.Down {
			t.Errorf("the verdict about a is forgotten: %+v", v)
		}
		n.want(time.Second, "b* up, a down")
	})
}

func TestEntriesAreBoundedAndTheGapIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{deaf: true}
		r := newRecorder(n, discard(), "one")
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.run(ctx) }()
		for range maxEntries + 7 {
			r.add(journal.Entry{Kind: journal.KindTable})
		}
		n.setDeaf(false)
		time.Sleep(time.Minute)
		r.add(journal.Entry{Kind: journal.KindTable})
		r.flush(ctx, time.Second)
		if got := len(n.messages(journal.KindTable)); got != maxEntries+1 {
			t.Errorf("%d entries written, want %d", got, maxEntries+1)
		}
		if gap := n.messages(kindGap); len(gap) != 1 || !strings.HasPrefix(gap[0], "7 entries") {
			t.Errorf("gap: %q", gap)
		}
		r.add(journal.Entry{Kind: journal.KindStop})
		cancel()
		if err := <-done; err != nil || len(n.messages(journal.KindStop)) != 1 {
			t.Errorf("the last entry was not written at the end: %v", err)
		}
	})
}

func TestASwampedControllerDropsAndCounts(t *testing.T) {
	w := newWorld(t, service(nil, "a", "b"))
	c := New(Options{Store: w.store, Log: discard()})
	for range maxInputs + 5 {
		c.Result(health.Result{})
	}
	if got := c.dropped.Load(); got != 5 {
		t.Errorf("%d dropped, want 5", got)
	}
}
