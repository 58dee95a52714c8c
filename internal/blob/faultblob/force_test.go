package faultblob

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

func down(t *testing.T, d *Driver) bool {
	t.Helper()
	err := put(t.Context(), d, "k", "x")
	if err != nil && !errs.Is(err, errs.Unavailable) {
		t.Fatal(err)
	}
	return err != nil
}

func TestFaultsEndByThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := Wrap(memblob.Open(memblob.Options{}))
		for asked, lasts := range map[time.Duration]time.Duration{0: MaxAge, time.Hour: MaxAge, 5 * time.Second: 5 * time.Second} {
			i := inject(t, d, Fault{Kind: Down, For: asked})
			time.Sleep(lasts - 1)
			if !down(t, d) {
				t.Errorf("for %s: over too early", asked)
			}
			if !i.Renew() {
				t.Errorf("for %s: not renewed", asked)
			}
			time.Sleep(lasts - 1)
			if !down(t, d) {
				t.Errorf("for %s: over too early after it was renewed", asked)
			}
			time.Sleep(time.Nanosecond)
			if down(t, d) {
				t.Errorf("for %s: not over", asked)
			}
			if i.Renew() || down(t, d) {
				t.Errorf("for %s: renewed when it was over", asked)
			}
		}
	})
}

func TestFaultsAreCleared(t *testing.T) {
	d := Wrap(memblob.Open(memblob.Options{}))
	first, second := inject(t, d, Fault{Kind: Down}), inject(t, d, Fault{Kind: Down})
	first.Clear()
	if !down(t, d) {
		t.Error("the second is cleared with the first")
	}
	if first.Hits() != 0 || second.Hits() != 1 {
		t.Errorf("%d and %d calls", first.Hits(), second.Hits())
	}
	inject(t, d, Fault{Kind: Down})
	d.Clear()
	if down(t, d) || second.Renew() {
		t.Error("not all are cleared")
	}
}

func TestAFaultMeetsSoManyCalls(t *testing.T) {
	d := Wrap(memblob.Open(memblob.Options{}))
	i := inject(t, d, Fault{Kind: Down, Times: 2})
	for n, want := range []bool{true, true, false, false} {
		if down(t, d) != want {
			t.Errorf("call %d: down is %v", n, !want)
		}
	}
	if i.Hits() != 2 {
		t.Errorf("it met %d calls", i.Hits())
	}
}

func TestAFaultMeetsItsShare(t *testing.T) {
	run := func(seed uint64) (got string) {
		d := Wrap(memblob.Open(memblob.Options{}))
		inject(t, d, Fault{Kind: Down, Share: 0.3, Rand: rand.New(rand.NewPCG(seed, 0))})
		for range 1000 {
			if down(t, d) {
				got += "x"
			} else {
				got += "."
			}
		}
		return got
	}
	one, same, other := run(1), run(1), run(2)
	if n := strings.Count(one, "x"); n < 250 || n > 350 {
		t.Errorf("%d of 1,000 calls failed, want about 300", n)
	}
	if one != same || one == other {
		t.Error("the seed does not decide")
	}
}

func TestAFaultMeetsItsMethodsAndKeys(t *testing.T) {
	d := Wrap(memblob.Open(memblob.Options{}))
	mustPut(t, d, "h/k", "x")
	inject(t, d, Fault{Kind: Down, Methods: []string{"get", "put"}, Keys: "h/*"})
	_, headErr := d.Head(t.Context(), "h/k")
	_, getErr := d.Get(t.Context(), "h/k", blob.GetOptions{})
	if headErr != nil || getErr == nil || put(t.Context(), d, "h/k", "y") == nil || put(t.Context(), d, "b/h/k", "y") != nil {
		t.Errorf("head %v, get %v", headErr, getErr)
	}
	inject(t, d, Fault{Kind: Down, Methods: []string{"list"}, Keys: "b/*"})
	_, one := d.List(t.Context(), blob.ListOptions{Prefix: "h/"})
	_, other := d.List(t.Context(), blob.ListOptions{Prefix: "b/"})
	if one != nil || other == nil {
		t.Errorf("list: %v, %v", one, other)
	}
	inject(t, d, Fault{Kind: Denied, Methods: []string{"copy"}, Keys: "dst"})
	_, one = d.Copy(t.Context(), "other", d, "h/k", blob.CopyOptions{})
	_, other = d.Copy(t.Context(), "dst", d, "h/k", blob.CopyOptions{})
	if one != nil || !errs.Is(other, errs.Denied) {
		t.Errorf("copy: %v, %v", one, other)
	}
	inject(t, d, Fault{Kind: NoBucket, Methods: []string{"make"}})
	if err := d.Make(t.Context()); !errs.Is(err, errs.Unavailable) {
		t.Errorf("make: %v", err)
	}
}

func TestTheFirstFaultDecides(t *testing.T) {
	d := Wrap(memblob.Open(memblob.Options{}))
	first, second := inject(t, d, Fault{Kind: Denied, Times: 1}), inject(t, d, Fault{Kind: NoBucket})
	if err := put(t.Context(), d, "k", "x"); !errs.Is(err, errs.Denied) {
		t.Errorf("got %v", err)
	}
	if err := put(t.Context(), d, "k", "x"); !errs.Is(err, errs.Unavailable) || first.Hits() != 1 || second.Hits() != 1 {
		t.Errorf("got %v after %d and %d", err, first.Hits(), second.Hits())
	}
}

func TestPatternsMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, key string
		want         bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a", "", false}, {"*", "", true}, {"*", "a/b", true},
		{"a*", "a", true}, {"a*", "a/b/c", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"a*b", "ab", true}, {"a*b", "a/xb", true}, {"a*b", "abc", false}, {"a*a", "a", false}, {"ab*ba", "aba", false},
		{"a*b*c", "axxbxxc", true}, {"a*b*c", "abc", true}, {"a*b*c", "acb", false}, {"*b*b*", "abab", true}, {"*b*b*", "ab", false},
		{"**", "", true}, {"a**b", "ab", true}, {"*/h/*.json", "x/h/y.json", true}, {"*ab", "aab", true}, {"*a*ab", "aab", true},
	} {
		if got := matches(tt.pattern, tt.key); got != tt.want {
			t.Errorf("%q on %q: %v", tt.pattern, tt.key, got)
		}
	}
}

func TestFaultsThatMeanNothingAreRefused(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	d := Wrap(memblob.Open(memblob.Options{}))
	for name, f := range map[string]Fault{
		"no kind":                {},
		"an unknown kind":        {Kind: "fire"},
		"an unknown method":      {Kind: Down, Methods: []string{"PUT"}},
		"a share over one":       {Kind: Down, Share: 2, Rand: rng},
		"a share below zero":     {Kind: Down, Share: -1, Rand: rng},
		"a share without chance": {Kind: Down, Share: 0.5},
		"latency without delay":  {Kind: Latency},
		"late without delay":     {Kind: Late},
		"a negative delay":       {Kind: Latency, Delay: -1, Jitter: 5, Rand: rng},
		"jitter without chance":  {Kind: Latency, Jitter: 1},
		"negative times":         {Kind: Down, Times: -1},
		"a negative duration":    {Kind: Down, For: -1},
		"a negative place":       {Kind: Corrupt, At: -1},
		"no way back":            {Kind: Rollback},
		"a way back from a down": {Kind: Down, Restore: func() {}},
	} {
		if _, err := d.Inject(f); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if down(t, d) {
		t.Error("a fault that was refused is in force")
	}
}

func TestFaultsComeAndGoWhileCallsRun(t *testing.T) {
	d := Wrap(memblob.Open(memblob.Options{}))
	rng := rand.New(rand.NewPCG(1, 1))
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for n := range 2000 {
				_ = put(t.Context(), d, fmt.Sprint(w), "x") // any outcome will do
				if r, err := d.Get(t.Context(), fmt.Sprint(n%4), blob.GetOptions{}); err == nil {
					_ = r.Close()
				}
			}
		})
	}
	for n := range 2000 {
		i := inject(t, d, Fault{Kind: kinds[n%2], Share: 0.5, Rand: rng, Times: 3})
		i.Renew()
		runtime.Gosched()
		if n%3 == 0 {
			i.Clear()
			runtime.Gosched()
		}
		if n%10 == 0 {
			d.Clear()
		}
	}
	all.Wait()
}
