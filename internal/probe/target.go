// Package probe makes active checks. [Attempt] is one attempt at one target on
// a new connection; a [Runner] makes attempts at many targets, each in its own
// rhythm, over connections that it keeps and over new ones.
//
// An attempt ends in a [health.Result]: passed, or failed with the first
// cause from the outside in (DNS, refused, connect, TLS, reset, timeout,
// protocol, status, body). Redirects are answers like any other, proxies of
// the environment are not used, and at most 64 KiB of a body are read.
//
// HTTP is spoken directly on the connection, HTTP/1.1 only: a kept connection
// of net/http costs two goroutines, which ten thousand targets cannot afford,
// and its pool hides whether a connection was new.
//
//	r := probe.New(probe.Options{Log: log, Report: func(res health.Result) { results <- res }})
//	r.Set(targets)
//	err := r.Run(ctx)
package probe

import (
	"bytes"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// Target is what is checked: the origin's address and how to check it.
type Target struct {
	estate.Target
	URL   string // http or https, with an optional base path; "tcp://host:port" too for a TCP check
	Host  string // Host header; "" = the URL's host. Check.Host goes before it.
	Check estate.Check
}

// What a check does not say.
const (
	defaultEvery   = time.Second
	defaultTimeout = time.Second
)

// UserAgent is what HTTP checks call themselves.
const UserAgent = "spare-probe"

// plan is a target made ready for many attempts. It is not changed.
type plan struct {
	target   estate.Target
	addr     string      // what to dial
	tls      *tls.Config // nil = no TLS
	timeout  time.Duration
	keep     []byte // the request on a connection that is kept; nil = TCP only
	fresh    []byte // the request on a connection of its own
	status   []int
	contains []byte
	err      error // the target cannot be attempted
}

// newPlan makes a plan. One with a fault in the target fails each attempt
// with that fault, so that it is seen where verdicts are seen.
func newPlan(t Target, base *tls.Config) *plan {
	p := &plan{target: t.Target, timeout: t.Check.Timeout, status: t.Check.Status, contains: []byte(t.Check.Contains)}
	if p.timeout <= 0 {
		p.timeout = defaultTimeout
	}
	u, err := url.Parse(t.URL)
	if err != nil {
		p.err = errs.Wrap(errs.Invalid, err, "read target URL")
		return p
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	if u.Port() != "" {
		port = u.Port()
	}
	if u.Hostname() == "" || port == "" {
		p.err = errs.E(errs.Invalid, "target URL %q has no host and port that could be dialed", t.URL)
		return p
	}
	p.addr = net.JoinHostPort(u.Hostname(), port)
	switch {
	case t.Check.Kind == estate.CheckTCP:
	case u.Scheme != "http" && u.Scheme != "https":
		p.err = errs.E(errs.Invalid, "target URL %q is not http or https", t.URL)
	default:
		p.err = p.prepareHTTP(t, u, base)
	}
	return p
}

func (p *plan) prepareHTTP(t Target, u *url.URL, base *tls.Config) error {
	path, err := url.Parse("/" + strings.TrimPrefix(t.Check.Path, "/"))
	if err != nil || path.Host != "" {
		return errs.E(errs.Invalid, "check path %q is not a path", t.Check.Path)
	}
	req := &http.Request{Method: http.MethodGet, Header: http.Header{"User-Agent": {UserAgent}, "Accept": {"*/*"}}}
	req.URL = &url.URL{
		Scheme: u.Scheme, Host: u.Host, RawQuery: path.RawQuery,
		Path:    strings.TrimSuffix(u.Path, "/") + path.Path,
		RawPath: strings.TrimSuffix(u.EscapedPath(), "/") + path.EscapedPath(),
	}
	if req.Host = t.Check.Host; req.Host == "" {
		req.Host = t.Host
	}
	for _, request := range []*[]byte{&p.keep, &p.fresh} {
		var b bytes.Buffer
		if err := req.Write(&b); err != nil {
			return errs.Wrap(errs.Invalid, err, "write check of %s with host %q and path %q", t.Target, req.Host, t.Check.Path)
		}
		*request = b.Bytes()
		req.Close = true
	}
	if u.Scheme == "https" {
		p.tls = tlsConfig(base, u.Hostname())
	}
	return nil
}

func tlsConfig(base *tls.Config, host string) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if base != nil {
		c = base.Clone()
	}
	if c.ServerName == "" {
		c.ServerName = host
	}
	c.NextProtos = []string{"http/1.1"}
	c.ClientSessionCache = nil // a resumed session would not show the certificate
	return c
}

// accepts reports whether the status is one that passes.
func (p *plan) accepts(status int) bool {
	if len(p.status) == 0 {
		return status >= 200 && status < 500 // a log-in page or a missing one is an answer
	}
	return slices.Contains(p.status, status)
}
