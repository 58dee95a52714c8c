package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/route"
)

func TestBadRequestsTouchNoOrigin(t *testing.T) {
	a := newSite(t, "a")
	w := newWorld(t, func(s *route.Service) { s.Limits.Body = 1000 }, a)
	const ok = "Host: shop\r\nConnection: close\r\n"
	for name, raw := range map[string]string{
		"CL and TE":               "POST / HTTP/1.1\r\n" + ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"TE and CL":               "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
		"two lengths":             "POST / HTTP/1.1\r\n" + ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"two equal lengths":       "POST / HTTP/1.1\r\n" + ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
		"list of lengths":         "POST / HTTP/1.1\r\n" + ok + "Content-Length: 5, 5\r\n\r\nhello",
		"signed length":           "POST / HTTP/1.1\r\n" + ok + "Content-Length: +5\r\n\r\nhello",
		"negative length":         "POST / HTTP/1.1\r\n" + ok + "Content-Length: -5\r\n\r\nhello",
		"hex length":              "POST / HTTP/1.1\r\n" + ok + "Content-Length: 0x5\r\n\r\nhello",
		"huge length":             "POST / HTTP/1.1\r\n" + ok + "Content-Length: 99999999999999999999\r\n\r\nhello",
		"obfuscated coding":       "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two codings":             "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"coding twice":            "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"coding in 1.0":           "POST / HTTP/1.0\r\n" + ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"space before colon":      "POST / HTTP/1.1\r\n" + ok + "Content-Length : 5\r\n\r\nhello",
		"folded line":             "GET / HTTP/1.1\r\n" + ok + "X: a\r\n b\r\n\r\n",
		"bare LF":                 "GET / HTTP/1.1\nHost: shop\n\n",
		"one bare LF":             "GET / HTTP/1.1\r\nHost: shop\nX: y\r\n\r\n",
		"bare CR":                 "GET / HTTP/1.1\r\nHost: shop\r\nX: a\rb\r\n\r\n",
		"NUL in a value":          "GET / HTTP/1.1\r\n" + ok + "X: a\x00b\r\n\r\n",
		"no Host":                 "GET / HTTP/1.1\r\n\r\n",
		"two Hosts":               "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
		"Host with a path":        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
		"Host against target":     "GET http://other/ HTTP/1.1\r\nHost: shop\r\n\r\n",
		"no target":               "GET HTTP/1.1\r\n" + ok + "\r\n",
		"two spaces":              "GET  / HTTP/1.1\r\n" + ok + "\r\n",
		"fragment":                "GET /a#b HTTP/1.1\r\n" + ok + "\r\n",
		"control in target":       "GET /a\x01b HTTP/1.1\r\n" + ok + "\r\n",
		"CONNECT":                 "CONNECT shop:443 HTTP/1.1\r\n" + ok + "\r\n",
		"TRACE":                   "TRACE / HTTP/1.1\r\n" + ok + "\r\n",
		"HTTP/2 preface":          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP/0.9":                "GET /\r\n\r\n",
		"TLS hello":               "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"forged refusal":          "SPARE-REFUSED /x HTTP/1.1\r\n" + ok + "\r\n",
		"unknown expectation":     "POST / HTTP/1.1\r\n" + ok + "Expect: tea\r\nContent-Length: 5\r\n\r\nhello",
		"long request line":       "GET /" + strings.Repeat("a", 20<<10) + " HTTP/1.1\r\n" + ok + "\r\n",
		"long head":               "GET / HTTP/1.1\r\n" + ok + strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 80) + "\r\n",
		"many fields":             "GET / HTTP/1.1\r\n" + ok + strings.Repeat("X: a\r\n", 300) + "\r\n",
		"body over the limit":     "POST / HTTP/1.1\r\n" + ok + "Content-Length: 2000\r\n\r\n",
		"chunks over the limit":   "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + strings.Repeat("x", 2000) + "\r\n0\r\n\r\n",
		"chunk size not hex":      "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
		"chunk size over range":   "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"chunk longer than told":  "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
		"chunk line with bare LF": "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
		"length in a trailer":     "POST / HTTP/1.1\r\n" + ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			line, err := w.rawRequest(raw)
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 4") {
				t.Errorf("answer %q, %v; want 4xx", line, err)
			}
		})
	}
	if got := a.hits.Load(); got != 0 {
		t.Errorf("the origin saw %d requests", got)
	}
}

func TestRefusalKeepsTheOrderOfPipelinedRequests(t *testing.T) {
	a := newSite(t, "a")
	w := newWorld(t, nil, a)
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\r\nGET /3 HTTP/1.1\r\nHost : x\r\n\r\nGET /4 HTTP/1.1\r\nHost: x\r\n\r\n")
	br := bufio.NewReader(c)
	for i, want := range []int{200, 200, 400} {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i+1, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("answer %d = %d, want %d", i+1, resp.StatusCode, want)
		}
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("after the refusal: %v, want the end", err)
	}
	if got := a.hits.Load(); got != 2 {
		t.Errorf("the origin saw %d requests, want 2", got)
	}
}

func TestSwitchedProtocolPassesBothWays(t *testing.T) {
	a := newSite(t, "a")
	a.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, "upgrade", http.StatusUpgradeRequired)
			return
		}
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-Websocket-Accept: x\r\n\r\nhi ")
		_ = buf.Flush()
		_, _ = io.Copy(c, buf)
	})
	w := newWorld(t, nil, a)
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n")
	br := bufio.NewReader(c)
	resp, err := http.ReadResponse(br, nil)
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
	}
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") != "x" {
		t.Fatalf("%v %v", resp, err)
	}
	_, _ = io.WriteString(c, "\n\n\x00 frames are not HTTP \r\n\r\n")
	got := make([]byte, 3+28)
	if _, err := io.ReadFull(br, got); err != nil || !strings.HasPrefix(string(got), "hi \n\n\x00 frames") {
		t.Errorf("%q %v", got, err)
	}
}

func TestEventsArriveAtOnce(t *testing.T) {
	a := newSite(t, "a")
	more := make(chan struct{})
	a.handle(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			<-more
		}
	})
	w := newWorld(t, nil, a)
	resp, err := w.client.Get("http://" + w.addr + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	br := bufio.NewReader(resp.Body)
	for i := range 3 {
		line, err := br.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", i) {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = br.ReadString('\n')
		more <- struct{}{}
	}
}

func TestClientThatLeavesFreesTheOrigin(t *testing.T) {
	a := newSite(t, "a")
	ended := make(chan struct{})
	a.handle(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(ended)
	})
	w := newWorld(t, nil, a)
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	time.Sleep(50 * time.Millisecond)
	_ = c.Close()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("the origin still works for a client that left")
	}
	if s := w.stats(); s.Failed != 0 || s.Origins[0].Failures != 0 {
		t.Errorf("held against the origin: %+v", s)
	}
}

func TestDrainLosesNoRequest(t *testing.T) {
	a := newSite(t, "a")
	a.handle(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond)
		_, _ = io.WriteString(w, "ok")
	})
	w := newWorld(t, nil, a)
	var refused, broken, done atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 20 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got := w.get("/")
				switch {
				case got.err == nil && got.status == 200:
					done.Add(1)
				case got.err != nil && strings.Contains(got.err.Error(), "connection refused"):
					refused.Add(1) // no other process listens here in this test
					time.Sleep(time.Millisecond)
				default:
					broken.Add(1)
					t.Errorf("%d %v", got.status, got.err)
				}
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	w.stop()
	<-w.served
	close(stop)
	wg.Wait()
	if broken.Load() != 0 || done.Load() == 0 || refused.Load() == 0 {
		t.Errorf("done %d, refused %d, broken %d", done.Load(), refused.Load(), broken.Load())
	}
}

func TestNoTableIsUnavailable(t *testing.T) {
	a := newSite(t, "a")
	w := newWorld(t, nil, a)
	w.e.inForce.Store(nil)
	if got := w.get("/"); got.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", got.status)
	}
}

func TestMethodsAndStatusesPass(t *testing.T) {
	a := newSite(t, "a")
	a.handle(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Method", r.Method)
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(304)
		case "/chunks":
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "a")
		case "/redirect":
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(302)
		}
	})
	w := newWorld(t, nil, a)
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, tc := range []struct {
		method, path string
		status       int
	}{{"HEAD", "/", 200}, {"OPTIONS", "/", 200}, {"GET", "/204", 204}, {"GET", "/304", 304}, {"GET", "/chunks", 200}, {"HEAD", "/chunks", 200}, {"GET", "/redirect", 302}, {"PATCH", "/", 200}, {"PURGE", "/", 200}} {
		for range 3 { // keep-alive connections stay in step
			if got := w.do(tc.method, tc.path, ""); got.status != tc.status || got.header.Get("Method") != tc.method {
				t.Errorf("%s %s: %d %v %v", tc.method, tc.path, got.status, got.err, got.header)
			}
		}
	}
}
