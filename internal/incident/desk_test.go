package incident

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/notify"
	"github.com/sparecloud/spare/internal/state"
	"github.com/sparecloud/spare/internal/state/memstate"
)

func TestWholeLifeOfAnIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstate.New(), threeByTwo)
		r.start()
		defer r.stop()
		begin := time.Now().UTC()
		entries, err := r.journal.Append(t.Context(), journal.Entry{At: begin, Kind: journal.KindVerdict, Level: journal.Error,
			Certainty: journal.Observed, Service: "shop", Site: "virginia", Message: "shop@virginia is down"})
		if err != nil {
			t.Fatal(err)
		}
		verdict := entries[0].ID
		r.desk.Event(health.Event{Source: "d1", Seq: 1, At: begin, Kind: health.Ejected, Target: tgt("shop@virginia"), Cause: health.CauseRefused})
		r.desk.Verdict(down("shop@virginia", health.CauseRefused), health.Up)
		time.Sleep(time.Second)
		r.desk.Switched("shop", "virginia", "belgium", time.Now(), "virginia is down")
		r.desk.Traffic("d1", time.Now(), []health.Traffic{{Service: "shop", Requests: 300, Retried: 4}})
		time.Sleep(2 * time.Second)

		in := r.only()
		if in.State != Open || in.Site != "virginia" || !in.Opened.Equal(begin) {
			t.Errorf("got %+v", in)
		}
		if d := cmp.Diff([]string{in.ID + ".opened"}, r.told()); d != "" {
			t.Error(d)
		}
		r.desk.Verdict(up("shop@virginia"), health.Down)
		r.desk.Event(health.Event{Source: "d1", Seq: 2, At: time.Now(), Kind: health.Readmitted, Target: tgt("shop@virginia")})
		time.Sleep(11 * time.Second)

		in = r.only()
		want := Incident{
			ID: in.ID, Title: "shop fails at virginia", Severity: Minor, State: Closed, Site: "virginia",
			Services: []estate.ServiceID{"shop"}, Opened: begin, Closed: begin.Add(13 * time.Second),
			Times: Times{Detected: begin, Ejected: begin, Switched: begin.Add(time.Second), Recovered: begin.Add(3 * time.Second)},
			Causes: []Cause{{Kind: OriginRefuses, Site: "virginia", Service: "shop", Certainty: journal.Inferred, Score: 1, Entries: []int64{verdict},
				Text: "shop at virginia refuses connections: the process or the machine is gone"}},
			Impact: Impact{Counts: Counts{Requests: 300, Retried: 4},
				Services: map[estate.ServiceID]Counts{"shop": {Requests: 300, Retried: 4}}},
			Evidence: []int64{verdict},
		}
		if d := cmp.Diff(want, in); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{in.ID + ".opened", in.ID + ".closed"}, r.told()); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"opened", "monitoring", "closed"}, r.journal.changes(in.ID)); d != "" {
			t.Error(d)
		}
	})
}

func TestNoticeHoldsTheIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstate.New(), threeByTwo)
		r.start()
		r.desk.Verdict(down("shop@virginia", health.CauseTimeout), health.Up)
		time.Sleep(time.Second)
		r.stop()
		n := r.notices[0]
		var in Incident
		if err := json.Unmarshal(n.Incident, &in); err != nil {
			t.Fatal(err)
		}
		if n.Event != notify.IncidentOpened || n.Subject != in.ID || in.Site != "virginia" || in.State != Open {
			t.Errorf("got %+v, %+v", n, in)
		}
	})
}

func TestEntriesAndNoticesWaitForWhoTakesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstate.New(), threeByTwo)
		take := r.opt.Notify
		refuse := true
		r.opt.Notify = func(ctx context.Context, n notify.Notice) error {
			if refuse {
				return errs.E(errs.Unavailable, "outbox down")
			}
			return take(ctx, n)
		}
		r.journal.down = true
		r.start()
		r.desk.Verdict(down("shop@virginia", health.CauseTimeout), health.Up)
		time.Sleep(time.Second)
		r.desk.Verdict(up("shop@virginia"), health.Down)
		time.Sleep(20 * time.Second)
		r.stop()
		in := r.only()
		if in.State != Closed || len(r.told()) > 0 {
			t.Fatalf("state %s, told %v", in.State, r.told())
		}
		r.journal.down, refuse = false, false
		r.start() // the words were kept over a restart
		time.Sleep(2 * time.Second)
		r.stop()
		if d := cmp.Diff([]string{in.ID + ".opened", in.ID + ".closed"}, r.told()); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"opened", "monitoring", "closed"}, r.journal.changes(in.ID)); d != "" {
			t.Error(d)
		}
		if kvs, _ := r.opt.Store.List(t.Context(), openPrefix); len(kvs) > 0 {
			t.Errorf("%d records left open", len(kvs))
		}
	})
}

// story is one fault as its evidence reaches a Desk, a step a second. Levels
// are repeated after a restart, as a prober and a data process do.
type story struct {
	events []health.Event
	down   bool
	counts health.Traffic
}

func (s *story) step(r *rig, i int) {
	now := time.Now()
	switch i {
	case 3:
		s.events = append(s.events, health.Event{Source: "d1", Seq: 1, At: now, Kind: health.Ejected, Target: tgt("shop@virginia"), Cause: health.CauseTimeout})
		r.desk.Event(s.events[0])
	case 4:
		s.down = true
		r.desk.Verdict(down("shop@virginia", health.CauseTimeout), health.Up)
	case 9:
		s.down = false
		r.desk.Verdict(up("shop@virginia"), health.Down)
		s.events = append(s.events, health.Event{Source: "d1", Seq: 2, At: now, Kind: health.Readmitted, Target: tgt("shop@virginia")})
		r.desk.Event(s.events[1])
	}
	s.counts.Requests += 100
	if i >= 2 && i < 5 {
		s.counts.Retried += 7
		s.counts.MaybeApplied++
	}
	s.counts.Service = "shop"
	r.desk.Traffic("d1", now, []health.Traffic{s.counts})
}

// resume tells a new Desk how things stand, and all events again.
func (s *story) resume(r *rig) {
	for _, e := range s.events {
		r.desk.Event(e)
	}
	if s.down {
		r.desk.Verdict(down("shop@virginia", health.CauseTimeout), health.Unknown)
	} else {
		r.desk.Verdict(up("shop@virginia"), health.Unknown)
	}
}

// check demands that the story left exactly one incident that is complete.
func (s *story) check(t *testing.T, r *rig) {
	t.Helper()
	in := r.only()
	if in.State != Closed || in.Site != "virginia" {
		t.Errorf("state %s, site %q", in.State, in.Site)
	}
	got := in.Impact.Counts
	if got.Retried != 21 || got.MaybeApplied != 3 || got.Failed != 0 {
		t.Errorf("impact %+v, want 21 retried, 3 maybe applied", got)
	}
	if got.Requests > s.counts.Requests {
		t.Errorf("impact of %d requests, there were %d", got.Requests, s.counts.Requests)
	}
	if d := cmp.Diff([]string{in.ID + ".opened", in.ID + ".closed"}, r.told()); d != "" {
		t.Error(d)
	}
	// A failed write may delay what is told of it, but nothing is told twice.
	changes := slices.DeleteFunc(r.journal.changes(in.ID), func(c string) bool { return c == "changed" })
	if d := cmp.Diff([]string{"opened", "monitoring", "closed"}, changes); d != "" {
		t.Error(d)
	}
}

func TestKillAtAnyMomentLosesAndDoublesNothing(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for at := 1; at <= 16; at++ {
			t.Run(fmt.Sprintf("write %d, applied %v", at, applied), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					inner := memstate.New()
					st := &faultStore{Store: inner, failAt: at, applied: applied, crash: true}
					r := newRig(t, st, threeByTwo)
					r.start()
					var s story
					for i := range 60 {
						s.step(r, i)
						time.Sleep(time.Second)
						if st.writes() >= at && r.opt.Store == state.Store(st) { // dead from that write on
							r.stop()
							r.opt.Store = inner
							r.start()
							s.resume(r)
						}
					}
					r.stop()
					s.check(t, r)
				})
			})
		}
	}
}

func TestOneFailedWriteLosesAndDoublesNothing(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for at := 1; at <= 16; at++ {
			t.Run(fmt.Sprintf("write %d, applied %v", at, applied), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, &faultStore{Store: memstate.New(), failAt: at, applied: applied}, threeByTwo)
					r.start()
					var s story
					for i := range 60 {
						s.step(r, i)
						time.Sleep(time.Second)
					}
					r.stop()
					s.check(t, r)
				})
			})
		}
	}
}

func TestRestartAtEveryStepKeepsTheIncident(t *testing.T) {
	for at := range 20 {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, memstate.New(), threeByTwo)
				r.start()
				var s story
				for i := range 60 {
					s.step(r, i)
					time.Sleep(time.Second)
					if i == at {
						r.stop()
						time.Sleep(3 * time.Second) // and the process is away for a while
						r.start()
						s.resume(r)
					}
				}
				r.stop()
				s.check(t, r)
			})
		})
	}
}

func TestDownBeforeARestartIsWellOnlyWhenAVerdictSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstate.New(), threeByTwo)
		r.start()
		r.desk.Verdict(down("shop@virginia", health.CauseTimeout), health.Up)
		time.Sleep(time.Second)
		r.stop()
		r.start()
		time.Sleep(time.Hour)
		if in := r.only(); in.State != Open {
			t.Errorf("state %s without any verdict", in.State)
		}
		r.desk.Verdict(up("shop@virginia"), health.Unknown)
		time.Sleep(11 * time.Second)
		if in := r.only(); in.State != Closed {
			t.Errorf("state %s after the verdict", in.State)
		}
		r.stop()
	})
}

func TestAnotherControllersChangeIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstate.New()
		r := newRig(t, st, threeByTwo)
		r.start()
		r.desk.Verdict(down("shop@virginia", health.CauseTimeout), health.Up)
		time.Sleep(time.Second)
		in := r.only()
		if err := st.Delete(t.Context(), openPrefix+in.ID, state.Any); err != nil { // it closed the incident
			t.Fatal(err)
		}
		r.desk.Verdict(down("api@virginia", health.CauseTimeout), health.Up)
		time.Sleep(3 * time.Second)
		got := r.only() // both origins are still down: they have an incident again
		if got.State != Open || len(got.Services) != 2 {
			t.Errorf("got %+v", got)
		}
		r.stop()
	})
}

func TestOldClosedIncidentsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstate.New(), threeByTwo)
		r.opt.Keep = 3
		r.start()
		var last string
		for range 6 {
			r.desk.Verdict(down("shop@virginia", health.CauseTimeout), health.Up)
			time.Sleep(time.Second)
			last = r.list(Open)[0].ID
			r.desk.Verdict(up("shop@virginia"), health.Down)
			time.Sleep(20 * time.Second)
		}
		r.stop()
		l := r.list()
		if len(l) != 3 || l[0].ID != last {
			t.Errorf("%d left, newest %s, want 3 and %s", len(l), l[0].ID, last)
		}
	})
}

func TestCallersAreNeverBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstate.New(), threeByTwo)
		r.desk = New(r.opt) // nobody runs it yet
		for i := range uint64(3 * inboxMax) {
			r.desk.Traffic("d1", time.Now(), []health.Traffic{{Service: "shop", Requests: i}})
			r.desk.Event(health.Event{Source: "d1", Seq: i + 1, At: time.Now(), Kind: health.Readmitted, Target: tgt("shop@virginia")})
		}
		r.desk.Verdict(down("shop@virginia", health.CauseTimeout), health.Up)
		if n := len(r.desk.in.queue) + len(r.desk.in.spill); n > inboxMax+10 {
			t.Errorf("%d messages wait", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = r.desk.Run(ctx) }()
		time.Sleep(time.Second)
		cancel()
		<-done
		if in := r.only(); in.Site != "virginia" {
			t.Errorf("the last verdict was lost: %+v", in)
		}
		if got, want := r.desk.book.sources["d1"].Counts["shop"].Counts.Requests, uint64(3*inboxMax-1); got != want {
			t.Errorf("counted up to %d, want %d", got, want)
		}
	})
}
