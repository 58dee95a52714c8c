package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/health"
)

// PoolOptions tune a pool; zero values give the defaults.
type PoolOptions struct {
	MaxIdle     int           // idle connections kept; default 256
	IdleTimeout time.Duration // default 4 s: less than the 5 s after which common servers hang up
	TLSTimeout  time.Duration // of a handshake; default 2 s
	RootCAs     *x509.CertPool
}

// Pool holds the connections to one origin. It is safe for concurrent use.
type Pool struct {
	addr  Address
	opt   PoolOptions
	names resolver
	port  string
	tls   *tls.Config

	mu     sync.Mutex
	idle   []*conn // most recently used last
	closed bool
}

// NewPool makes an empty pool; it connects when it is asked to.
func NewPool(addr Address, opt PoolOptions) *Pool {
	if opt.MaxIdle == 0 {
		opt.MaxIdle = 256
	}
	if opt.IdleTimeout == 0 {
		opt.IdleTimeout = 4 * time.Second
	}
	if opt.TLSTimeout == 0 {
		opt.TLSTimeout = 2 * time.Second
	}
	host, port, _ := net.SplitHostPort(addr.Host)
	p := &Pool{addr: addr, opt: opt, port: port, names: resolver{host: strings.Trim(host, "[]")}}
	if addr.Scheme == "https" {
		p.tls = &tls.Config{
			ServerName: p.names.host, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
			RootCAs: opt.RootCAs, ClientSessionCache: tls.NewLRUClientSessionCache(32),
		}
	}
	return p
}

// Address is the origin's.
func (p *Pool) Address() Address { return p.addr }

// Close closes the idle connections; those in use are closed when their
// exchange ends.
func (p *Pool) Close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
}

// Sweep closes connections that were idle for too long. Call it now and then.
func (p *Pool) Sweep(now time.Time) {
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].idleSince) > p.opt.IdleTimeout {
		n++
	}
	old := append([]*conn(nil), p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// take gives a pooled connection that is still open, or nil.
func (p *Pool) take() *conn {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if time.Since(c.idleSince) < p.opt.IdleTimeout && c.quiet() {
			return c
		}
		c.close()
	}
}

func (p *Pool) put(c *conn) {
	c.idleSince = time.Now()
	p.mu.Lock()
	keep := !p.closed && len(p.idle) < p.opt.MaxIdle
	if keep {
		p.idle = append(p.idle, c)
	}
	p.mu.Unlock()
	if !keep {
		c.close()
	}
}

// dial opens a connection within timeout. Nothing of a request is sent by it.
func (p *Pool) dial(ctx context.Context, timeout time.Duration) (*conn, error) {
	dctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	raw, err := p.connect(dctx)
	if err != nil {
		cause := causeOf(err, health.CauseConnect)
		if cause == health.CauseTimeout {
			cause = health.CauseConnect
		}
		return nil, &Failure{Cause: cause, Client: ctx.Err() != nil, Err: err}
	}
	if p.tls == nil {
		return newConn(p, raw, raw), nil
	}
	hctx, cancelTLS := context.WithTimeout(ctx, p.opt.TLSTimeout)
	defer cancelTLS()
	secure := tls.Client(raw, p.tls)
	if err := secure.HandshakeContext(hctx); err != nil {
		_ = raw.Close()
		return nil, &Failure{Cause: causeOf(err, health.CauseTLS), Client: ctx.Err() != nil, Err: err}
	}
	return newConn(p, secure, raw), nil
}

// connect tries the origin's addresses in turn, each for its share of the
// time that is left.
func (p *Pool) connect(ctx context.Context) (net.Conn, error) {
	addrs, err := p.names.addrs(ctx)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	var all []error
	for i, a := range addrs {
		share := time.Until(deadline) / time.Duration(len(addrs)-i)
		d := net.Dialer{Timeout: max(share, time.Millisecond), KeepAlive: 15 * time.Second}
		c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(a.String(), p.port))
		if err == nil {
			return c, nil
		}
		all = append(all, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(all...)
}
