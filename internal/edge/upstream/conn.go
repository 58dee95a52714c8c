package upstream

import (
	"bufio"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// maxHead bounds an origin's response head, in bytes.
const maxHead = 256 << 10

var errHeadTooLarge = errors.New("response head over 256 KiB")

// conn is one connection to an origin. One exchange at a time uses it.
type conn struct {
	pool      *Pool
	nc        net.Conn // what we speak on
	raw       net.Conn // the TCP connection below
	br        *bufio.Reader
	idleSince time.Time
	headLeft  int   // bytes that the head under way may still take; < 0 = no bound
	received  int64 // bytes of this exchange
	sent      int64
	ended     error // of the last read, when it failed
}

func newConn(p *Pool, nc, raw net.Conn) *conn {
	c := &conn{pool: p, nc: nc, raw: raw, headLeft: -1}
	c.br = bufio.NewReaderSize(reader{c}, 8<<10)
	return c
}

func (c *conn) close() { _ = c.nc.Close() }

// reader counts what arrives and bounds a response head.
type reader struct{ c *conn }

func (r reader) Read(p []byte) (int, error) {
	c := r.c
	if c.headLeft == 0 {
		return 0, errHeadTooLarge
	}
	if c.headLeft > 0 && len(p) > c.headLeft {
		p = p[:c.headLeft]
	}
	n, err := c.nc.Read(p)
	c.received += int64(n)
	c.ended = err
	if c.headLeft > 0 {
		c.headLeft -= n
	}
	return n, err
}

// Write counts what was handed to the kernel.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.nc.Write(p)
	c.sent += int64(n)
	return n, err
}

// quiet reports whether an idle connection is still open and has nothing to
// say: a peek at the socket without waiting. An origin that hung up, or sent
// bytes nobody asked for, makes it unusable.
func (c *conn) quiet() bool {
	sc, ok := c.raw.(syscall.Conn)
	if !ok || c.br.Buffered() > 0 {
		return false
	}
	if c.nc != c.raw { // TLS may hold bytes of its own that the socket no longer shows
		_ = c.nc.SetReadDeadline(past)
		if _, err := c.br.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		_ = c.nc.SetReadDeadline(time.Time{})
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	open := false
	err = rc.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, perr := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		open = errors.Is(perr, syscall.EAGAIN)
		return true
	})
	return err == nil && open
}
