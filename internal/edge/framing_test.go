package edge

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestHeadTellsTheLengthOfABodyThatDoesNotCome(t *testing.T) {
	a := newSite(t, "a")
	a.handle(serveFile(`"v1"`, file))
	w := newWorld(t, nil, a)
	for _, rng := range []string{"", "bytes=0-99"} {
		c, br := w.dial()
		for range 2 { // the connection stays in step
			head := "HEAD / HTTP/1.1\r\nHost: x\r\n"
			if rng != "" {
				head += "Range: " + rng + "\r\n"
			}
			_, _ = io.WriteString(c, head+"\r\n")
			if got := next(t, br, "HEAD"); got.err != nil || got.header.Get("Content-Length") == "" {
				t.Fatalf("range %q: %d %v %v", rng, got.status, got.err, got.header)
			}
		}
	}
	if s := w.stats(); s.Truncated != 0 {
		t.Errorf("truncated = %d", s.Truncated)
	}
}

func TestContentTypeIsNotGuessed(t *testing.T) {
	a := newSite(t, "a")
	speak(a, func(*http.Request) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-Content-Type-Options: nosniff\r\n\r\n<script>"
	})
	w := newWorld(t, nil, a)
	if got := w.get("/"); got.body != "<script>" || got.header["Content-Type"] != nil {
		t.Errorf("%q, Content-Type %q", got.body, got.header["Content-Type"])
	}
}

func TestHeadOfAStreamDoesNotWaitForItsFirstEvent(t *testing.T) {
	a := newSite(t, "a")
	a.handle(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	w := newWorld(t, nil, a)
	w.client.Timeout = 5 * time.Second
	resp, err := w.client.Get("http://" + w.addr + "/events")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

func TestSwitchToHTTP2IsNotPassedOn(t *testing.T) {
	a := newSite(t, "a")
	got := make(chan http.Header, 1)
	a.handle(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header })
	w := newWorld(t, nil, a)
	c, br := w.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
	if ans := next(t, br, "GET"); ans.status != 200 {
		t.Fatalf("%d %v", ans.status, ans.err)
	}
	if h := <-got; h.Get("Upgrade") != "" || h.Get("Http2-Settings") != "" {
		t.Errorf("the origin saw %v", h)
	}
}

// Bytes of the new protocol that come before the 101 look like a malformed
// request to the guard. What stands in for that must not reach the origin.
func TestProtocolSpokenTooEarlyIsNotMixedWithARefusal(t *testing.T) {
	a := newSite(t, "a")
	heard := make(chan string, 1)
	a.handle(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(100 * time.Millisecond)
		c, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
		_ = buf.Flush()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		b, _ := io.ReadAll(buf)
		heard <- string(b)
	})
	w := newWorld(t, nil, a)
	c, br := w.dial()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	time.Sleep(20 * time.Millisecond)
	_, _ = io.WriteString(c, "\x81\x05early")
	_, _ = io.Copy(io.Discard, br)
	if b := <-heard; b != "" && !strings.HasPrefix(b, "\x81\x05early") {
		t.Errorf("the origin heard %q", b)
	}
}
