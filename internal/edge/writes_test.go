package edge

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// postLoad sends n POSTs with bodies of their own and gives what came back by
// body.
func (w *world) postLoad(n, workers int, method string, head ...string) map[string]answer {
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]answer{}
	jobs := make(chan string, n)
	for i := range n {
		jobs <- "order-" + strconv.Itoa(i)
	}
	close(jobs)
	for range workers {
		wg.Go(func() {
			for id := range jobs {
				a := w.do(method, "/orders", id, head...)
				mu.Lock()
				got[id] = a
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return got
}

// arrivals counts how often each body reached any of the sites.
func arrivals(sites ...*site) map[string]int {
	all := map[string]int{}
	for _, s := range sites {
		s.mu.Lock()
		for id, n := range s.posts {
			all[id] += n
		}
		s.mu.Unlock()
	}
	return all
}

func TestNoPostArrivesTwiceWhenTheOriginDies(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	a.handle(func(w http.ResponseWriter, _ *http.Request) { time.Sleep(2 * time.Millisecond) })
	w := newWorld(t, nil, a, b)
	w.postLoad(50, 10, "POST")
	time.AfterFunc(50*time.Millisecond, a.kill)
	got := w.postLoad(1000, 20, "POST")
	came := arrivals(a, b)
	maybe := 0
	for id, ans := range got {
		if n := came[id]; n > 1 && !strings.HasPrefix(id, "order-0") && idNumber(id) >= 50 {
			t.Errorf("%s arrived %d times", id, n)
		}
		switch {
		case ans.err != nil:
			t.Errorf("%s: %v", id, ans.err)
		case ans.status == 200:
		case ans.status == 502 && ans.header.Get(MaybeApplied) == "true":
			maybe++
		default:
			t.Errorf("%s: status %d, %s %q", id, ans.status, MaybeApplied, ans.header.Get(MaybeApplied))
		}
	}
	if maybe > 20 { // no more than were under way
		t.Errorf("%d POSTs of unknown effect, at most 20 were in flight", maybe)
	}
	if s := w.stats(); s.MaybeApplied != uint64(maybe) || s.Failed != 0 {
		t.Errorf("counted %d of unknown effect and %d failed, clients saw %d", s.MaybeApplied, s.Failed, maybe)
	}
}

func idNumber(id string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(id, "order-"))
	return n
}

func TestPostOnAPooledConnectionThatTheOriginClosedIsSafe(t *testing.T) {
	a := newSite(t, "a")
	w := newWorld(t, nil, a)
	for i := range 20 {
		if got := w.do("POST", "/", "x"+strconv.Itoa(i)); got.status != 200 {
			t.Fatalf("POST %d: %d %s", i, got.status, got.body)
		}
		a.mu.Lock() // the origin hangs up on its idle connections
		for c := range a.conns {
			_ = c.Close()
		}
		a.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
}

func TestPostGoesElsewhereWhenNothingWasSent(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	a.kill()
	w := newWorld(t, nil, a, b)
	for i := range 10 {
		if got := w.do("POST", "/", strconv.Itoa(i)); got.status != 200 || got.header.Get("Site") != "b" {
			t.Errorf("POST %d: %d from %q", i, got.status, got.header.Get("Site"))
		}
	}
}

func TestWritesAreRepeatedOnlyWithConsent(t *testing.T) {
	die := func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	for _, tc := range []struct {
		name, method string
		consent      bool
		head         []string
		want         int
	}{
		{"POST", "POST", false, nil, 502},
		{"POST with a key and no consent", "POST", false, []string{"Idempotency-Key", "k"}, 502},
		{"POST with consent and no key", "POST", true, nil, 502},
		{"POST with both", "POST", true, []string{"Idempotency-Key", "k"}, 200},
		{"PUT", "PUT", false, nil, 502},
		{"PUT with consent", "PUT", true, nil, 200},
		{"DELETE with consent", "DELETE", true, nil, 200},
		{"PATCH with consent and no key", "PATCH", true, nil, 502},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b := newSite(t, "a"), newSite(t, "b")
			a.raw.Store(&die)
			w := newWorld(t, func(s *route.Service) { s.RetryWrites = tc.consent }, a, b)
			got := w.do(tc.method, "/", "body", tc.head...)
			if got.status != tc.want {
				t.Errorf("status %d, want %d", got.status, tc.want)
			}
			if tc.want == 502 && got.header.Get(MaybeApplied) != "true" {
				t.Errorf("%s = %q", MaybeApplied, got.header.Get(MaybeApplied))
			}
		})
	}
}

func TestServiceThatWritesAtOneSiteMovesOnlyByTable(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) { s.Writes, s.Active = estate.WritesOneSite, "a" }, a, b)
	a.kill()
	for range 10 {
		w.get("/")
		got := w.do("POST", "/", "x")
		if got.status == 200 || got.header.Get(MaybeApplied) != "false" {
			t.Fatalf("POST: %d, %s %q", got.status, MaybeApplied, got.header.Get(MaybeApplied))
		}
	}
	if got := w.get("/"); got.header.Get("Site") != "b" {
		t.Errorf("read served by %q", got.header.Get("Site"))
	}
	if n := len(arrivals(b)); n != 0 {
		t.Fatalf("%d writes reached the spare before the table moved", n)
	}
	w.apply(func(s *route.Service) { s.Active = "b"; s.Origins[0].State = route.Down })
	if got := w.do("POST", "/", "y"); got.status != 200 || got.header.Get("Site") != "b" {
		t.Errorf("after the move: %d from %q", got.status, got.header.Get("Site"))
	}
}

func TestShortPauseOfTheWritingSiteRefusesNoWrite(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) {
		s.Writes, s.Active, s.Limits.HedgeDelay = estate.WritesOneSite, "a", 20*time.Millisecond
	}, a, b)
	w.load(100, 10, "/")
	a.freeze()
	time.AfterFunc(180*time.Millisecond, a.thaw) // long enough to eject, and less than a check
	w.load(50, 10, "/")
	if b.hits.Load() == 0 {
		t.Fatal("reads did not leave the silent site: the test shows nothing")
	}
	for i := range 50 {
		if got := w.do("POST", "/", strconv.Itoa(i)); got.status != 200 || got.header.Get("Site") != "a" {
			t.Fatalf("POST %d: %d from %q, %s", i, got.status, got.header.Get("Site"), got.body)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestWritesAreRefusedOnceACheckSaysThatTheirSiteIsFrozen(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) { s.Writes, s.Active = estate.WritesOneSite, "a" }, a, b)
	w.load(100, 10, "/")
	a.freeze()
	w.load(50, 10, "/")
	time.Sleep(500 * time.Millisecond) // the check's time is over
	if got := w.do("POST", "/", "x"); got.status != 503 || got.header.Get(MaybeApplied) != "false" {
		t.Errorf("POST to a frozen site: %d, %s %q", got.status, MaybeApplied, got.header.Get(MaybeApplied))
	}
}

func TestPostOnAFrozenOriginIsGivenUpOnceChecksSayThatItIsLost(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, nil, a, b)
	w.load(100, 10, "/")
	a.freeze()
	got := make(chan answer, 1)
	go func() { got <- w.do("POST", "/", "x") }()
	for range 100 {
		w.get("/")
		time.Sleep(5 * time.Millisecond)
	}
	ans := <-got
	if ans.status != 504 || ans.header.Get(MaybeApplied) != "true" || ans.took > 20*time.Second {
		t.Errorf("POST: %d, %s %q after %s", ans.status, MaybeApplied, ans.header.Get(MaybeApplied), ans.took)
	}
	if n := arrivals(b)["x"]; n != 0 {
		t.Errorf("the POST was sent to the other site too, %d times", n)
	}
}

func TestWritesStayAtADrainedSiteUntilTheTableMovesThem(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) {
		s.Writes, s.Active = estate.WritesOneSite, "a"
		s.Origins[0].State = route.Drained
	}, a, b)
	if got := w.do("POST", "/", "x"); got.status != 200 || got.header.Get("Site") != "a" {
		t.Errorf("POST: %d from %q", got.status, got.header.Get("Site"))
	}
	if got := w.get("/"); got.header.Get("Site") != "b" {
		t.Errorf("read served by %q", got.header.Get("Site"))
	}
}

func TestSpareReadsOffKeepsReadsOnTheActiveOrigin(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) { s.SpareReads = false }, a, b)
	w.load(100, 10, "/")
	a.handle(func(w http.ResponseWriter, _ *http.Request) { time.Sleep(300 * time.Millisecond) })
	w.load(20, 10, "/")
	if got := b.hits.Load(); got != 0 {
		t.Errorf("the spare was read %d times", got)
	}
	w.apply(func(s *route.Service) { s.Origins[0].State = route.Down })
	if got := w.get("/"); got.header.Get("Site") != "b" {
		t.Errorf("with the active origin down, served by %q", got.header.Get("Site"))
	}
}

func TestPostsLeaveASilentOrigin(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) { s.Limits.Timeout = 1500 * time.Millisecond }, a, b)
	w.postLoad(200, 10, "POST")
	a.freeze()
	got := w.postLoad(400, 10, "POST")
	stuck := 0
	for _, ans := range got {
		switch {
		case ans.status == 200:
		case ans.status == 504 && ans.header.Get(MaybeApplied) == "true":
			stuck++
		default:
			t.Errorf("POST: %d %v", ans.status, ans.err)
		}
	}
	if stuck > 10 { // the ten that were under way
		t.Errorf("%d POSTs were lost on the frozen origin", stuck)
	}
	if ev := w.saw(health.Ejected); len(ev) != 1 || !strings.Contains(ev[0].Detail, "silent") {
		t.Errorf("ejections = %+v", ev)
	}
}

func TestLargeBodyIsStreamedOnce(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	var mu sync.Mutex
	var length int
	a.handle(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		length = len(firstKey(a.posts))
	})
	w := newWorld(t, nil, a, b)
	if got := w.do("PUT", "/", strings.Repeat("x", 3<<20)); got.status != 200 {
		t.Fatalf("%d %v", got.status, got.err)
	}
	if length != 3<<20 {
		t.Errorf("origin read %d bytes", length)
	}
	w.apply(func(s *route.Service) { s.Limits.Body = 1 << 20 })
	if got := w.do("PUT", "/", strings.Repeat("y", 2<<20)); got.status != 413 {
		t.Errorf("over the limit: %d %v", got.status, got.err)
	}
}

func firstKey(m map[string]int) string {
	for k := range m {
		return k
	}
	return ""
}

func TestAnswerBeforeTheBodysEnd(t *testing.T) {
	a := newSite(t, "a")
	early := func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1024))
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
		time.Sleep(20 * time.Millisecond)
		_ = c.Close()
	}
	a.raw.Store(&early)
	w := newWorld(t, nil, a)
	got := w.do("PUT", "/", strings.Repeat("x", 8<<20))
	if got.err == nil && got.status != 403 {
		t.Errorf("answer = %d, want the origin's 403", got.status)
	}
}
