package robustness_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

const big = 200 << 20

// streams serves the tests of long and odd bodies.
func streams(uploaded *atomic.Int64, upstreamGone chan<- struct{}) func(net.Conn) {
	return answers(func(c net.Conn, r *http.Request) bool {
		switch r.URL.Path {
		case "/big":
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", big)
			block := bytes.Repeat([]byte("0123456789abcdef"), 4096)
			for range big / len(block) {
				if _, err := c.Write(block); err != nil {
					return false
				}
			}
		case "/upload":
			n, err := io.Copy(io.Discard, r.Body)
			uploaded.Store(n)
			if err != nil {
				return false
			}
			_, _ = io.WriteString(c, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
		case "/events":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(c, "%x\r\ndata: %04d\n\n\r\n", 12, i); err != nil {
					upstreamGone <- struct{}{}
					return false
				}
				time.Sleep(50 * time.Millisecond)
			}
		case "/socket":
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
			_, _ = io.Copy(c, c) // says back whatever it hears
			upstreamGone <- struct{}{}
			return false
		default:
			return sendPage("alpha")(c, r)
		}
		return true
	})
}

type streamWorld struct {
	*spare
	uploaded atomic.Int64
	gone     chan struct{}
}

func newStreamWorld(t *testing.T) *streamWorld {
	t.Helper()
	w := &streamWorld{gone: make(chan struct{}, 100)}
	a := newRawServer(t, streams(&w.uploaded, w.gone))
	b := newRawServer(t, streams(&w.uploaded, w.gone))
	w.spare = newSpare(t, "  shop:\n"+pair(a.url(), b.url()))
	w.start()
	return w
}

// open sends a request head on a connection of its own and reads the answer's.
func (w *streamWorld) open(t *testing.T, head string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	c, err := net.DialTimeout("tcp", w.http, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	if _, err := io.WriteString(c, head); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, in, resp
}

// peak samples a process's memory until it is stopped.
func peak(pid int) (stop func() float64) {
	quit, result := make(chan struct{}), make(chan float64)
	go func() {
		most := 0.0
		for {
			most = max(most, rss(pid))
			select {
			case <-quit:
				result <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() float64 { close(quit); return <-result }
}

func TestLargeBodiesPassInFlatMemory(t *testing.T) {
	w := newStreamWorld(t)
	data := w.child("data")
	before, stop := rss(data), peak(data)
	began := time.Now()
	_, _, resp := w.open(t, "GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
	defer func() { _ = resp.Body.Close() }()
	n, err := io.Copy(io.Discard, resp.Body)
	if n != big || err != nil {
		t.Errorf("%d of %d bytes came down: %v", n, big, err)
	}
	down := time.Since(began)
	began = time.Now()
	upload(t, w)
	t.Logf("200 MiB down in %v, up in %v", down.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if most := stop(); most > before+40 {
		t.Errorf("the data process grew from %.1f to %.1f MiB", before, most)
	} else {
		t.Logf("data process: %.1f MiB before, %.1f MiB at most", before, most)
	}
}

// upload sends 200 MiB in chunks.
func upload(t *testing.T, w *streamWorld) {
	c, err := net.DialTimeout("tcp", w.http, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	chunk := append([]byte("10000\r\n"), bytes.Repeat([]byte("u"), 0x10000)...)
	chunk = append(chunk, "\r\n"...)
	_, err = io.WriteString(c, "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	for i := 0; i < big/0x10000 && err == nil; i++ {
		_, err = c.Write(chunk)
	}
	if err == nil {
		_, err = io.WriteString(c, "0\r\n\r\n")
	}
	if err != nil {
		t.Fatalf("upload: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
	}
	if err != nil || resp.StatusCode != http.StatusCreated || w.uploaded.Load() != big {
		t.Errorf("upload: %v, %v, %d bytes arrived", resp, err, w.uploaded.Load())
	}
}

// TestWebSocketPasses speaks frames by hand (RFC 6455), and does so on while
// the data process is replaced.
func TestWebSocketPasses(t *testing.T) {
	w := newStreamWorld(t)
	c, in, resp := w.open(t, "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("handshake: %v", resp)
	}
	say := func(text string) {
		frame := []byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0} // the mask is 0
		frame = append(frame, text...)
		if _, err := c.Write(frame); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(in, got); err != nil || !bytes.Equal(got, frame) {
			t.Fatalf("said %q, heard %q, %v", frame, got, err)
		}
	}
	say("one")
	w.killChild("control")
	say("two")
	_ = c.Close()
	select {
	case <-w.gone:
	case <-time.After(5 * time.Second):
		t.Error("the origin never learned that the client has gone")
	}
}

// TestEventsPassAtOnce wants each event before the next, and the origin to
// learn that the listener left.
func TestEventsPassAtOnce(t *testing.T) {
	w := newStreamWorld(t)
	c, _, resp := w.open(t, "GET /events HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n")
	defer func() { _ = resp.Body.Close() }()
	in := bufio.NewReader(resp.Body)
	last, longest := time.Now(), time.Duration(0)
	for i := range 20 {
		line, err := in.ReadString('\n')
		if want := fmt.Sprintf("data: %04d\n", i); err != nil || line != want {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}
		_, _ = in.ReadString('\n')
		longest, last = max(longest, time.Since(last)), time.Now()
	}
	t.Logf("an event every 50 ms; longest gap %v", longest.Round(time.Millisecond))
	if longest > time.Second {
		t.Errorf("events came in heaps: %v without one", longest)
	}
	_ = c.Close()
	select {
	case <-w.gone:
	case <-time.After(5 * time.Second):
		t.Error("the origin never learned that the listener has gone")
	}
}

// TestCutDownloadGoesOnElsewhere kills the origin in the middle of bodies with
// a strong ETag.
func TestCutDownloadGoesOnElsewhere(t *testing.T) {
	a, b := newOrigin(t, "nginx", "alpha"), newOrigin(t, "nginx", "beta")
	content := bytes.Repeat([]byte("every byte in its place; "), 400_000) // 10 MB
	for _, o := range []*origin{a, b} {
		o.file("film", content)
		o.start()
	}
	s := startSpare(t, a, b, "")
	film := func(int) request { return request{method: http.MethodGet, target: "/film", want: content} }
	l := startLoadOf(t, s.http, 10, 10, film)
	time.Sleep(700 * time.Millisecond)
	a.run.kill()
	time.Sleep(700 * time.Millisecond)
	l.stop().wantNoFailure(t, 10)
	if st, err := s.status(); err == nil {
		t.Logf("resumed %d", st.Services[0].Traffic.Resumed)
	}
}
