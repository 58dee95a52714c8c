package edge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/route"
)

// speak makes a raw origin of a function that answers each request head.
// Connections are reset when it gives "".
func speak(s *site, answer func(*http.Request) string) {
	h := func(c net.Conn) {
		defer func() { _ = c.Close() }()
		br := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			s.hits.Add(1)
			text := answer(req)
			if text == "" {
				_ = c.(*net.TCPConn).SetLinger(0)
				return
			}
			if _, err := io.WriteString(c, text); err != nil || strings.Contains(text, "Connection: close") {
				return
			}
		}
	}
	s.raw.Store(&h)
}

// dial opens a client connection with a bound on the whole test.
func (w *world) dial() (net.Conn, *bufio.Reader) {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c, bufio.NewReader(c)
}

func next(t *testing.T, br *bufio.Reader, method string) answer {
	t.Helper()
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, body: string(b), header: resp.Header, err: err}
}

// An upload that is answered, or whose origin dies, before its end leaves
// bytes on the client's connection. They have passed the guard as a body and
// must never be read as a request.
func TestRestOfAnUploadIsNeverReadAsARequest(t *testing.T) {
	const size = 100 << 10
	for name, tc := range map[string]struct {
		answer string
		status int
	}{
		"answered early": {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly", 200},
		"origin dies":    {"", 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newSite(t, "a")
			speak(a, func(*http.Request) string { return tc.answer })
			w := newWorld(t, nil, a)
			c, br := w.dial()
			_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", size, strings.Repeat("x", 1000))
			if got := next(t, br, "POST"); got.status != tc.status || got.err != nil {
				t.Fatalf("answer %d, %v; want %d", got.status, got.err, tc.status)
			}
			time.Sleep(2 * clientLinger)
			_, _ = io.WriteString(c, "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
			if got := next(t, br, "GET"); got.err == nil || errors.Is(got.err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection was not closed: %d %v", got.status, got.err)
			}
			if n := a.hits.Load(); n != 1 {
				t.Errorf("the origin saw %d requests", n)
			}
		})
	}
}

func TestUploadThatWasReadWholeKeepsItsConnection(t *testing.T) {
	a := newSite(t, "a")
	w := newWorld(t, nil, a)
	c, br := w.dial()
	for i := range 3 {
		_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", 200<<10, strings.Repeat("x", 200<<10))
		if got := next(t, br, "POST"); got.status != 200 || got.err != nil {
			t.Fatalf("upload %d: %d %v", i, got.status, got.err)
		}
	}
}

func TestUploadOverTheLimitMayHaveBeenApplied(t *testing.T) {
	a := newSite(t, "a")
	speak(a, func(r *http.Request) string {
		_, _ = io.Copy(io.Discard, r.Body)
		return ""
	})
	w := newWorld(t, func(s *route.Service) { s.Limits.Body = 200 << 10 }, a)
	chunk := "10000\r\n" + strings.Repeat("x", 64<<10) + "\r\n"
	c, br := w.dial()
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+strings.Repeat(chunk, 4))
	got := next(t, br, "POST")
	if got.status != 413 || got.header.Get(MaybeApplied) != "true" {
		t.Errorf("%d, %s %q; want 413, true", got.status, MaybeApplied, got.header.Get(MaybeApplied))
	}
}

// A write with consent may be repeated; when the second attempt reaches
// nobody, the first one still may have had its effect.
func TestRepeatedWriteThatNobodyAnswersMayHaveBeenApplied(t *testing.T) {
	a := newSite(t, "a")
	speak(a, func(r *http.Request) string {
		if r.Method == http.MethodPut {
			_ = a.ln.Close()
			return ""
		}
		return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	})
	w := newWorld(t, func(s *route.Service) { s.RetryWrites = true }, a)
	w.get("/") // leaves a connection to be used again
	got := w.do("PUT", "/", "x")
	if got.status != 502 || got.header.Get(MaybeApplied) != "true" {
		t.Errorf("%d, %s %q", got.status, MaybeApplied, got.header.Get(MaybeApplied))
	}
}

func TestWriteThatLeftAnEjectedOriginMayHaveBeenApplied(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	w := newWorld(t, func(s *route.Service) { s.RetryWrites = true }, a, b)
	a.freeze()
	time.AfterFunc(100*time.Millisecond, func() { // b leaves just when a's requests come over
		_ = b.ln.Close()
	})
	got := w.do("PUT", "/", "x")
	if got.status == 200 {
		t.Skip("b took it in time")
	}
	if got.status < 500 || got.header.Get(MaybeApplied) != "true" {
		t.Errorf("%d %q, %s %q", got.status, got.body, MaybeApplied, got.header.Get(MaybeApplied))
	}
}
