// Package upstream speaks HTTP/1.1 to one origin over a pool of keep-alive
// connections, and tells its caller exactly what a failed exchange may have
// done: whether any byte of the request left, whether any byte of an answer
// came, and what went wrong first.
//
// net/http's client hides just that: it repeats some requests on its own and
// does not say what was sent. A proxy that must never repeat a request which
// may have had an effect cannot use it, so the connection is ours and only the
// parsing of a response is net/http's.
//
//	p := upstream.NewPool(upstream.Address{Scheme: "http", Host: "10.0.0.1:8080"}, upstream.PoolOptions{})
//	resp, err := p.RoundTrip(ctx, &upstream.Request{Method: "GET", Target: "/", Host: "shop.example"})
//	if f := upstream.AsFailure(err); f != nil && !f.Sent { ... safe to send elsewhere ... }
package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/sparecloud/spare/internal/health"
)

// Address is where an origin listens.
type Address struct {
	Scheme string // "http" or "https"
	Host   string // host:port
	Base   string // path put before every request target, without a trailing slash
}

// ParseAddress takes an origin's URL apart. The port defaults to the scheme's.
func ParseAddress(raw string) (Address, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Address{}, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if u.Hostname() == "" || port == "" {
		return Address{}, fmt.Errorf("origin %q is not an http or https URL", raw)
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return Address{Scheme: u.Scheme, Host: host + ":" + port, Base: strings.TrimSuffix(u.EscapedPath(), "/")}, nil
}

// Request is one message to an origin. Header holds end-to-end fields only:
// the connection's own fields (Host, Content-Length, Transfer-Encoding,
// Connection) are written from the other members.
type Request struct {
	Method string
	Target string // origin-form, as the client sent it
	Host   string
	Header http.Header
	// Body and Length: with Payload set the body is in memory and may be sent
	// again. Otherwise Body is read once, Length bytes of it, or until EOF in
	// chunks when Length is -1.
	Payload []byte
	Body    io.Reader
	Length  int64
	Upgrade string // protocol asked for, "" = none
}

// hasStream reports whether the body must be read from the client while it is
// sent.
func (r *Request) hasStream() bool { return r.Body != nil && r.Payload == nil && r.Length != 0 }

// Failure is an exchange that gave no usable response.
type Failure struct {
	Cause    health.Cause
	Sent     bool // at least one byte of the request may have reached the origin
	Answered bool // at least one byte of an answer came
	Reused   bool // on a pooled connection
	Client   bool // the request's own body or context failed: not the origin's fault
	Err      error
}

func (f *Failure) Error() string { return fmt.Sprintf("%s: %v", f.Cause, f.Err) }
func (f *Failure) Unwrap() error { return f.Err }

// AsFailure gives the Failure in err's chain, or nil.
func AsFailure(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return nil
}
