package robustness_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder is an origin that notes all that it gets and answers anything.
type recorder struct {
	*rawServer
	mu  sync.Mutex
	got bytes.Buffer
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	r := &recorder{}
	r.rawServer = newRawServer(t, func(c net.Conn) {
		buf := make([]byte, 64<<10)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if !bytes.Contains(buf[:n], []byte("User-Agent: spare-")) { // its checks
				r.mu.Lock()
				r.got.Write(buf[:n])
				r.mu.Unlock()
			}
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Origin: alpha\r\nContent-Length: 2\r\n\r\nok"); err != nil {
				return
			}
		}
	})
	return r
}

func (r *recorder) taken() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.got.Reset()
	return r.got.String()
}

// hostile are requests that two parsers could read in two ways, or that no one
// should send. X marks the place of a secret that must not reach the origin.
var hostile = map[string]string{
	"length and coding":           "POST /X HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /X HTTP/1.1\r\nHost: a\r\n\r\n",
	"two lengths":                 "POST /X HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
	"lengths in a list":           "POST /X HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
	"length with a plus":          "POST /X HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
	"length in hexadecimal":       "POST /X HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
	"negative length":             "POST /X HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\nhello",
	"length out of range":         "POST /X HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
	"coding with a tab":           "POST /X HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked, identity\r\n\r\n0\r\n\r\n",
	"coding xchunked":             "POST /X HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
	"two codings":                 "POST /X HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
	"coding in HTTP/1.0":          "POST /X HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"space before the colon":      "POST /X HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
	"folded line":                 "POST /X HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
	"bare LF":                     "GET /X HTTP/1.1\nHost: a\n\n",
	"bare LF between":             "GET /X HTTP/1.1\r\nHost: a\nX-Y: z\r\n\r\n",
	"bare CR":                     "GET /X HTTP/1.1\r\nHost: a\r\nX-Y: z\rTransfer-Encoding: chunked\r\n\r\n",
	"NUL in a field":              "GET /X HTTP/1.1\r\nHost: a\r\nX-Y: z\x00\r\n\r\n",
	"no host":                     "GET /X HTTP/1.1\r\n\r\n",
	"two hosts":                   "GET /X HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"host with a path":            "GET /X HTTP/1.1\r\nHost: a/b\r\n\r\n",
	"host against target":         "GET http://b/X HTTP/1.1\r\nHost: a\r\n\r\n",
	"space in the target":         "GET /X Y HTTP/1.1\r\nHost: a\r\n\r\n",
	"no version":                  "GET /X\r\n\r\n",
	"HTTP/2 preface":              "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"a version of the future":     "GET /X HTTP/1.2\r\nHost: a\r\n\r\n",
	"CONNECT":                     "CONNECT X:443 HTTP/1.1\r\nHost: X:443\r\n\r\n",
	"TRACE":                       "TRACE /X HTTP/1.1\r\nHost: a\r\n\r\n",
	"TLS on a plain port":         "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("X", 100) + "\r\n\r\n",
	"chunk size with a sign":      "POST /X HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
	"chunk size out of range":     "POST /X HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
	"chunk longer than its size":  "POST /X HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
	"chunk size ends in LF":       "POST /X HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
	"length in the trailer":       "POST /X HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n",
	"request line of 20 KiB":      "GET /X" + strings.Repeat("x", 20<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n",
	"head of 100 KiB":             "GET /X HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-Y: "+strings.Repeat("z", 1000)+"\r\n", 100) + "\r\n",
	"300 fields":                  "GET /X HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-Y: z\r\n", 300) + "\r\n",
	"body over the limit":         "POST /X HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n",
	"expectation of another kind": "POST /X HTTP/1.1\r\nHost: a\r\nExpect: teapot\r\nContent-Length: 5\r\n\r\nhello",
	"request in a GET's body":     "GET /X HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nGET /X HTTP/1.1\r\nHost: a\r\n\r\n",
	"garbage":                     "\x00\x01\x02X\xff\xfe\r\n\r\n\r\n\r\n",
}

func TestHostileRequestsTouchNoOrigin(t *testing.T) {
	o := newRecorder(t)
	s := newSpare(t, "  shop:\n"+pair(o.url(), o.url())+"    limits: {body: 1MB}\n")
	s.exec()
	waitFor(t, "Spare to serve", func() bool { return once(s.http, request{method: "GET", target: "/"}).status == 200 })
	o.taken()
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			secret := fmt.Sprintf("s%dt", time.Now().UnixNano())
			status := send(t, s.http, strings.ReplaceAll(text, "X", secret))
			if status < 400 || status > 499 {
				t.Errorf("answered with status %d; want a 4xx", status)
			}
			time.Sleep(5 * time.Millisecond)
			if got := o.taken(); got != "" {
				t.Errorf("the origin got %.300q", got)
			}
		})
	}
	if r := once(s.http, request{method: "GET", target: "/after"}); r.status != 200 || !strings.Contains(o.taken(), "GET /after ") {
		t.Errorf("a good request after that: %v", &r)
	}
}

// send sends the bytes and gives the status of the first answer, 0 for none.
func send(t *testing.T, addr, text string) int {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(3 * time.Second))
	_, _ = io.WriteString(c, text) // an early refusal may cut this short
	var status int
	_, _ = fmt.Fscanf(c, "HTTP/1.1 %d", &status)
	return status
}

// TestSlowClientsStopNobody opens 200 connections that never finish a head,
// and 100 whose body does not come.
func TestSlowClientsStopNobody(t *testing.T) {
	a, b := startOrigins(t, "nginx")
	s := startSpare(t, a, b, "")
	var held []net.Conn
	for i := range 300 {
		c, err := net.DialTimeout("tcp", s.http, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		text := "GET /page HTTP/1.1\r\nHost: slow.example\r\nX-Half: "
		if i >= 200 {
			text = "POST /orders HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 100\r\n\r\nhalf"
		}
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	l := startLoad(t, s.http, gets)
	for time.Since(began) < 3*time.Second {
		for _, c := range held[:200] {
			_, _ = c.Write([]byte("x"))
		}
		time.Sleep(100 * time.Millisecond)
	}
	l.stop().wantNoFailure(t, 800)
	if n := len(a.requests()) + len(b.requests()); n > 1000 {
		t.Errorf("%d requests at the origins", n)
	}
	if nightly {
		slowHeadsAreCut(t, held[:200])
	}
	for _, c := range held {
		_ = c.Close()
	}
}

// slowHeadsAreCut wants the half heads to be given up some time.
func slowHeadsAreCut(t *testing.T, held []net.Conn) {
	for i, c := range held {
		_ = c.SetReadDeadline(time.Now().Add(15 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatalf("half a head on connection %d is waited for without end: %v", i, err)
		}
	}
}
