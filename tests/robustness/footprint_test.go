package robustness_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestFootprint reports memory at rest and the time from exec to the first
// answer. The aims are 60 MiB for both processes and 0.5 s; the bounds here
// only catch a disaster.
func TestFootprint(t *testing.T) {
	a, b := startOrigins(t, "nginx")
	s := newSpare(t, "  shop:\n    hosts: [shop.example]\n"+pair(a.url(), b.url())+"  blog:\n    hosts: [blog.example]\n"+pair(a.url(), b.url()))
	times := map[string][]time.Duration{}
	for i := range 6 {
		what := "first start"
		if i > 2 {
			what = "start from the last state"
		} else if err := os.RemoveAll(filepath.Join(s.dir, "data")); err != nil {
			t.Fatal(err)
		}
		times[what] = append(times[what], s.timeToServe())
		s.waitReady()
		if i < 5 {
			s.stop()
		}
	}
	for what, list := range times {
		slices.Sort(list)
		t.Logf("%s: exec to the first 200 in %v (median of %d), worst %v", what, list[len(list)/2].Round(time.Millisecond), len(list), list[len(list)-1].Round(time.Millisecond))
		if list[0] > 2*time.Second {
			t.Errorf("%s: %v at best; the aim is 0.5 s", what, list[0])
		}
	}
	time.Sleep(3 * time.Second)
	data, control, supervisor := rss(s.child("data")), rss(s.child("control")), rss(s.run.pid)
	t.Logf("at rest with 2 services: data %.1f MiB, control %.1f MiB, together %.1f MiB; supervisor %.1f MiB", data, control, data+control, supervisor)
	if data+control > 120 {
		t.Errorf("data and control hold %.1f MiB; the aim is 60", data+control)
	}
}
