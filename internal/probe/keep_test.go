package probe

import (
	"io"
	"log"
	"net"
	"sync/atomic"
	"testing"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// keepAlive answers n requests on a connection, then closes it. It counts the
// connections.
func keepAlive(conns *atomic.Int32, n int, text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		conns.Add(1)
		for range n {
			readHead(c)
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

func TestConnectionIsKept(t *testing.T) {
	tests := []struct {
		name, text string
		conns      int32 // for six attempts, of which each connection answers three
	}{
		{"length", ok, 2},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 2},
		{"error status", "HTTP/1.1 500 Oops\r\nContent-Length: 5\r\n\r\nhello", 2},
		{"told to close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", 6},
		{"more than was asked for", ok + "HTTP/1.1 408 Request Timeout\r\n\r\n", 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var conns atomic.Int32
			p := newPlan(httpTarget(listen(t, keepAlive(&conns, 3, tt.text)), estate.Check{Status: []int{200, 500}}), nil)
			if tt.name == "error status" {
				p.status = nil
			}
			var kept net.Conn
			for i := range 6 {
				res, conn, _ := p.attempt(t.Context(), kept, false)
				if res.OK == (tt.name == "error status") || res.Fresh {
					t.Fatalf("attempt %d: %+v", i, res)
				}
				kept = conn
			}
			if kept != nil {
				_ = kept.Close()
			}
			if conns.Load() != tt.conns {
				t.Errorf("%d connections, want %d", conns.Load(), tt.conns)
			}
		})
	}
}

// TestDeadKeptConnectionIsNotTheOriginsFault: the origin closed the idle
// connection; what counts is a new one.
func TestDeadKeptConnectionIsNotTheOriginsFault(t *testing.T) {
	for _, end := range []func(*net.TCPConn){func(*net.TCPConn) {}, reset} {
		var conns atomic.Int32
		ended := make(chan struct{}, 10)
		p := newPlan(httpTarget(listen(t, func(c *net.TCPConn) {
			conns.Add(1)
			reply(ok)(c)
			end(c)
			_ = c.Close()
			ended <- struct{}{}
		}), estate.Check{}), nil)
		res, conn, _ := p.attempt(t.Context(), nil, false)
		if !res.OK {
			t.Fatalf("%+v", res)
		}
		<-ended
		res, conn, _ = p.attempt(t.Context(), conn, false)
		if !res.OK || conns.Load() != 2 {
			t.Errorf("%d connections, %+v", conns.Load(), res)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
}

func TestDeadOriginIsRefusedThroughAKeptConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			reply(ok)(c.(*net.TCPConn))
			served <- c
		}
	}()
	p := newPlan(httpTarget(l.Addr().String(), estate.Check{}), nil)
	res, conn, _ := p.attempt(t.Context(), nil, false)
	if !res.OK {
		t.Fatalf("%+v", res)
	}
	_ = l.Close()
	_ = (<-served).Close()
	if res, _, _ = p.attempt(t.Context(), conn, false); res.Cause != health.CauseRefused {
		t.Errorf("%+v", res)
	}
}
