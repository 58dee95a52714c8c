package wire

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func request(t *testing.T, addr string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, "http://"+addr+"/k", bytes.NewReader([]byte("hello")))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestConnectionIsKept(t *testing.T) {
	var made atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	s.Config.ConnState = func(_ net.Conn, c http.ConnState) {
		if c == http.StateNew {
			made.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	c := &Conn{Addr: s.Listener.Addr().String(), Timeout: 5 * time.Second}
	defer c.Close()
	for range 3 {
		var body bytes.Buffer
		if a := c.Do(request(t, c.Addr), &body); a.Err != nil || a.Status != 200 || !a.Whole || body.String() != "hello" {
			t.Fatalf("%+v, %q", a, &body)
		}
	}
	if made.Load() != 1 {
		t.Errorf("%d connections", made.Load())
	}
}

// A server that hangs up on an old connection is told, and not asked again.
func TestNothingIsSentTwice(t *testing.T) {
	var served atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if served.Add(1) == 2 {
			panic(http.ErrAbortHandler)
		}
	}))
	defer s.Close()
	c := &Conn{Addr: s.Listener.Addr().String(), Timeout: 5 * time.Second}
	defer c.Close()
	for i, ok := range []bool{true, false, true} {
		if a := c.Do(request(t, c.Addr), io.Discard); (a.Err == nil) != ok || !a.Sent || int(served.Load()) != i+1 {
			t.Errorf("request %d: %+v, %d arrived", i, a, served.Load())
		}
	}
}

func TestNoAnswerEndsAfterTheTimeout(t *testing.T) {
	held := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer s.Close()
	defer close(held)
	c := &Conn{Addr: s.Listener.Addr().String(), Timeout: 50 * time.Millisecond}
	if a := c.Do(request(t, c.Addr), io.Discard); a.Err == nil || !a.Sent || a.Status != 0 {
		t.Errorf("%+v", a)
	}
}

func TestNobodyThereIsNotSent(t *testing.T) {
	c := &Conn{Addr: "127.0.0.1:1", Timeout: time.Second}
	if a := c.Do(request(t, c.Addr), io.Discard); a.Err == nil || a.Sent {
		t.Errorf("%+v", a)
	}
}
