package incident

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/state/memstate"
)

var simSeed = flag.Uint64("sim.seed", 0, "run the simulation with this seed alone")

// sim is a site that fails at random, two data processes that take turns, a
// link that loses its order and repeats itself, a store that fails, and a
// control process that is killed.
type sim struct {
	r      *rig
	rnd    *rand.Rand
	store  *faultStore
	down   bool
	gen    int // of the data process
	seq    uint64
	events []health.Event
	out    bool // ejected by the present data process
	counts health.Traffic
	total  Counts         // of all data processes
	last   health.Traffic // of the data process before
	until  time.Time      // when that one ends
}

func TestRandomFaultsAreCountedExactlyOnce(t *testing.T) {
	seeds := []uint64{*simSeed}
	if *simSeed == 0 {
		seeds = nil
		for s := range uint64(20) {
			seeds = append(seeds, s+1)
		}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprintf("sim.seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &sim{rnd: rand.New(rand.NewPCG(seed, 1)), store: &faultStore{Store: memstate.New()}}
				s.counts.Service = "shop"
				s.r = newRig(t, s.store, threeByTwo)
				s.r.start()
				for range 600 {
					s.step()
					time.Sleep(500 * time.Millisecond)
				}
				s.heal()
				s.check(t)
			})
		})
	}
}

func (s *sim) chance(p float64) bool { return s.rnd.Float64() < p }

func (s *sim) step() {
	switch {
	case !s.down && s.chance(0.02):
		s.down = true
		s.r.desk.Verdict(down("shop@virginia", health.CauseRefused), health.Up)
	case s.down && s.chance(0.1):
		s.down = false
		s.r.desk.Verdict(up("shop@virginia"), health.Down)
	}
	if s.down != s.out && s.chance(0.5) {
		s.eject(s.down)
	}
	if s.chance(0.01) { // a hand-over; the old process drains, reporting, for a while
		s.traffic()
		s.last, s.until = s.counts, time.Now().Add(20*time.Second)
		s.gen++
		s.seq, s.out, s.counts = 0, false, health.Traffic{Service: "shop"}
	}
	s.serve()
	if s.gen > 0 && time.Now().Before(s.until) {
		s.r.desk.Traffic(fmt.Sprintf("d%d", s.gen-1), time.Now(), []health.Traffic{s.last})
	}
	if s.chance(0.9) {
		s.traffic()
	}
	if s.chance(0.02) {
		s.store.mu.Lock()
		s.store.failAt, s.store.applied = s.store.n+1+s.rnd.IntN(3), s.chance(0.5)
		s.store.mu.Unlock()
	}
	if s.chance(0.02) {
		s.restart()
	}
}

func (s *sim) serve() {
	n := s.rnd.Uint64N(50)
	s.counts.Requests += n
	s.total.Requests += n
	if s.down && s.chance(0.6) || s.chance(0.003) {
		k := 1 + s.rnd.Uint64N(5)
		s.counts.Failed += k
		s.total.Failed += k
		s.counts.MaybeApplied++
		s.total.MaybeApplied++
	}
}

func (s *sim) source() string { return fmt.Sprintf("d%d", s.gen) }

func (s *sim) eject(out bool) {
	s.seq++
	s.out = out
	e := health.Event{Source: s.source(), Seq: s.seq, At: time.Now(), Kind: health.Readmitted, Target: tgt("shop@virginia"), Cause: health.CauseReset}
	if out {
		e.Kind = health.Ejected
	}
	s.events = append(s.events, e)
	if s.chance(0.8) { // else it comes with the next repetition
		s.r.desk.Event(e)
	}
}

func (s *sim) traffic() {
	tr := s.counts
	tr.Origins = []health.OriginTraffic{{Site: "virginia", Ejected: s.out, Failures: tr.Failed}, {Site: "belgium"}}
	s.r.desk.Traffic(s.source(), time.Now(), []health.Traffic{tr})
}

// restart kills the control process: what it did not store is gone. The link
// then repeats what it has.
func (s *sim) restart() {
	s.store.mu.Lock()
	s.store.failAt, s.store.crash = s.store.n, true // not even a last save
	s.store.mu.Unlock()
	s.r.stop()
	s.store.mu.Lock()
	s.store.failAt, s.store.crash = 0, false
	s.store.mu.Unlock()
	s.r.start()
	s.resume()
}

func (s *sim) resume() {
	for _, e := range s.events[max(0, len(s.events)-20):] {
		s.r.desk.Event(e)
	}
	v := up("shop@virginia")
	if s.down {
		v = down("shop@virginia", health.CauseRefused)
	}
	s.r.desk.Verdict(v, health.Unknown)
}

// heal lets everything become well, and last.
func (s *sim) heal() {
	s.down = false
	s.r.desk.Verdict(up("shop@virginia"), health.Down)
	if s.out {
		s.eject(false)
	}
	for range 120 {
		s.traffic()
		time.Sleep(time.Second)
	}
	s.r.stop()
}

func (s *sim) check(t *testing.T) {
	t.Helper()
	l, err := s.r.desk.List(t.Context(), Filter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var sum Counts
	for _, in := range l {
		sum = sum.plus(in.Impact.Counts)
		if in.State != Closed {
			t.Errorf("%s is %s at the end", in.ID, in.State)
		}
		if in.Closed.Before(in.Opened) || in.Times.Recovered.Before(in.Opened) {
			t.Errorf("%s closed %v, recovered %v, but opened %v", in.ID, in.Closed, in.Times.Recovered, in.Opened)
		}
		changes := s.r.journal.changes(in.ID)
		if len(changes) == 0 || changes[0] != "opened" || changes[len(changes)-1] != "closed" {
			t.Errorf("%s: the journal says %v", in.ID, changes)
		}
		for _, event := range []string{".opened", ".closed"} {
			if !slices.Contains(s.r.told(), in.ID+event) {
				t.Errorf("nobody was told of %s%s", in.ID, event)
			}
		}
	}
	if sum.Failed != s.total.Failed || sum.MaybeApplied != s.total.MaybeApplied {
		t.Errorf("%d failed and %d maybe applied in %d incidents, there were %d and %d",
			sum.Failed, sum.MaybeApplied, len(l), s.total.Failed, s.total.MaybeApplied)
	}
	if sum.Requests > s.total.Requests {
		t.Errorf("%d requests in incidents, there were %d", sum.Requests, s.total.Requests)
	}
	if _, err := s.r.desk.Get(t.Context(), "2026-01-01-000000"); !errs.Is(err, errs.NotFound) {
		t.Errorf("an unknown incident: %v", err)
	}
}
