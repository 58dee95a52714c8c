package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func idle(p *Pool) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// TestConnectionIsUsedAgainOnlyWhenItIsClean sends two requests to each
// origin: the second must get its own answer, whatever the first one left.
func TestConnectionIsUsedAgainOnlyWhenItIsClean(t *testing.T) {
	const second = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"
	for name, tc := range map[string]struct {
		method, first string
		body          string
		reused        bool
	}{
		"length":                     {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", "first", true},
		"chunks":                     {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n", "first", true},
		"chunks and trailer":         {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\nX: y\r\n\r\n", "first", true},
		"no body":                    {"GET", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
		"length 0":                   {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true},
		"304 with a length":          {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "", true},
		"HEAD with a length":         {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "", true},
		"HEAD with chunks":           {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", true},
		"interim answers":            {"GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", "first", true},
		"asks to close":              {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nfirst", "first", false},
		"HTTP/1.0":                   {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nfirst", "first", false},
		"HTTP/1.0 that stays":        {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nfirst", "first", false},
		"HEAD with a body":           {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst", "", false},
		"204 with a body":            {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nfirst", "", false},
		"304 with a body":            {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nfirst", "", false},
		"longer than told":           {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst!", "first", false},
		"a second answer unasked":    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirstHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray", "first", false},
		"bytes after the last chunk": {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n\r\n", "first", false},
		"length beside chunks":       {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n", "first", true},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(name+" over "+scheme, func(t *testing.T) {
				t.Parallel()
				wrap, opt := secure(t)
				if scheme == "http" {
					wrap, opt = nil, PoolOptions{}
				}
				var conns atomic.Int64
				o := listen(t, wrap, func(c net.Conn, br *bufio.Reader) {
					if conns.Add(1) == 1 {
						script(tc.first, second)(c, br)
					} else {
						script(second)(c, br)
					}
					stay(br)
				})
				p := o.pool(t, scheme, opt)
				req := get("/")
				req.Method = tc.method
				if _, body, _, err := read(p, req); body != tc.body || err != nil {
					t.Fatalf("first: %q, %v", body, err)
				}
				_, body, reused, err := read(p, get("/"))
				if body != "second" || err != nil || reused != tc.reused {
					t.Errorf("second: %q, reused %v, %v", body, reused, err)
				}
			})
		}
	}
}

func TestStrayBytesThatComeLateAreSeenToo(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		wrap, opt := secure(t)
		if scheme == "http" {
			wrap, opt = nil, PoolOptions{}
		}
		var conns atomic.Int64
		o := listen(t, wrap, func(c net.Conn, br *bufio.Reader) {
			script("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")(c, br)
			if conns.Add(1) == 1 {
				time.Sleep(20 * time.Millisecond)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray")
			}
			stay(br)
		})
		p := o.pool(t, scheme, opt)
		_, _, _, _ = read(p, get("/"))
		time.Sleep(60 * time.Millisecond)
		if _, body, _, err := read(p, get("/")); body != "first" || err != nil {
			t.Errorf("%s: %q, %v", scheme, body, err)
		}
	}
}

// Two TLS records in one packet: the second lies decrypted nowhere and in the
// socket no more.
func TestStrayRecordInTheSamePacketIsSeenToo(t *testing.T) {
	wrap, opt := secure(t)
	var conns atomic.Int64
	o := listen(t, func(ln net.Listener) net.Listener { return wrap(gathering{ln}) }, func(c net.Conn, br *bufio.Reader) {
		if conns.Add(1) == 1 {
			_, _ = http.ReadRequest(br)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray")
		} else {
			script("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nright")(c, br)
		}
		stay(br)
	})
	p := o.pool(t, "https", opt)
	if _, body, _, err := read(p, get("/")); body != "first" || err != nil {
		t.Fatalf("%q, %v", body, err)
	}
	if _, body, _, err := read(p, get("/")); body != "right" || err != nil {
		t.Errorf("the second request was given %q, %v", body, err)
	}
}

// gathering sends what is written within 10 ms as one packet.
type gathering struct{ net.Listener }

func (g gathering) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	return &gathered{Conn: c}, err
}

type gathered struct {
	net.Conn
	mu   sync.Mutex
	held []byte
}

func (g *gathered) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.held) == 0 {
		time.AfterFunc(10*time.Millisecond, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			_, _ = g.Conn.Write(g.held)
			g.held = nil
		})
	}
	g.held = append(g.held, b...)
	return len(b), nil
}

func TestBodyClosedBeforeItsEndTakesItsConnectionAlong(t *testing.T) {
	p := listen(t, nil, func(c net.Conn, br *bufio.Reader) {
		script("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")(c, br)
		stay(br)
	}).pool(t, "http", PoolOptions{})
	resp, err := p.RoundTrip(context.Background(), get("/"), quick, true)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadFull(resp.Body, make([]byte, 3))
	_ = resp.Body.Close()
	_ = resp.Body.Close()
	if n := idle(p); n != 0 {
		t.Errorf("%d idle connections", n)
	}
}

// A context that ends after its exchange must not reach the next one.
func TestContextOfAnExchangeThatIsOverHasNoHold(t *testing.T) {
	p := listen(t, nil, func(c net.Conn, br *bufio.Reader) {
		for {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}).pool(t, "http", PoolOptions{})
	for range 300 {
		ctx, cancel := context.WithCancel(context.Background())
		resp, err := p.RoundTrip(ctx, get("/"), quick, true)
		if err != nil {
			cancel()
			t.Fatal(err)
		}
		go cancel()
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			continue // cancelled in time
		}
		if _, body, _, err := read(p, get("/")); body != "ok" || err != nil {
			t.Fatalf("%q %v", body, err)
		}
	}
}

func TestWaitHarmsNoFraming(t *testing.T) {
	for name, parts := range map[string][]string{
		"length": {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", "l", "lo"},
		"chunks": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", "3\r\nllo\r\n", "0\r\n\r\n"},
	} {
		p := listen(t, nil, func(c net.Conn, br *bufio.Reader) {
			_, _ = http.ReadRequest(br)
			for _, part := range parts {
				_, _ = io.WriteString(c, part)
				time.Sleep(60 * time.Millisecond)
			}
			stay(br)
		}).pool(t, "http", PoolOptions{})
		resp, err := p.RoundTrip(context.Background(), get("/"), quick, true)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		waits := 0
		for err == nil && waits < 1000 {
			if err = resp.Wait(time.Now().Add(10 * time.Millisecond)); errors.Is(err, os.ErrDeadlineExceeded) {
				waits, err = waits+1, nil
				continue
			}
			resp.SetReadDeadline(time.Now().Add(time.Second))
			b := make([]byte, 100)
			var n int
			n, err = resp.Body.Read(b)
			got.Write(b[:n])
		}
		_ = resp.Body.Close()
		if got.String() != "hello" || !errors.Is(err, io.EOF) || waits == 0 {
			t.Errorf("%s: %q, %v after %d waits", name, got.String(), err, waits)
		}
		if idle(p) != 1 {
			t.Errorf("%s: the connection was not kept", name)
		}
	}
}

func TestPoolKeepsItsBounds(t *testing.T) {
	o := listen(t, nil, func(c net.Conn, br *bufio.Reader) {
		script("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(c, br)
		stay(br)
	})
	p := o.pool(t, "http", PoolOptions{MaxIdle: 2, IdleTimeout: time.Hour})
	var open []*Response
	for range 5 {
		resp, err := p.Fresh(context.Background(), get("/"), quick)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, resp)
	}
	for _, resp := range open {
		_ = resp.Body.Close()
	}
	if n := idle(p); n != 2 {
		t.Errorf("%d idle connections, want 2", n)
	}
	p.Sweep(time.Now().Add(30 * time.Minute))
	if n := idle(p); n != 2 {
		t.Errorf("%d idle connections after an early sweep, want 2", n)
	}
	p.Sweep(time.Now().Add(2 * time.Hour))
	if n := idle(p); n != 0 {
		t.Errorf("%d idle connections after the sweep", n)
	}
	resp, err := p.RoundTrip(context.Background(), get("/"), quick, true)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	_ = resp.Body.Close()
	if n := idle(p); n != 0 {
		t.Errorf("a closed pool keeps %d connections", n)
	}
}
