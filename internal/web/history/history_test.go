package history_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/web/history"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// status has one service whose counters are as given.
func status(second int, requests, failed, a, b uint64) apiv1.Status {
	return apiv1.Status{At: noon.Add(time.Duration(second) * time.Second), Services: []apiv1.Service{{
		ID: "shop", Traffic: apiv1.Traffic{Requests: requests, Failed: failed, Retried: failed},
		Origins: []apiv1.Origin{{Site: "a", Requests: a, P95MS: 12}, {Site: "b", Requests: b, P95MS: 900}},
	}}}
}

func TestCountersBecomeRates(t *testing.T) {
	h := history.New()
	h.Add(status(0, 1000, 0, 1000, 0))
	if p, ok := h.Rate("shop"); ok {
		t.Errorf("a rate from one look: %+v", p)
	}
	h.Add(status(1, 1100, 0, 1100, 0))
	h.Add(status(1, 1100, 0, 1100, 0)) // the same look again says nothing
	h.Add(status(3, 1200, 4, 1150, 60))
	want := []history.Point{
		{At: noon.Add(time.Second), Rate: 100, Origins: []history.Origin{{Site: "a", Rate: 100, P95MS: 12}, {Site: "b"}}},
		{At: noon.Add(3 * time.Second), Rate: 50, Failed: 2, Saved: 2, Origins: []history.Origin{{Site: "a", Rate: 25, P95MS: 12}, {Site: "b", Rate: 30, P95MS: 900}}},
	}
	if d := cmp.Diff(want, h.Points("shop")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if p, ok := h.Rate("shop"); !ok || !cmp.Equal(p, want[1]) {
		t.Errorf("newest: %+v", p)
	}
}

// A new data process counts from zero: what it has counted is the growth.
func TestCountersThatBeginAnewAreNoHugeRate(t *testing.T) {
	h := history.New()
	h.Add(status(0, 1_000_000, 5, 900_000, 0))
	h.Add(status(1, 40, 0, 40, 0))
	if p, _ := h.Rate("shop"); p.Rate != 40 || p.Failed != 0 || p.Origins[0].Rate != 40 {
		t.Errorf("%+v", p)
	}
}

func TestTheRingKeepsTheNewest(t *testing.T) {
	h := history.New()
	for i := range history.Window + 30 {
		h.Add(status(i, uint64(i*i), 0, uint64(i*i), 0))
	}
	list := h.Points("shop")
	if len(list) != history.Window {
		t.Fatalf("%d points", len(list))
	}
	for k, p := range list {
		i := k + 30 // the first Add gives no point
		if want := float64(2*i - 1); p.Rate != want || p.Origins[0].Rate != want || !p.At.Equal(noon.Add(time.Duration(i)*time.Second)) {
			t.Fatalf("point %d: %+v, want rate %v", k, p, want)
		}
	}
}

func TestAnotherSetOfOriginsBeginsAnew(t *testing.T) {
	h := history.New()
	h.Add(status(0, 0, 0, 0, 0))
	h.Add(status(1, 10, 0, 10, 0))
	moved := status(2, 20, 0, 20, 0)
	moved.Services[0].Origins = moved.Services[0].Origins[:1]
	h.Add(moved)
	if list := h.Points("shop"); len(list) != 0 {
		t.Errorf("points of other origins: %+v", list)
	}
	h.Add(apiv1.Status{At: noon.Add(3 * time.Second)})
	if _, ok := h.Rate("shop"); ok {
		t.Error("a service that is gone is still known")
	}
}

func big(second, n int) apiv1.Status {
	st := apiv1.Status{At: noon.Add(time.Duration(second) * time.Second)}
	for i := range n {
		st.Services = append(st.Services, apiv1.Service{ID: fmt.Sprintf("s%05d", i), Traffic: apiv1.Traffic{Requests: uint64(second * i)},
			Origins: []apiv1.Origin{{Site: "a", Requests: uint64(second * i)}, {Site: "b"}}})
	}
	return st
}

func TestManyServicesAreBounded(t *testing.T) {
	h := history.New()
	var before, after runtime.MemStats
	const n = 10_000
	st := big(0, n)
	runtime.GC()
	runtime.ReadMemStats(&before)
	for second := range history.Window + 1 {
		st.At = noon.Add(time.Duration(second) * time.Second)
		for i := range 100 {
			h.Look(fmt.Sprintf("s%05d", (second*7+i*31)%n))
		}
		h.Add(st)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 8<<20 {
		t.Errorf("%d KiB are kept", used>>10)
	}
	followed := 0
	for _, s := range st.Services {
		if _, ok := h.Rate(s.ID); ok {
			followed++
		}
	}
	if followed < history.Always || followed > history.Always+history.Looked {
		t.Errorf("%d services are followed", followed)
	}
	runtime.KeepAlive(h)
}

func TestWhatIsLookedAtIsFollowed(t *testing.T) {
	h := history.New()
	h.Add(big(0, 1000))
	h.Look("s00999", "none")
	h.Add(big(1, 1000))
	h.Add(big(2, 1000))
	if p, ok := h.Rate("s00999"); !ok || p.Rate != 999 {
		t.Errorf("%+v %v", p, ok)
	}
	if _, ok := h.Rate("s00998"); ok {
		t.Error("one that nobody looked at is followed")
	}
}
