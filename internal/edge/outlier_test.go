package edge

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// Every second attempt fails: never three in a row, and more than the retry
// budget can make good for long.
func TestOriginThatFailsEveryOtherTimeIsEjected(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	var n atomic.Int64
	speak(a, func(*http.Request) string {
		if n.Add(1)%2 == 0 {
			return ""
		}
		return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	})
	w := newWorld(t, nil, a, b)
	if failed, _ := w.load(200, 1, "/"); failed != 0 {
		t.Errorf("%d of 200 failed", failed)
	}
	if len(w.saw(health.Ejected)) == 0 {
		t.Errorf("half of the attempts failed, and the origin was not ejected: %+v", w.stats().Origins)
	}
}

// The spare was ejected for long and is well again when the last origin
// freezes. It must not stay out for its old faults.
func TestEjectedOriginIsCheckedAtOnceWhenTheLastOneFreezes(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, nil, a, b)
	w.load(50, 10, "/")
	s := w.e.inForce.Load().services[0]
	out := s.origins[1].o
	w.e.eject(s, out, maxEjection, health.CauseTimeout, "test")
	a.freeze()
	for range 20 { // those that meet a frozen origin alone raise the alarm
		go w.get("/")
	}
	w.eventually("the healthy spare is back", func() bool { return !out.ejected.Load() })
	if got := w.get("/"); got.status != 200 || got.header.Get("Site") != "b" {
		t.Errorf("%d from %q, %v", got.status, got.header.Get("Site"), got.err)
	}
}

func TestHedgeIsNotStuckOnAFrozenOrigin(t *testing.T) {
	a, b, c := newSite(t, "a"), newSite(t, "b"), newSite(t, "c")
	a.handle(func(_ http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond) // until the hedge is out
		panic(http.ErrAbortHandler)
	})
	w := newWorld(t, nil, a, b, c)
	b.freeze()
	if got := w.get("/"); got.status != 200 || got.header.Get("Site") != "c" {
		t.Errorf("%d from %q after %s, %v", got.status, got.header.Get("Site"), got.took, got.err)
	}
}

func TestBadAnswerOfAHedgeIsGivenUp(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	a.handle(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(100 * time.Millisecond)
		_, _ = io.WriteString(w, "ok")
	})
	b.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = w.Write(make([]byte, 200<<10))
	})
	w := newWorld(t, func(s *route.Service) { s.Limits.HedgeDelay = 10 * time.Millisecond }, a, b)
	for range 5 {
		if got := w.get("/"); got.status != 200 {
			t.Errorf("status %d", got.status)
		}
	}
	if w.stats().Hedged == 0 {
		t.Fatal("nothing was hedged: the test shows nothing")
	}
	w.eventually("no attempt is under way", func() bool {
		s := w.stats()
		return s.Origins[0].Active == 0 && s.Origins[1].Active == 0
	})
}

func TestOriginThatTheTableDroppedIsNeitherEjectedNorChecked(t *testing.T) {
	a, b, c := newSite(t, "a"), newSite(t, "b"), newSite(t, "c")
	w := newWorld(t, nil, a, b)
	s := w.e.inForce.Load().services[0]
	old := s.origins[0].o
	w.apply(func(s *route.Service) { s.Origins[0].URL = c.url() })
	w.e.eject(s, old, baseEjection, health.CauseReset, "an attempt under the old table")
	if ev := w.saw(health.Ejected); len(ev) != 0 {
		t.Errorf("said of site a, which is another origin now: %+v", ev)
	}
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	if len(w.e.out) != 0 {
		t.Error("it waits for its readmission for ever")
	}
}

func TestInvalidTableChangesNothing(t *testing.T) {
	a := newSite(t, "a")
	w := newWorld(t, nil, a)
	o := w.e.inForce.Load().services[0].origins[0].o
	o.trusted.Store(true)
	bad := w.table
	bad.Epoch++
	second := bad.Services[0]
	second.ID, second.Origins = "other", []route.Origin{{Site: "a", URL: "http://:80", State: route.Up}}
	bad.Services = append(bad.Services[:1:1], second)
	if err := w.e.Apply(&bad); errs.KindOf(err) != errs.Invalid {
		t.Fatalf("Apply: %v, %v", err, errors.Unwrap(err))
	}
	if !o.trusted.Load() {
		t.Error("the origin took over what the table said of it")
	}
}
