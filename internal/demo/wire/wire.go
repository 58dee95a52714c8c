// Package wire is one keep-alive HTTP/1.1 connection of a customer of the demo.
// It is not net/http's client, because that sends some requests a second time
// by itself and would hide what a ledger is for: here each request goes out
// once, and a connection that breaks is told.
//
//	c := &wire.Conn{Addr: "127.0.0.1:8080", Timeout: 10 * time.Second}
//	defer c.Close()
//	a := c.Do(req, sum)
package wire

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// Conn is a connection. It is made by the first request that needs it, and
// again after one that broke it. It is for one goroutine.
type Conn struct {
	Addr    string        // host:port
	Timeout time.Duration // of one request, from its sending to the answer's last byte

	net net.Conn
	r   *bufio.Reader
	w   *bufio.Writer
}

// Answer is what came of one request.
type Answer struct {
	Sent   bool // some of the request may have reached the other side
	Status int  // 0 = no answer
	Header http.Header
	Whole  bool  // all of the answer's body came
	Err    error // what went wrong on the way; nil for any whole answer
}

// Close ends the connection.
func (c *Conn) Close() {
	if c.net != nil {
		_ = c.net.Close()
		c.net = nil
	}
}

// Do sends the request once and writes the answer's body to body.
func (c *Conn) Do(req *http.Request, body io.Writer) (a Answer) {
	if err := c.open(); err != nil {
		a.Err = errs.Wrap(errs.Unavailable, err, "connect")
		return a
	}
	again := false
	if a.Err = c.net.SetDeadline(time.Now().Add(c.Timeout)); a.Err == nil {
		a.Sent = true
		again = c.exchange(req, body, &a)
	}
	if !again {
		c.Close()
	}
	return a
}

func (c *Conn) open() (err error) {
	if c.net != nil {
		return nil
	}
	if c.net, err = net.DialTimeout("tcp", c.Addr, c.Timeout); err != nil {
		c.net = nil
		return err
	}
	c.r, c.w = bufio.NewReader(c.net), bufio.NewWriterSize(c.net, 64<<10)
	return nil
}

// exchange reports whether the connection can be used again.
func (c *Conn) exchange(req *http.Request, body io.Writer, a *Answer) (again bool) {
	sent := req.Write(c.w)
	if sent == nil {
		sent = c.w.Flush()
	}
	// A server may refuse a request, and say so, before all of it was sent.
	res, err := http.ReadResponse(c.r, req)
	if err != nil {
		if sent != nil {
			err = sent
		}
		a.Err = errs.Wrap(errs.Unavailable, err, "read the answer")
		return false
	}
	defer func() { _ = res.Body.Close() }()
	a.Status, a.Header = res.StatusCode, res.Header
	if _, err := io.Copy(body, res.Body); err != nil {
		a.Err = errs.Wrap(errs.Unavailable, err, "read the body")
		return false
	}
	a.Whole = true
	return sent == nil && !res.Close
}
