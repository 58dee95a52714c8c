package run_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/run"
)

// record notes the order in which things happen.
type record struct {
	mu    sync.Mutex
	lines []string
}

func (r *record) add(s string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, s)
}

// worker runs until its context ends and then takes some time to finish.
func (r *record) worker(name string, finish time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		r.add(name + " told")
		time.Sleep(finish)
		r.add(name + " ended")
		return ctx.Err()
	}
}

func (r *record) undo(name string) func() error {
	return func() error { r.add(name + " undone"); return nil }
}

func TestStopsInReverseOrderEachWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		ctx, cancel := context.WithCancel(t.Context())
		g := run.New(ctx)
		g.Defer("store", r.undo("store"))
		g.Go("a", r.worker("a", time.Second))
		g.Defer("file", r.undo("file"))
		g.Go("b", r.worker("b", time.Minute))
		time.AfterFunc(time.Hour, cancel)
		if err := g.Wait(); err != nil {
			t.Fatalf("Wait after the context's end: %v", err)
		}
		want := []string{"b told", "b ended", "file undone", "a told", "a ended", "store undone"}
		if d := cmp.Diff(want, r.lines); d != "" {
			t.Fatal(d)
		}
	})
}

func TestFirstErrorStopsTheRestAndIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		cause := errors.New("disk on fire")
		g := run.New(t.Context())
		g.Go("a", r.worker("a", 0))
		g.Go("broken", func(context.Context) error { time.Sleep(time.Second); return cause })
		g.Go("c", r.worker("c", 0))
		err := g.Wait()
		if !errors.Is(err, cause) || !strings.HasPrefix(err.Error(), "broken: ") {
			t.Fatalf("got %v", err)
		}
		if d := cmp.Diff([]string{"c told", "c ended", "a told", "a ended"}, r.lines); d != "" {
			t.Fatal(d)
		}
	})
}

func TestErrorsWhileStoppingAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second, third := errors.New("1"), errors.New("2"), errors.New("3")
		g := run.New(t.Context())
		g.Defer("close", func() error { return third })
		g.Go("late", func(ctx context.Context) error { <-ctx.Done(); return second })
		g.Go("early", func(context.Context) error { return first })
		err := g.Wait()
		if want := "early: 1\nlate: 2\nstop close: 3"; err == nil || err.Error() != want {
			t.Fatalf("got %v, want %s", err, want)
		}
	})
}

func TestPanicBecomesAnErrorWithItsStack(t *testing.T) {
	g := run.New(t.Context())
	g.Go("wild", func(context.Context) error { panic("boom") })
	err := g.Wait()
	var p *run.PanicError
	if !errors.As(err, &p) || p.Value != "boom" || !strings.Contains(string(p.Stack), "run_test.go") {
		t.Fatalf("got %v", err)
	}
}

func TestPanicOfADeferredFunctionLetsTheRestBeUndone(t *testing.T) {
	var r record
	g := run.New(t.Context())
	g.Defer("last", r.undo("last"))
	g.Defer("wild", func() error { panic("boom") })
	var p *run.PanicError
	if err := g.Wait(); !errors.As(err, &p) {
		t.Fatalf("got %v", err)
	}
	if d := cmp.Diff([]string{"last undone"}, r.lines); d != "" {
		t.Fatal(d)
	}
}

func TestPartThatEndsQuietlyStopsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		g := run.New(ctx)
		g.Go("short", func(context.Context) error { return nil })
		synctest.Wait() // short has ended before long begins
		var lived time.Duration
		start := time.Now()
		g.Go("long", func(ctx context.Context) error { <-ctx.Done(); lived = time.Since(start); return nil })
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if lived != time.Minute {
			t.Fatalf("long was stopped after %s", lived)
		}
	})
}

func TestWaitReturnsWhenAllPartsHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		g := run.New(t.Context())
		g.Defer("store", r.undo("store"))
		g.Go("a", func(context.Context) error { time.Sleep(time.Second); return nil })
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"store undone"}, r.lines); d != "" {
			t.Fatal(d)
		}
	})
}

func TestNothingStartsInAStoppingGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r record
		g := run.New(t.Context())
		g.Go("parent", func(ctx context.Context) error {
			<-ctx.Done()
			g.Go("child", func(context.Context) error { r.add("child"); return nil })
			g.Defer("late", r.undo("late"))
			return nil
		})
		g.Go("broken", func(context.Context) error { return errors.New("x") })
		if err := g.Wait(); err == nil {
			t.Fatal("no error")
		}
		if d := cmp.Diff([]string{"late undone"}, r.lines); d != "" {
			t.Fatal(d)
		}
	})
}

func TestPartSeesTheValuesOfTheParent(t *testing.T) {
	type key struct{}
	g := run.New(context.WithValue(t.Context(), key{}, "v"))
	g.Go("a", func(ctx context.Context) error {
		if ctx.Value(key{}) != "v" {
			return errors.New("value lost")
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestBackoffGrowsToItsMaximumAndResets(t *testing.T) {
	b := run.Backoff{Min: time.Second, Max: 5 * time.Second, Immediate: true, Rand: func() float64 { return 0 }}
	var got []time.Duration
	for range 6 {
		got = append(got, b.Next())
	}
	b.Reset()
	got = append(got, b.Next(), b.Next())
	s := time.Second
	if d := cmp.Diff([]time.Duration{0, s, 2 * s, 4 * s, 5 * s, 5 * s, 0, s}, got); d != "" {
		t.Fatal(d)
	}
}

func TestBackoffJitterOnlyShortens(t *testing.T) {
	for _, random := range []float64{0, 0.3, 0.999} {
		b := run.Backoff{Min: time.Second, Max: time.Minute, Jitter: 0.5, Rand: func() float64 { return random }}
		for i := range 1000 {
			full := min(time.Second<<min(i, 10), time.Minute)
			if d := b.Next(); d > full || d < full/2 {
				t.Fatalf("delay %d is %s, not within %s and %s", i, d, full/2, full)
			}
		}
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if err := run.Sleep(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := run.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Fatalf("got %v after %s", err, time.Since(start))
		}
	})
}
