package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Bounds of the client.
const (
	warmConns = 128
	mostConns = 4000
	giveUp    = 10 * time.Second // after that a request counts as failed
)

// load is an open-loop client: requests leave by the clock, whether or not
// those before were answered, each on a connection of its own for the time.
// It repeats nothing.
type load struct {
	addr    string
	method  string
	path    string
	want    []byte
	rate    int // requests a second
	total   int
	id      string // begins the ids of POSTs
	idle    []*conn
	mu      sync.Mutex
	slots   chan struct{}
	dropped atomic.Int64 // idle connections that the proxy had closed
}

// shot is what became of one request. Times count from the beginning.
type shot struct {
	at   time.Duration // when it was to be sent
	took time.Duration // from at
	cut  bool          // the body ended early
	fail string        // "" = answered 200, whole and right
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

// run sends all requests, by a clock that begins at began, and gives what
// became of them, in order.
func (l *load) run(ctx context.Context, began time.Time) []shot {
	shots := make([]shot, l.total)
	l.slots = make(chan struct{}, mostConns)
	l.warm()
	var flying sync.WaitGroup
	for i := range shots {
		at := time.Second * time.Duration(i) / time.Duration(l.rate)
		if wait := time.Until(began.Add(at)); wait > 0 {
			time.Sleep(wait)
		}
		if ctx.Err() != nil {
			shots = shots[:i]
			break
		}
		flying.Go(func() {
			s := &shots[i]
			s.at = at
			deadline := began.Add(at + giveUp)
			l.slots <- struct{}{}
			s.cut, s.fail = l.send(i, deadline)
			<-l.slots
			s.took = time.Since(began) - at
		})
	}
	flying.Wait()
	for _, c := range l.idle {
		_ = c.Close()
	}
	return shots
}

// warm opens the connections that are there from the beginning.
func (l *load) warm() {
	for range warmConns {
		if c, err := net.DialTimeout("tcp", l.addr, time.Second); err == nil {
			l.idle = append(l.idle, &conn{Conn: c, r: bufio.NewReader(c)})
		}
	}
}

// take gives an idle connection, or a new one when all are in use.
func (l *load) take(deadline time.Time) (*conn, error) {
	for {
		l.mu.Lock()
		last := len(l.idle) - 1
		if last < 0 {
			break
		}
		c := l.idle[last]
		l.idle = l.idle[:last]
		l.mu.Unlock()
		if c.open() {
			return c, nil
		}
		l.dropped.Add(1)
		_ = c.Close()
	}
	l.mu.Unlock()
	d := net.Dialer{Deadline: deadline}
	c, err := d.Dial("tcp", l.addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, r: bufio.NewReader(c)}, nil
}

// open reports whether the peer has not closed the idle connection. Any client
// looks before it writes.
func (c *conn) open() bool {
	raw, err := c.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	alive := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, e := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		alive = errors.Is(e, syscall.EAGAIN)
		return true
	})
	return err == nil && alive
}

// send sends request i and says whether its answer was cut, and what failed.
func (l *load) send(i int, deadline time.Time) (cut bool, fail string) {
	c, err := l.take(deadline)
	if err != nil {
		return false, "connect: " + cause(err)
	}
	_ = c.SetDeadline(deadline)
	keep, cut, fail := l.exchange(c, i)
	if !keep {
		_ = c.Close()
		return cut, fail
	}
	_ = c.SetDeadline(time.Time{})
	l.mu.Lock()
	l.idle = append(l.idle, c)
	l.mu.Unlock()
	return cut, fail
}

// postID names a POST for the ledgers of the origins.
func (l *load) postID(i int) string { return fmt.Sprintf("%s-%d", l.id, i) }

func (l *load) exchange(c *conn, i int) (keep, cut bool, fail string) {
	var req bytes.Buffer
	fmt.Fprintf(&req, "%s %s HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench\r\n", l.method, l.path)
	if l.method == http.MethodPost {
		id := l.postID(i)
		fmt.Fprintf(&req, "Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(id), id)
	} else {
		req.WriteString("\r\n")
	}
	if _, err := c.Write(req.Bytes()); err != nil {
		return false, false, "write: " + cause(err)
	}
	resp, err := http.ReadResponse(c.r, &http.Request{Method: l.method})
	if err != nil {
		return false, false, "no answer: " + cause(err)
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	switch {
	case err != nil:
		return false, true, "body cut: " + cause(err)
	case resp.StatusCode != http.StatusOK:
		return !resp.Close, false, fmt.Sprintf("status %d", resp.StatusCode)
	case len(got) < len(l.want):
		return false, true, "body cut: short"
	case !bytes.Equal(got, l.want):
		return false, false, "body wrong"
	}
	return !resp.Close, false, ""
}

// cause is the error without its addresses, so that equal ones count together.
func cause(err error) string {
	var no syscall.Errno
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("none in %v", giveUp)
	case errors.As(err, &no):
		return no.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	}
	return err.Error()
}
