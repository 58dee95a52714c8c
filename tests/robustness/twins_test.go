package robustness_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestTwoSparesNeedNoCoordination runs the same file twice; what differs comes
// from the environment.
func TestTwoSparesNeedNoCoordination(t *testing.T) {
	a, b := startOrigins(t, "nginx")
	one := newSpare(t, "")
	text := `version: 1
data: "${env:SHOP_DATA}"
listen: {http: "${env:SHOP_HTTP}", api: "${env:SHOP_API}"}
sites:
  alpha: {provider: one, region: north}
  beta: {provider: two, region: south}
services:
  shop:
` + pair(a.url(), b.url())
	two := newSpare(t, "")
	for _, s := range []*spare{one, two} {
		writeFile(t, s.config, text)
		s.env = []string{"SHOP_DATA=" + filepath.Join(s.dir, "data"), "SHOP_HTTP=" + s.http, "SHOP_API=" + s.api}
		s.start()
	}
	x, _ := os.ReadFile(one.config)
	y, _ := os.ReadFile(two.config)
	if !slices.Equal(x, y) {
		t.Fatal("the files differ")
	}
	l1, l2 := startLoadOf(t, one.http, 150, 25, gets), startLoadOf(t, two.http, 150, 25, gets)
	time.Sleep(time.Second)
	a.run.kill()
	time.Sleep(time.Second)
	l1.stop().wantNoFailure(t, 200)
	one.run.kill() // its supervisor, data and control
	time.Sleep(time.Second)
	a.start()
	waitFor(t, "the origin to be back", func() bool { o := two.origin("alpha"); return !o.Ejected && (o.State == "up" || o.State == "degraded") })
	b.run.kill()
	time.Sleep(time.Second)
	l2.stop().wantNoFailure(t, 400)
}
