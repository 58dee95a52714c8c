package edge

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

func stringBody(s string) io.Reader { return strings.NewReader(s) }

func TestPrimaryServesAndSpareRests(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, nil, a, b)
	if failed, _ := w.load(200, 10, "/"); failed != 0 {
		t.Fatalf("%d of 200 failed with all well", failed)
	}
	if got := b.hits.Load(); got > 20 {
		t.Errorf("the spare got %d of 200 requests", got)
	}
}

func TestNoReadFailsWhenTheActiveOriginDies(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, nil, a, b)
	w.load(200, 20, "/")
	var wg sync.WaitGroup
	wg.Go(func() {
		time.Sleep(50 * time.Millisecond)
		a.kill()
	})
	failed, _ := w.load(3000, 20, "/")
	wg.Wait()
	if failed != 0 {
		t.Errorf("%d GETs failed", failed)
	}
	if len(w.saw(health.Ejected)) == 0 {
		t.Error("the dead origin was not ejected")
	}
}

func TestNoReadFailsOrWaitsLongWhenTheActiveOriginFreezes(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, nil, a, b)
	w.load(500, 20, "/")
	a.freeze()
	failed, longest := w.load(1000, 20, "/")
	if failed != 0 {
		t.Errorf("%d GETs failed", failed)
	}
	if longest > 2*time.Second { // measured bounds are bench/failover's
		t.Errorf("longest GET took %s", longest)
	}
	if got := w.saw(health.Ejected); len(got) != 1 || got[0].Cause != health.CauseTimeout {
		t.Errorf("ejections = %+v, want one for silence", got)
	}
	before := a.hits.Load()
	w.load(200, 10, "/")
	a.thaw()
	time.Sleep(50 * time.Millisecond)
	if got := a.hits.Load() - before; got > 25 {
		t.Errorf("the frozen origin was sent %d requests", got)
	}
}

func TestFrozenOriginIsTakenBackOnlyAfterChecks(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, nil, a, b)
	w.load(200, 10, "/")
	a.freeze()
	w.load(300, 10, "/")
	time.Sleep(1500 * time.Millisecond)
	if len(w.saw(health.Readmitted)) != 0 {
		t.Fatal("readmitted while frozen")
	}
	a.thaw()
	w.eventually("readmission", func() bool { return len(w.saw(health.Readmitted)) == 1 })
	w.eventually("traffic returns", func() bool { return w.get("/").header.Get("Site") == "a" })
}

// misbehaviours are ways to be broken while accepting connections.
var misbehaviours = map[string]func(net.Conn){
	"accepts and closes": func(c net.Conn) { _ = c.Close() },
	"resets": func(c net.Conn) {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	},
	"speaks garbage": func(c net.Conn) {
		_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n\r\n")
		time.Sleep(50 * time.Millisecond)
		_ = c.Close()
	},
	"sends half a head": func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
		_ = c.Close()
	},
	"sends half a body": func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
		_ = c.Close()
	},
	"sends half a body and stalls": func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
		time.Sleep(3 * time.Second)
		_ = c.Close()
	},
}

func TestNoReadFailsWhateverTheActiveOriginDoes(t *testing.T) {
	for name, do := range misbehaviours {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newSite(t, "a"), newSite(t, "b")
			a.raw.Store(&do)
			w := newWorld(t, nil, a, b)
			failed, longest := w.load(200, 10, "/")
			if failed != 0 {
				t.Errorf("%d GETs failed", failed)
			}
			if longest > 2*time.Second {
				t.Errorf("longest GET took %s", longest)
			}
			if len(w.saw(health.Ejected)) != 1 {
				t.Errorf("ejections = %+v, want one", w.saw(health.Ejected))
			}
		})
	}
}

func TestHalfOfAnswersAreErrors(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	var n sync.Mutex
	count := 0
	a.handle(func(w http.ResponseWriter, _ *http.Request) {
		n.Lock()
		count++
		odd := count%2 == 1
		n.Unlock()
		if odd {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, "yes")
	})
	w := newWorld(t, nil, a, b)
	if failed, _ := w.load(500, 10, "/"); failed != 0 {
		t.Errorf("%d GETs got an error that the spare did not have", failed)
	}
	if got := w.saw(health.Ejected); len(got) != 1 || got[0].Cause != health.CauseStatus {
		t.Errorf("ejections = %+v, want one for status", got)
	}
}

func TestErrorsOfTheApplicationEjectNobody(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	broken := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bug", http.StatusInternalServerError) }
	a.handle(broken)
	b.handle(broken)
	w := newWorld(t, nil, a, b)
	for range 50 {
		if got := w.get("/"); got.status != 500 || !strings.Contains(got.body, "bug") {
			t.Fatalf("answer = %d %q %v, want the origin's own", got.status, got.body, got.err)
		}
	}
	if got := w.saw(health.Ejected); len(got) != 0 {
		t.Errorf("ejected %+v", got)
	}
}

func TestAllDownFailsOpen(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) {
		s.Origins[0].State = route.Down
		s.Origins[1].State = route.Down
	}, a, b)
	if got := w.get("/"); got.status != 200 {
		t.Errorf("answer = %d, want 200 from an origin held to be down", got.status)
	}
	a.kill()
	b.kill()
	got := w.get("/")
	if got.status != http.StatusServiceUnavailable || got.header.Get(MaybeApplied) != "false" {
		t.Errorf("answer = %d, %s = %q", got.status, MaybeApplied, got.header.Get(MaybeApplied))
	}
}

func TestDrainedOriginGetsNothing(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) { s.Origins[0].State = route.Drained }, a, b)
	w.load(50, 5, "/")
	b.kill()
	w.get("/")
	if a.hits.Load() != 0 {
		t.Error("a drained origin was asked")
	}
}

func TestBalanceFollowsWeights(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) {
		s.Policy = estate.Balance
		s.Origins[0].Weight = 3
	}, a, b)
	w.load(2000, 10, "/")
	share := float64(a.hits.Load()) / 2000
	if share < 0.65 || share > 0.85 {
		t.Errorf("site a of weight 3 in 4 got %.0f %%", share*100)
	}
}

func TestOriginHeldDownComesBackWhileControlIsDead(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) { s.Origins[0].State = route.Down }, a, b)
	if got := w.get("/").header.Get("Site"); got != "b" {
		t.Fatalf("served by %q", got)
	}
	w.e.SetLinked(false)
	w.eventually("the origin serves again", func() bool { return w.get("/").header.Get("Site") == "a" })
}

func TestReturnedOriginStartsSlowly(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) { s.Origins[0].State = route.Down }, a, b)
	w.get("/")
	w.apply(func(s *route.Service) { s.Origins[0].State = route.Up })
	w.load(100, 5, "/")
	if got := a.hits.Load(); got == 0 || got > 60 {
		t.Errorf("a returned origin got %d of the first 100 requests", got)
	}
}

func TestStaleTableIsRefused(t *testing.T) {
	a := newSite(t, "a")
	w := newWorld(t, nil, a)
	old := w.table
	w.apply(func(*route.Service) {})
	if err := w.e.Apply(&old); err == nil {
		t.Error("an older table was taken")
	}
	if got := w.e.Table().Epoch; got != 2 {
		t.Errorf("epoch in force = %d", got)
	}
	bad := w.table
	bad.Epoch = 9
	bad.Services = []route.Service{{ID: "x"}}
	if err := w.e.Apply(&bad); err == nil || w.e.Table().Epoch != 2 {
		t.Errorf("a table without origins was taken: %v", err)
	}
}

func TestRoutingByHostAndPath(t *testing.T) {
	a, b, c := newSite(t, "a"), newSite(t, "b"), newSite(t, "c")
	w := newWorld(t, nil, a)
	one := func(id string, s *site, hosts, paths []string) route.Service {
		return route.Service{ID: estate.ServiceID(id), Policy: estate.Primary, Hosts: hosts, Paths: paths, SpareReads: true,
			Origins: []route.Origin{{Site: estate.SiteID(s.name), URL: s.url(), Weight: 1, State: route.Up}}}
	}
	err := w.e.Apply(&route.Table{Epoch: 2, Services: []route.Service{
		one("www", a, []string{"www.example.com"}, nil), one("api", b, []string{"www.example.com"}, []string{"/api"}),
		one("wild", c, []string{"*.example.com"}, nil),
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ host, path, want string }{
		{"www.example.com", "/", "a"}, {"WWW.Example.com:8080", "/apix", "a"}, {"www.example.com", "/api", "b"},
		{"www.example.com", "/api/v1", "b"}, {"x.example.com", "/", "c"}, {"y.x.example.com", "/", "c"}, {"example.com", "/", ""}, {"other", "/", ""},
	} {
		got := w.get(tc.path, "Host", tc.host)
		if got.header.Get("Site") != tc.want || (tc.want == "" && got.status != 404) {
			t.Errorf("%s%s: site %q status %d, want %q", tc.host, tc.path, got.header.Get("Site"), got.status, tc.want)
		}
	}
}

func TestForwardingFields(t *testing.T) {
	a := newSite(t, "a")
	var got http.Header
	var host string
	a.handle(func(_ http.ResponseWriter, r *http.Request) { got, host = r.Header.Clone(), r.Host })
	w := newWorld(t, nil, a)
	w.get("/", "Host", "shop.example", "X-Forwarded-For", "203.0.113.9", "X-Forwarded-Proto", "https", "Connection", "X-Secret", "X-Secret", "1", "Te", "trailers", "Cookie", "a=b")
	for k, want := range map[string]string{"X-Forwarded-For": "203.0.113.9, 127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.example", "X-Secret": "", "Te": "", "Cookie": "a=b"} {
		if got.Get(k) != want {
			t.Errorf("%s = %q, want %q", k, got.Get(k), want)
		}
	}
	if host != "shop.example" || !strings.HasPrefix(got.Get("Via"), "1.1 spare-") {
		t.Errorf("host %q via %q", host, got.Get("Via"))
	}
	if again := w.get("/", "Via", got.Get("Via")); again.status != http.StatusLoopDetected {
		t.Errorf("a loop was answered %d", again.status)
	}
}

func TestCountsAreWhatHappened(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, nil, a, b)
	w.load(100, 5, "/")
	a.kill()
	w.load(100, 5, "/")
	got := w.stats()
	if got.Requests != 200 || got.Failed != 0 || got.Retried == 0 || got.LongestNS == 0 {
		t.Errorf("traffic = %+v", got)
	}
	if got.Origins[0].Site != "a" || got.Origins[1].Requests < 100 {
		t.Errorf("origins = %+v", got.Origins)
	}
}

func TestOneLostPacketOfTheLastHealthyOriginFailsNoRequest(t *testing.T) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	defer func() { _ = f.Close() }()
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	ln, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	full := false
	for range 5 { // a full queue drops the next connection's first packet
		c, err := net.DialTimeout("tcp", ln.Addr().String(), 100*time.Millisecond)
		if full = err != nil; full {
			break
		}
		defer func() { _ = c.Close() }()
	}
	if !full {
		t.Skip("this kernel's queue does not fill")
	}
	time.AfterFunc(500*time.Millisecond, func() {
		_ = http.Serve(ln, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	})
	b := newSite(t, "b")
	w := newWorld(t, func(s *route.Service) {
		s.Origins = append([]route.Origin{{Site: "slow", URL: "http://" + ln.Addr().String(), Weight: 1, State: route.Up}}, s.Origins...)
	}, b)
	b.kill()
	if got := w.get("/"); got.status != 200 {
		t.Errorf("answer = %d %s: the slow origin was not tried with patience", got.status, got.body)
	}
}

func TestErrorsOnWritesEjectAtOnceAfterMuchGoodTraffic(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, nil, a, b)
	w.postLoad(500, 10, "POST")
	a.handle(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) })
	failed := 0
	for _, got := range w.postLoad(300, 10, "POST") {
		if got.status != 200 {
			failed++
		}
	}
	if failed > 40 {
		t.Errorf("%d of 300 POSTs failed before the origin was ejected", failed)
	}
}

func TestBodiesThatTrailTheirHeadsAreNoReasonToHedge(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	trail := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		_ = http.NewResponseController(w).Flush()
		time.Sleep(40 * time.Millisecond)
		_, _ = w.Write([]byte("body"))
	}
	a.handle(trail)
	b.handle(trail)
	w := newWorld(t, nil, a, b)
	w.load(100, 5, "/")
	time.Sleep(300 * time.Millisecond) // the delay is learnt anew every 250 ms
	before := w.stats().Hedged
	w.load(200, 5, "/")
	if got := w.stats().Hedged - before; got > 40 {
		t.Errorf("%d of 200 requests to healthy origins were hedged", got)
	}
	if got := w.saw(health.Ejected); len(got) != 0 {
		t.Errorf("ejected %+v", got)
	}
}
