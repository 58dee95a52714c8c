// Package guard is a strict gate for the bytes of HTTP/1 requests. It stands
// between the socket and net/http's lenient parser and lets through only what
// every parser reads the same way, so that no origin behind Spare can see
// other requests than Spare saw (request smuggling).
//
// What it refuses never reaches the server's parser: in its place the server
// is handed one marked request that the handler answers with the refusal's
// status, in order, after the answers to what was pipelined before it.
//
//	srv := &http.Server{Handler: h, ConnContext: guard.Context}
//	srv.Serve(guard.Listener(ln))
//	// in h: if ref := guard.Refused(r); ref != nil { http.Error(w, ref.Reason, ref.Status) }
//
// Rules: RFC 9112 without its tolerances (no bare CR or LF, no folded lines,
// no space before a colon, one Host, one Content-Length of digits only, no
// Content-Length beside Transfer-Encoding, no coding but "chunked").
package guard

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
)

// Bounds of a request head, in bytes and fields.
const (
	MaxHead   = 64 << 10
	MaxLine   = 16 << 10
	MaxFields = 200
)

// Refusal says why a request was not let through.
type Refusal struct {
	Status int // 4xx
	Reason string
}

func (r *Refusal) Error() string { return r.Reason }

// refusedMethod marks the request that stands in for a refused one. It is not
// valid on the wire without the connection's secret path.
const refusedMethod = "SPARE-REFUSED"

// Listener wraps ln so that its connections are guarded.
func Listener(ln net.Listener) net.Listener { return listener{ln} }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return New(c), nil
}

// Conn is a guarded connection.
type Conn struct {
	net.Conn
	raw     []byte // bytes read from the socket and not yet judged
	out     []byte // bytes let through and not yet read
	frame   frame
	refusal atomic.Pointer[Refusal]
	nonce   string
	open    atomic.Bool // no longer HTTP: pass everything
	err     error
}

// New guards c.
func New(c net.Conn) *Conn { return &Conn{Conn: c} }

type key struct{}

// Context puts a guarded connection into the context of its requests. It is
// the server's ConnContext.
func Context(ctx context.Context, c net.Conn) context.Context {
	if g, ok := c.(*Conn); ok {
		return context.WithValue(ctx, key{}, g)
	}
	return ctx
}

// Refused gives the refusal that r stands in for, or nil for a real request.
func Refused(r *http.Request) *Refusal {
	g, _ := r.Context().Value(key{}).(*Conn)
	if g == nil || r.Method != refusedMethod {
		return nil
	}
	if ref := g.refusal.Load(); ref != nil && r.URL.Path == "/"+g.nonce {
		return ref
	}
	return nil
}

// Passthrough ends the guarding: the connection, which must be hijacked, was
// upgraded to another protocol. It gives false when bytes that followed the
// request were refused already, and are lost.
func Passthrough(r *http.Request) bool {
	g, _ := r.Context().Value(key{}).(*Conn)
	if g == nil {
		return true
	}
	g.open.Store(true)
	return g.refusal.Load() == nil
}

// CloseWrite lets the server send a last answer to a client that is still
// sending.
func (c *Conn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}

// Read gives judged bytes.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(c.out) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		if c.open.Load() {
			return c.readOpen(p)
		}
		if n := c.frame.plain(); n > 0 && len(c.raw) == 0 { // body bytes need no copy
			n, err := c.Conn.Read(p[:min(int64(len(p)), n)])
			c.frame.took(n)
			return n, err
		}
		if err := c.judge(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *Conn) readOpen(p []byte) (int, error) {
	if len(c.raw) > 0 {
		n := copy(p, c.raw)
		c.raw = c.raw[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// judge moves what can be judged from raw to out, reading once when raw does
// not suffice.
func (c *Conn) judge() error {
	n, err := c.frame.next(c.raw)
	var ref *Refusal
	if errors.As(err, &ref) {
		return c.refuse(ref)
	}
	if n > 0 {
		c.out = append(c.out[:0:0], c.raw[:n]...)
		c.raw = c.raw[n:]
		return nil
	}
	if skip := c.frame.skip(c.raw); skip > 0 {
		c.raw = c.raw[skip:]
		return nil
	}
	return c.fill()
}

func (c *Conn) fill() error {
	c.raw = slices.Grow(c.raw, 4096)
	have := len(c.raw)
	n, err := c.Conn.Read(c.raw[have:cap(c.raw)])
	c.raw = c.raw[:have+n]
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// refuse hands the server the stand-in for a refused head, or ends the body
// under way with an error.
func (c *Conn) refuse(ref *Refusal) error {
	c.raw = nil
	c.err = io.EOF
	if c.frame.inBody() {
		c.err = ref
		return ref
	}
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // never fails
	c.nonce = hex.EncodeToString(secret)
	c.refusal.Store(ref)
	c.out = []byte(refusedMethod + " /" + c.nonce + " HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n")
	return nil
}
