package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// origin is a listener of a test. Each connection is given to serve, which
// may do with it as it likes; the connection is closed when serve returns.
type origin struct {
	ln    net.Listener
	conns atomic.Int64 // accepted
}

func listen(t *testing.T, wrap func(net.Listener) net.Listener, serve func(c net.Conn, br *bufio.Reader)) *origin {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{ln: ln}
	t.Cleanup(func() { _ = ln.Close() })
	if wrap != nil {
		ln = wrap(ln)
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			o.conns.Add(1)
			go func() {
				defer func() { _ = c.Close() }()
				serve(c, bufio.NewReader(c))
			}()
		}
	}()
	return o
}

func (o *origin) pool(t *testing.T, scheme string, opt PoolOptions) *Pool {
	t.Helper()
	addr, err := ParseAddress(scheme + "://" + o.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool(addr, opt)
	t.Cleanup(p.Close)
	return p
}

// script answers the requests of a connection with the texts in turn, reading
// each request whole, and then returns.
func script(answers ...string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, br *bufio.Reader) {
		for _, text := range answers {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(c, text)
		}
	}
}

// reset ends a connection as a killed process does.
func reset(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) }

// stay keeps a connection open until the other side closes it.
func stay(br *bufio.Reader) { _, _ = io.Copy(io.Discard, br) }

func get(target string) *Request {
	return &Request{Method: "GET", Target: target, Host: "x", Header: http.Header{}}
}

func post(body string) *Request {
	return &Request{Method: "POST", Target: "/", Host: "x", Header: http.Header{}, Payload: []byte(body)}
}

func upload(body io.Reader, length int64) *Request {
	return &Request{Method: "POST", Target: "/", Host: "x", Header: http.Header{}, Body: body, Length: length}
}

var quick = Timeouts{Connect: time.Second, Head: 300 * time.Millisecond}

// read sends a request and gives the whole answer.
func read(p *Pool, req *Request) (status int, body string, reused bool, err error) {
	resp, err := p.RoundTrip(context.Background(), req, quick, false)
	if err != nil {
		return 0, "", false, err
	}
	defer func() { _ = resp.Body.Close() }()
	resp.SetReadDeadline(time.Now().Add(2 * time.Second))
	b, err := io.ReadAll(resp.Body)
	return resp.Status, string(b), resp.Reused, err
}

// secure makes a listener speak TLS with httptest's certificate.
func secure(t *testing.T) (func(net.Listener) net.Listener, PoolOptions) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	wrap := func(ln net.Listener) net.Listener {
		return tls.NewListener(ln, &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12})
	}
	return wrap, PoolOptions{RootCAs: roots}
}

// failing gives some bytes and then an error.
func failing(n int) io.Reader {
	return io.MultiReader(strings.NewReader(strings.Repeat("x", n)), broken{})
}

type broken struct{}

var errBroken = errors.New("client went away")

func (broken) Read([]byte) (int, error) { return 0, errBroken }
