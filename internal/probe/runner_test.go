package probe

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

const testSeed = 42

// origin is how a made-up origin behaves: how long an attempt at it takes.
type origin func(t estate.Target, fresh bool) (took time.Duration, cause health.Cause)

// attemptLog records the attempts at made-up origins, and fails the test when
// two of one mode at one target overlap, or more than limit at all.
type attemptLog struct {
	t     *testing.T
	limit int

	mu    sync.Mutex
	begun map[string][]time.Time
	under map[attemptID]bool
	most  int
	seen  []health.Result
}

// attemptID tells attempts apart: one that was given up, because its target
// was changed, may end beside the first of its successor.
type attemptID struct {
	key  string
	plan *plan
}

func key(t estate.Target, fresh bool) string { return fmt.Sprintf("%s fresh=%t", t, fresh) }

func (l *attemptLog) report(r health.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, r)
}

func (l *attemptLog) begin(k string, p *plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := attemptID{k, p}
	if l.under[id] {
		l.t.Errorf("two attempts at once: %s", k)
	}
	l.under[id] = true
	l.begun[k] = append(l.begun[k], time.Now())
	if l.most = max(l.most, len(l.under)); l.most > l.limit {
		l.t.Errorf("%d attempts at once, want at most %d", l.most, l.limit)
	}
}

func (l *attemptLog) end(k string, p *plan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.under, attemptID{k, p})
}

// times gives when the attempts began, as offsets from start.
func (l *attemptLog) times(t estate.Target, fresh bool) []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.begun[key(t, fresh)])
}

// startFake runs a runner over made-up origins within a synctest bubble.
func startFake(t *testing.T, limit int, o origin) (*Runner, *attemptLog, func()) {
	l := &attemptLog{t: t, limit: limit, begun: map[string][]time.Time{}, under: map[attemptID]bool{}}
	r := New(Options{Log: slog.New(slog.DiscardHandler), Report: l.report, Concurrency: limit, Rand: rand.New(rand.NewPCG(testSeed, 0))})
	r.try = func(ctx context.Context, p *plan, _ net.Conn, fresh bool) (health.Result, net.Conn, error) {
		k := key(p.target, fresh)
		l.begin(k, p)
		defer l.end(k, p)
		took, cause := o(p.target, fresh)
		select {
		case <-time.After(min(took, p.timeout)):
		case <-ctx.Done():
			cause = health.CauseTimeout
		}
		return health.Result{Target: p.target, At: time.Now(), OK: cause == "", Cause: cause, Fresh: fresh}, nil, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	return r, l, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func healthy(estate.Target, bool) (time.Duration, health.Cause) { return 5 * time.Millisecond, "" }

func many(n int, c estate.Check) []Target {
	targets := make([]Target, n)
	for i := range targets {
		targets[i] = httpTarget(fmt.Sprintf("127.0.0.1:%d", 1000+i), c)
		targets[i].Service = estate.ServiceID(fmt.Sprintf("s%d", i))
	}
	return targets
}

func TestRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, l, stop := startFake(t, 100, healthy)
		defer stop()
		start := time.Now()
		targets := many(1, estate.Check{Every: time.Second, Fresh: 10 * time.Second})
		r.Set(targets)
		time.Sleep(100 * time.Second)
		keep, fresh := l.times(targets[0].Target, false), l.times(targets[0].Target, true)
		if n := len(keep); n < 97 || n > 104 {
			t.Errorf("%d keep-alive attempts in 100 s", n)
		}
		if n := len(fresh); n < 9 || n > 12 {
			t.Errorf("%d fresh attempts in 100 s", n)
		}
		if d := keep[0].Sub(start); d >= time.Second {
			t.Errorf("first attempt after %s", d)
		}
		jittered := false
		for i := 1; i < len(keep); i++ {
			d := keep[i].Sub(keep[i-1])
			jittered = jittered || d != time.Second
			if d < 890*time.Millisecond || d > 1110*time.Millisecond {
				t.Errorf("%s between attempts", d)
			}
		}
		if !jittered {
			t.Error("no jitter")
		}
	})
}

func TestFirstAttemptsAreSpreadAndSoon(t *testing.T) {
	for _, every := range []time.Duration{200 * time.Millisecond, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			r, l, stop := startFake(t, 1000, healthy)
			defer stop()
			start := time.Now()
			targets := many(1000, estate.Check{Every: every, Fresh: time.Hour})
			r.Set(targets)
			time.Sleep(min(every, time.Second) - time.Millisecond)
			slots := map[time.Duration]int{}
			for _, target := range targets {
				begun := l.times(target.Target, false)
				if len(begun) == 0 {
					t.Fatalf("%s: no attempt of %s within %s", every, target.Target, time.Since(start))
				}
				slots[begun[0].Sub(start).Truncate(10*time.Millisecond)]++
			}
			for at, n := range slots {
				if n > 200 {
					t.Errorf("%s: %d first attempts within 10 ms at %s", every, n, at)
				}
			}
		})
	}
}

func TestTargetsSetBeforeRunAreSpreadToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &attemptLog{t: t, limit: 100, begun: map[string][]time.Time{}, under: map[attemptID]bool{}}
		r := New(Options{Log: slog.New(slog.DiscardHandler), Report: l.report})
		r.try = func(_ context.Context, p *plan, _ net.Conn, fresh bool) (health.Result, net.Conn, error) {
			l.begin(key(p.target, fresh), p)
			return health.Result{OK: true}, nil, nil
		}
		r.Set(many(100, estate.Check{Every: time.Minute}))
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if n := len(l.begun); n < 20 || n > 80 {
			t.Errorf("%d of 100 first attempts within 0.4 s", n)
		}
		if err := r.Run(ctx); !errs.Is(err, errs.Conflict) {
			t.Errorf("second Run: %v", err)
		}
	})
}

func TestSetKeepsTheScheduleOfUnchangedTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, l, stop := startFake(t, 100, healthy)
		defer stop()
		targets := many(3, estate.Check{Every: 10 * time.Second})
		r.Set(targets)
		for range 600 { // a reload each 100 ms must not keep checks from their turn
			time.Sleep(100 * time.Millisecond)
			targets = slices.Clone(targets)
			targets[2].Check.Timeout++ // this one changes each time
			r.Set(targets)
		}
		for _, target := range targets[:2] {
			if n := len(l.times(target.Target, false)); n < 6 || n > 8 {
				t.Errorf("%s: %d attempts in a minute, want about 6", target.Target, n)
			}
		}
	})
}

func TestRemovedTargetsStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(estate.Target, bool) (time.Duration, health.Cause) { return time.Hour, health.CauseTimeout }
		r, l, stop := startFake(t, 100, hang)
		defer stop()
		r.Set(many(10, estate.Check{Every: 100 * time.Millisecond, Timeout: time.Minute}))
		time.Sleep(time.Second)
		r.Set(nil)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.under) != 0 || len(l.begun) != 10 {
			t.Errorf("%d attempts under way after removal, of %d", len(l.under), len(l.begun))
		}
		if len(l.seen) != 0 {
			t.Errorf("removed targets were reported: %+v", l.seen)
		}
	})
}

func TestFreshIsAtOnceAndOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(estate.Target, bool) (time.Duration, health.Cause) { return 50 * time.Millisecond, "" }
		r, l, stop := startFake(t, 100, slow)
		defer stop()
		targets := many(2, estate.Check{Every: time.Hour}) // no schedule of fresh attempts at all
		r.Set(targets)
		time.Sleep(10 * time.Second)
		asked := time.Now()
		for range 20 {
			r.Fresh(targets[0].Target)
			time.Sleep(time.Millisecond)
		}
		r.Fresh(estate.Target{Service: "nosuch", Site: "x"})
		time.Sleep(time.Minute)
		begun := l.times(targets[0].Target, true)
		if len(begun) != 1 || begun[0].Sub(asked) > 5*time.Millisecond {
			t.Errorf("asked at %s, fresh attempts at %s", asked, begun)
		}
		if n := len(l.times(targets[1].Target, true)); n != 0 {
			t.Errorf("%d fresh attempts that nobody asked for", n)
		}
	})
}

func TestAskedForFreshAttemptMovesTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, l, stop := startFake(t, 100, healthy)
		defer stop()
		targets := many(1, estate.Check{Every: time.Second, Fresh: 10 * time.Second})
		r.Set(targets)
		for range 100 {
			time.Sleep(5 * time.Second)
			r.Fresh(targets[0].Target)
		}
		if n := len(l.times(targets[0].Target, true)); n > 102 {
			t.Errorf("%d fresh attempts, asked for 100", n)
		}
	})
}

// TestHungTargetsDoNotStarveOthers: 500 of 520 targets hang, and there are
// slots for 20.
func TestHungTargetsDoNotStarveOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(t estate.Target) bool { return t.Site == "hung" }
		r, l, stop := startFake(t, 20, func(t estate.Target, _ bool) (time.Duration, health.Cause) {
			if hangs(t) {
				return time.Hour, health.CauseTimeout
			}
			return 5 * time.Millisecond, ""
		})
		defer stop()
		targets := many(520, estate.Check{Every: time.Second, Timeout: 250 * time.Millisecond})
		for i := range targets[:500] {
			targets[i].Site = "hung"
		}
		r.Set(targets)
		time.Sleep(30 * time.Second) // each hung target was found to be so
		start := time.Now()
		time.Sleep(60 * time.Second)
		for _, target := range targets {
			n := 0
			for _, at := range l.times(target.Target, false) {
				if !at.Before(start) {
					n++
				}
			}
			if !hangs(target.Target) && n < 55 {
				t.Errorf("healthy %s: %d attempts in a minute, want about 60 (seed %d)", target.Target, n, testSeed)
			}
			if hangs(target.Target) && n < 3 {
				t.Errorf("hung %s: %d attempts in a minute, want them in turn (seed %d)", target.Target, n, testSeed)
			}
		}
	})
}

func TestHungTargetIsTriedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, l, stop := startFake(t, 20, func(estate.Target, bool) (time.Duration, health.Cause) { return time.Hour, health.CauseTimeout })
		defer stop()
		targets := many(1, estate.Check{Every: 200 * time.Millisecond, Timeout: 250 * time.Millisecond})
		r.Set(targets)
		time.Sleep(10 * time.Second)
		if n := len(l.times(targets[0].Target, false)); n < 36 || n > 40 {
			t.Errorf("%d attempts in 10 s, want one after another", n)
		}
	})
}

func TestLateTargetDoesNotCatchUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := true
		r, l, stop := startFake(t, 20, func(estate.Target, bool) (time.Duration, health.Cause) {
			if first {
				first = false
				return time.Minute, ""
			}
			return time.Millisecond, ""
		})
		defer stop()
		targets := many(1, estate.Check{Every: 100 * time.Millisecond, Timeout: time.Hour})
		r.Set(targets)
		time.Sleep(62 * time.Second)
		if n := len(l.times(targets[0].Target, false)); n > 25 {
			t.Errorf("%d attempts within 2 s of a late one, want one each 100 ms", n)
		}
	})
}

func TestAttemptsEndedByShutdownAreNotReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, l, stop := startFake(t, 20, func(estate.Target, bool) (time.Duration, health.Cause) { return time.Hour, "" })
		r.Set(many(5, estate.Check{Every: time.Second, Timeout: time.Hour}))
		time.Sleep(2 * time.Second)
		stop()
		if len(l.seen) != 0 {
			t.Errorf("reported %+v", l.seen)
		}
	})
}

func TestConnectionOfATargetRemovedMeanwhileIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{Log: slog.New(slog.DiscardHandler), Report: func(r health.Result) { t.Errorf("reported %+v", r) }})
		here, there := net.Pipe()
		r.try = func(context.Context, *plan, net.Conn, bool) (health.Result, net.Conn, error) {
			time.Sleep(10 * time.Second) // too far gone to be given up
			return health.Result{OK: true}, here, nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- r.Run(ctx) }()
		r.Set(many(1, estate.Check{Every: time.Second}))
		time.Sleep(5 * time.Second)
		r.Set(nil)
		if _, err := there.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is open")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestWantOfDescriptorsIsNotHeldAgainstTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged countingHandler
		var seen int
		r := New(Options{Log: slog.New(&logged), Report: func(health.Result) { seen++ }})
		r.try = func(_ context.Context, p *plan, _ net.Conn, _ bool) (health.Result, net.Conn, error) {
			return health.Result{Target: p.target, Cause: health.CauseConnect}, nil, classified(dialing, &net.OpError{Op: "dial", Err: syscall.EMFILE})
		}
		r.Set(many(5, estate.Check{Every: time.Second}))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := r.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if seen != 0 || logged.n != 1 {
			t.Errorf("%d results and %d log lines, want none and one", seen, logged.n)
		}
	})
}

// countingHandler counts records.
type countingHandler struct{ n int }

func (h *countingHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (h *countingHandler) Handle(context.Context, slog.Record) error { h.n++; return nil }
func (h *countingHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h *countingHandler) WithGroup(string) slog.Handler             { return h }

func TestRandomChangesOfTheSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(testSeed, 9))
		var mu sync.Mutex
		r, l, stop := startFake(t, 8, func(estate.Target, bool) (time.Duration, health.Cause) {
			mu.Lock()
			defer mu.Unlock()
			return time.Duration(rng.IntN(400)) * time.Millisecond, ""
		})
		all := many(40, estate.Check{Every: 200 * time.Millisecond, Fresh: time.Second, Timeout: 300 * time.Millisecond})
		for range 500 {
			mu.Lock()
			var some []Target
			for _, target := range all {
				if rng.IntN(2) == 0 {
					target.Check.Every = time.Duration(100+100*rng.IntN(2)) * time.Millisecond
					some = append(some, target)
				}
			}
			asked, wait := all[rng.IntN(len(all))].Target, time.Duration(rng.IntN(300))*time.Millisecond
			mu.Unlock()
			r.Set(some)
			r.Fresh(asked)
			time.Sleep(wait)
		}
		r.Set(nil)
		synctest.Wait()
		r.mu.Lock()
		if len(r.queue) != 0 || r.flying != 0 || r.hung != 0 {
			t.Errorf("left over: %d queued, %d flying, %d hung (seed %d)", len(r.queue), r.flying, r.hung, testSeed)
		}
		r.mu.Unlock()
		stop()
		if l.most < 4 {
			t.Errorf("at most %d attempts at once: the test does not load the runner", l.most)
		}
	})
}

// TestTenThousandIdleTargetsNeedFewGoroutines counts them between attempts.
func TestTenThousandIdleTargetsNeedFewGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		r, _, stop := startFake(t, 1024, healthy)
		defer stop()
		r.Set(many(10_000, estate.Check{Every: time.Hour, Fresh: 2 * time.Hour}))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := runtime.NumGoroutine() - before; n > 100 {
			t.Errorf("%d goroutines for idle targets", n)
		}
	})
}
