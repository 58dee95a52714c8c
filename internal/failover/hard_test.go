package failover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/state"
)

func TestWritesMoveAfterConfirmationAndFence(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		began := time.Now()
		w.kill("a")
		n.want(5*time.Second, "b up, a* down")
		p := n.pending()
		if p.From != "a" || p.To != "b" || p.Blocked != "" || p.Due.Sub(began) < 5*time.Second {
			t.Errorf("pending: %+v", p)
		}
		if len(w.orders()) != 0 {
			t.Error("the hook ran before the confirmation")
		}
		n.want(2*time.Second, "b* up, a down")
		if len(n.switched()) != 1 || !n.switched()[0].Hard || n.switched()[0].Reason != "a is down: refused" {
			t.Errorf("switches: %+v", n.switched())
		}
		fences := n.messages(journal.KindFence)
		if len(fences) != 2 || !strings.Contains(fences[0], "started") || !strings.Contains(fences[1], "shop is fenced at a") {
			t.Errorf("journal: %q", fences)
		}
		n.wantEntry(journal.KindSwitch, "writes of shop moved from a to b")
		w.revive("a")
		n.want(10*time.Minute, "b* up, a up") // failback is by hand
		if err := n.c.Failback(context.Background(), "shop", "ann", ""); err != nil {
			t.Fatal(err)
		}
		n.want(2*time.Second, "a* up, b up")
		if o := w.obeyed()[1]; o.From != "b" || o.To != "a" || o.Epoch <= w.obeyed()[0].Epoch {
			t.Errorf("the way back was fenced by %+v after %+v", o, w.obeyed()[0])
		}
	})
}

func TestAShortOutageMovesNoWrites(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		for range 3 { // together longer than the confirmation
			w.kill("a")
			time.Sleep(3 * time.Second)
			w.revive("a")
			time.Sleep(11 * time.Minute)
		}
		n.want(0, "a* up, b up")
		if len(w.orders()) != 0 {
			t.Errorf("the hook ran: %+v", w.orders())
		}
	})
}

func TestAutomaticFailbackOfWrites(t *testing.T) {
	e := fencedService()
	e.Services[0].Failback = estate.FailbackAuto
	simulate(t, e, func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		w.kill("a")
		n.want(7*time.Second, "b* up, a down")
		w.revive("a")
		n.want(30*time.Second, "b* up, a up") // the least time between two moves
		n.want(40*time.Second, "a* up, b up")
		if len(w.obeyed()) != 2 {
			t.Errorf("fenced: %+v", w.obeyed())
		}
	})
}

func TestWritesWaitForASiteToGoTo(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		w.kill("b")
		w.kill("a")
		n.want(time.Minute, "a* down, b down")
		if p := n.pending(); p.Blocked != "no other origin is up" || p.Reason != "a is down: refused" {
			t.Errorf("pending: %+v", p)
		}
		w.revive("b")
		n.want(6*time.Second, "b* up, a down")
	})
}

func TestADrainMovesWritesWithoutTheLeastTime(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		for i, site := range []estate.SiteID{"a", "b"} {
			o := Override{Service: "shop", Site: site, Actor: "ann", Until: time.Now().Add(10 * time.Second)}
			if err := n.c.Drain(context.Background(), o); err != nil {
				t.Fatal(err)
			}
			time.Sleep(11 * time.Second)
			synctest.Wait()
			if len(w.obeyed()) != i+1 {
				t.Fatalf("after %d drains: %+v", i+1, w.obeyed())
			}
		}
		n.want(0, "a* up, b up")
		if n.switched()[0].Actor != "ann" {
			t.Errorf("the move was attributed to %q", n.switched()[0].Actor)
		}
	})
}

func TestAFreezeKeepsWrites(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		if err := n.c.Freeze(context.Background(), Override{Service: "shop", Actor: "ann", Until: time.Now().Add(time.Minute)}); err != nil {
			t.Fatal(err)
		}
		w.kill("a")
		n.want(50*time.Second, "a* up, b up")
		if p := n.pending(); p.Blocked != "the service is frozen" {
			t.Errorf("pending: %+v", p)
		}
		if err := n.c.Drain(context.Background(), Override{Service: "shop", Site: "a", Actor: "ann"}); !errs.Is(err, errs.Conflict) {
			t.Errorf("drain of the writing site of a frozen service: %v", err)
		}
		n.want(15*time.Second, "b* up, a down") // the outage is confirmed already
	})
}

func TestAFencedMoveThatFailsIsRetriedAndVisible(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		w.setHook(func(fenceOrder) (int, error) { return 500, nil })
		n.want(time.Second, "a* up, b up")
		w.kill("a")
		n.want(20*time.Second, "b up, a* down")
		if p := n.pending(); p.Attempts < 2 || !strings.Contains(p.Blocked, "the hook answered") || p.Retry.IsZero() {
			t.Errorf("pending: %+v", p)
		}
		n.wantEntry(journal.KindFence, "which was not fenced")
		if len(w.orders()) < 2 || w.orders()[0] != w.orders()[1] || len(w.orders()) > 6 {
			t.Errorf("orders: %+v", w.orders())
		}
		w.setHook(nil)
		n.want(31*time.Second, "b* up, a down")
	})
}

func TestAMoveNobodyNeedsIsGivenUp(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		w.setHook(func(fenceOrder) (int, error) { return 500, nil })
		n.want(time.Second, "a* up, b up")
		w.kill("a")
		n.want(8*time.Second, "b up, a* down")
		w.revive("a")
		n.want(40*time.Second, "a* up, b up")
		n.wantEntry(journal.KindFence, "is given up")
		asked := len(w.orders())
		w.setHook(nil)
		n.want(10*time.Minute, "a* up, b up")
		if len(w.orders()) != asked || n.pending() != (Pending{}) {
			t.Errorf("the hook was asked again; pending %+v", n.pending())
		}
	})
}

// TestAnUnclearFenceIsFinished: the hook fenced the site but its answer was
// lost, and the site looks healthy again. Leaving writes there would leave
// them at a fenced site.
func TestAnUnclearFenceIsFinished(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		w.setHook(func(o fenceOrder) (int, error) {
			w.obey(o)
			w.revive("a")
			return 0, errors.New("connection reset")
		})
		n.want(time.Second, "a* up, b up")
		w.kill("a")
		n.want(20*time.Second, "a* up, b up")
		n.wantEntry(journal.KindFence, "may be fenced or not")
		w.setHook(nil)
		n.want(31*time.Second, "b* up, a up")
	})
}

func TestASlowFenceHoldsNothingElseUp(t *testing.T) {
	e := fencedService()
	e.Services[0].Fence.Timeout = time.Minute
	e.Services = append(e.Services, service(func(s *estate.Service) { s.ID = "mill" }, "a", "b").Services[0])
	simulate(t, e, func(t *testing.T, w *world) {
		n := w.start("one", nil)
		w.setHook(func(fenceOrder) (int, error) { time.Sleep(40 * time.Second); return 200, nil })
		n.want(time.Second, "a* up, b up")
		w.kill("a")
		n.want(20*time.Second, "b up, a* down")
		if p := n.pending(); !p.Running {
			t.Errorf("pending: %+v", p)
		}
		began := time.Now()
		if err := n.c.Drain(context.Background(), Override{Service: "mill", Site: "a", Actor: "ann"}); err != nil || time.Since(began) > time.Second {
			t.Errorf("drain beside a slow fence: %v after %s", err, time.Since(began))
		}
		n.want(30*time.Second, "b* up, a down")
	})
}

func TestALostLeaseStopsTheMove(t *testing.T) {
	e := fencedService()
	e.Services[0].Fence.Timeout = time.Minute
	simulate(t, e, func(t *testing.T, w *world) {
		n := w.start("one", nil)
		ctx := context.Background()
		var runs atomic.Int32
		w.setHook(func(fenceOrder) (int, error) {
			if runs.Add(1) == 1 {
				time.Sleep(20 * time.Second)
			}
			return 200, nil
		})
		n.want(time.Second, "a* up, b up")
		w.kill("a")
		n.want(7*time.Second, "b up, a* down")
		if err := w.store.Release(ctx, leaseName, "one"); err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Store.Lease(ctx, leaseName, "another", time.Minute); err != nil {
			t.Fatal(err)
		}
		n.want(30*time.Second, "b up, a* down")
		if p := n.pending(); p.Blocked != "another controller holds the lease" {
			t.Errorf("pending: %+v", p)
		}
		if len(w.orders()) != 1 {
			t.Errorf("the hook was run again without the lease: %+v", w.orders())
		}
		n.wantEntry(journal.KindFence, "lease failover was lost")
		n.want(40*time.Second, "b* up, a down") // the other's lease ran out
	})
}

// TestACommitDemandsTheRecordItBegan: somebody rewrote the decision while the
// hook ran, although the lease seemed ours.
func TestACommitDemandsTheRecordItBegan(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		ctx := context.Background()
		w.setHook(func(o fenceOrder) (int, error) {
			if len(w.orders()) == 1 {
				d := Decision{Service: "shop", Active: "a", Epoch: o.Epoch + 1, At: time.Now().Add(-time.Hour), Actor: "another"}
				if _, err := w.store.Store.Put(ctx, decisionKey("shop"), encode(d), state.Any); err != nil {
					t.Error(err)
				}
			}
			return 200, nil
		})
		n.want(time.Second, "a* up, b up")
		w.kill("a")
		n.want(15*time.Second, "b* up, a down")
		if o := w.orders(); len(o) != 2 || o[1].Epoch <= o[0].Epoch+1 {
			t.Errorf("orders: %+v, want a second one with a newer token", o)
		}
	})
}

// TestALeaseLostForAMomentIsLost: another controller had it in between, and
// what it did then is not known.
func TestALeaseLostForAMomentIsLost(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		w.setHook(func(fenceOrder) (int, error) {
			if len(w.orders()) == 1 {
				ctx := context.Background()
				if err := w.store.Release(ctx, leaseName, "one"); err != nil {
					t.Error(err)
				}
				if _, err := w.store.Lease(ctx, leaseName, "another", time.Millisecond); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second)
			}
			return 200, nil
		})
		n.want(time.Second, "a* up, b up")
		w.kill("a")
		n.want(15*time.Second, "b* up, a down")
		n.wantEntry(journal.KindFence, "lease failover was lost")
		if o := w.orders(); len(o) != 2 || o[0] != o[1] {
			t.Errorf("orders: %+v, want the same one twice", o)
		}
	})
}

func TestHardMovesWaitForTheStore(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		w.store.setAway(true)
		w.kill("a")
		n.want(time.Minute, "b up, a* down")
		if len(w.orders()) != 0 || n.pending().Blocked == "" {
			t.Errorf("orders %+v, pending %+v", w.orders(), n.pending())
		}
		w.store.setAway(false)
		n.want(40*time.Second, "b* up, a down")
	})
}

func TestTheFilesOrderMovesNoWrites(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		next := fencedService()
		next.Digest = "d2"
		slices.Reverse(next.Services[0].Origins)
		n.c.Load(next)
		n.want(time.Minute, "a* up, b up")
		if n.c.Table().Estate != "d2" || len(w.orders()) != 0 {
			t.Errorf("table of %s, hook ran %d times", n.c.Table().Estate, len(w.orders()))
		}
	})
}

func TestAWritingSiteThatLeavesTheFileIsMovedFrom(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		n := w.start("one", nil)
		n.want(time.Second, "a* up, b up")
		next := fencedService()
		next.Digest = "d2"
		next.Services[0].Origins = next.Services[0].Origins[1:]
		n.c.Load(next)
		n.want(time.Second, "a* up, b up")
		n.want(6*time.Second, "b* up")
		n.wantEntry(journal.KindSwitch, "a is no longer in the file")
	})
}

func TestTwoControllersMoveWritesOnce(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		one, two := w.start("one", nil), w.start("two", nil)
		w.setHook(func(fenceOrder) (int, error) { time.Sleep(2 * time.Second); return 200, nil })
		one.want(time.Second, "a* up, b up")
		two.want(0, "a* up, b up")
		w.kill("a")
		one.want(12*time.Second, "b* up, a down")
		two.want(0, "b* up, a down")
		if len(w.orders()) != 1 {
			t.Errorf("the hook ran %d times", len(w.orders()))
		}
		ctx := context.Background()
		w.revive("a")
		time.Sleep(10 * time.Second)
		if err := two.c.Drain(ctx, Override{Service: "shop", Site: "a", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		one.want(0, "b* up, a drained") // an override is everybody's
		if err := one.c.Drain(ctx, Override{Service: "shop", Site: "b", Actor: "bob"}); !errs.Is(err, errs.Conflict) {
			t.Errorf("drain of what another one's drain left: %v", err)
		}
	})
}

// TestTheOtherControllerFinishes: the one that began the move dies with the
// fence running.
func TestTheOtherControllerFinishes(t *testing.T) {
	simulate(t, fencedService(), func(t *testing.T, w *world) {
		one, two := w.start("one", nil), w.start("two", nil)
		one.want(time.Second, "a* up, b up")
		w.store.mu.Lock()
		w.store.crashed = make(chan struct{})
		first := ""
		w.store.hit = func(op, key string, value []byte) fault {
			if first == "" && op == "put" && key == decisionKey("shop") {
				var d Decision
				if json.Unmarshal(value, &d) == nil && d.Pending != nil {
					first = d.Pending.Holder
					return crash
				}
			}
			return fine
		}
		w.store.mu.Unlock()
		w.kill("a")
		<-w.store.crashed
		dead, other := one, two
		if first == "two" {
			dead, other = two, one
		}
		w.revive("a") // and yet the move must be finished
		dead.stop()
		w.store.setAway(false)
		other.want(20*time.Second, "b* up, a up")
		if len(w.obeyed()) != 1 {
			t.Errorf("fenced: %+v", w.obeyed())
		}
	})
}

// TestFailureTable breaks a hard move once at each of its steps in each way,
// and demands that the writes arrive all the same, never without a fence.
func TestFailureTable(t *testing.T) {
	steps := map[string]func(op, key string, value []byte) bool{
		"lease": func(op, _ string, _ []byte) bool { return op == "lease" },
		"token": func(op, key string, _ []byte) bool { return op == "put" && key == epochKey },
		"intent": func(op, key string, value []byte) bool {
			return op == "put" && key == decisionKey("shop") && strings.Contains(string(value), `"pending"`)
		},
		"commit": func(op, key string, value []byte) bool {
			return op == "put" && key == decisionKey("shop") && strings.Contains(string(value), `"active":"b"`)
		},
	}
	faults := map[string]fault{"refused": refused, "unclear": unclear, "deceived": deceived, "crash before": crashed, "crash after": crash}
	for step, match := range steps {
		for name, what := range faults {
			t.Run(step+" "+name, func(t *testing.T) {
				simulate(t, fencedService(), func(t *testing.T, w *world) { breakAt(t, w, match, what) })
			})
		}
	}
}

func breakAt(t *testing.T, w *world, match func(op, key string, value []byte) bool, what fault) {
	n := w.start("one", nil)
	n.want(time.Second, "a* up, b up")
	w.store.mu.Lock()
	hits := 0
	w.store.crashed = make(chan struct{})
	w.store.hit = func(op, key string, value []byte) fault {
		if hits > 0 || !match(op, key, value) {
			return fine
		}
		hits++
		return what
	}
	w.store.mu.Unlock()
	w.kill("a")
	if what == crash || what == crashed {
		<-w.store.crashed
		n.stop()
		w.store.setAway(false)
		n = w.start("one", nil)
	}
	n.want(40*time.Second, "b* up, a down")
	if hits != 1 {
		t.Errorf("the fault struck %d times", hits)
	}
	kv, err := w.store.Get(context.Background(), decisionKey("shop"))
	d, err2 := parseDecision(kv.Key, kv.Value)
	if err != nil || err2 != nil || d.Pending != nil {
		t.Errorf("decision %+v: %v, %v", d, err, err2)
	}
	if n.pending() != (Pending{}) {
		t.Errorf("pending: %+v", n.pending())
	}
}

// TestHookFailureTable is the same for the hook.
func TestHookFailureTable(t *testing.T) {
	for name, hook := range map[string]func(w *world, o fenceOrder) (int, error){
		"says no":                  func(*world, fenceOrder) (int, error) { return 409, nil },
		"no answer":                func(*world, fenceOrder) (int, error) { return 0, errors.New("reset") },
		"obeys without an answer":  func(w *world, o fenceOrder) (int, error) { w.obey(o); return 0, errors.New("reset") },
		"obeys and says no":        func(w *world, o fenceOrder) (int, error) { w.obey(o); return 500, nil },
		"hangs beyond its timeout": func(*world, fenceOrder) (int, error) { time.Sleep(time.Hour); return 0, errors.New("late") },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, fencedService(), func(t *testing.T, w *world) {
				n := w.start("one", nil)
				var runs atomic.Int32
				w.setHook(func(o fenceOrder) (int, error) {
					if runs.Add(1) == 1 {
						return hook(w, o)
					}
					return 200, nil
				})
				n.want(time.Second, "a* up, b up")
				w.kill("a")
				n.want(20*time.Second, "b* up, a down")
				if got := runs.Load(); got != 2 {
					t.Errorf("the hook ran %d times", got)
				}
				if !slices.Equal(w.orders()[:1], w.orders()[1:]) {
					t.Errorf("the second order is another one: %+v", w.orders())
				}
				n.stop()
				time.Sleep(time.Hour) // the hook that hangs ends
			})
		})
	}
}

func TestPlanIsBlockedWithReason(t *testing.T) {
	e := fencedService()
	s := &e.Services[0]
	for _, tt := range []struct {
		name     string
		look     outlook
		verdicts string
		want     string
	}{
		{"nothing to do", outlook{}, "a:up b:up", "none"},
		{"confirmed", outlook{badSince: t0.Add(-5 * time.Second), bad: "a is down"}, "a:down b:up", "a>b in 0s"},
		{"being confirmed", outlook{badSince: t0.Add(-2 * time.Second)}, "a:down b:up", "a>b in 3s"},
		{"moved a while ago", outlook{badSince: t0.Add(-9 * time.Second), dec: Decision{Epoch: 4, At: t0.Add(-20 * time.Second)}}, "a:down b:up", "a>b in 40s"},
		{"by hand", outlook{badSince: t0.Add(-9 * time.Second), byHand: true, dec: Decision{Epoch: 4, At: t0}}, "a:up b:up", "a>b in -4s"},
		{"only degraded ones left", outlook{badSince: t0.Add(-9 * time.Second)}, "a:down b:degraded", "none: no other origin is up"},
		{"only unknown ones left", outlook{badSince: t0.Add(-9 * time.Second)}, "a:down", "none: no other origin is up"},
		{"frozen", outlook{badSince: t0.Add(-9 * time.Second), frozen: true}, "a:down b:up", "a>b in -4s: the service is frozen"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.look
			o.now, o.svc, o.verdicts, o.stable = t0, s, verdicts(t, t0, tt.verdicts), DefaultStable
			o.dec.Active = "a"
			in := Inputs{Now: t0, Verdicts: o.verdicts, Writes: map[estate.ServiceID]estate.SiteID{"shop": "a"}, Last: before(t, e, "a* up, b up")}
			o.table = serviceOf(Decide(e, in), "shop")
			m, due, blocked := o.plan()
			got := "none"
			if m != nil {
				got = fmt.Sprintf("%s>%s in %s", m.From, m.To, due.Sub(t0))
			}
			if blocked != "" {
				got += ": " + blocked
			}
			if got != tt.want {
				t.Errorf("plan is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestMirrorTakesTheNewestWord(t *testing.T) {
	m := newMirror(discard())
	o := drainOf("a", 0, false)
	kv := func(rev state.Revision) state.KV { return state.KV{Key: o.key(), Value: encode(o), Revision: rev} }
	m.apply(kv(5))
	m.apply(state.KV{Key: o.key(), Revision: 7, Deleted: true})
	m.apply(kv(6))
	if len(m.overrides) != 0 {
		t.Error("an old value came back after its deletion")
	}
	m.apply(kv(9))
	m.reset(nil, 8)
	if len(m.overrides) != 1 {
		t.Error("an older reading removed a newer value")
	}
	m.reset(nil, 12)
	if len(m.overrides) != 0 {
		t.Error("a reading without the record left it")
	}
	m.apply(state.KV{Key: decisionKey("shop"), Value: encode(Decision{Service: "shop", Active: "b"}), Revision: 20})
	m.apply(state.KV{Key: decisionKey("shop"), Value: []byte("{"), Revision: 21})
	if m.decisions["shop"].Active != "b" {
		t.Error("an unreadable decision replaced a good one")
	}
}
