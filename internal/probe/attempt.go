package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"time"
	"unicode"

	"github.com/sparecloud/spare/internal/health"
)

// Attempt makes one attempt at t on a new connection and closes that. It ends
// at the check's timeout (default 1 s) or with ctx; when ctx ended first, the
// result says nothing about the target. A nil config means the system's
// certificate authorities. The result's latency is the time to the response
// head, or for TCP to the connection.
func Attempt(ctx context.Context, t Target, config *tls.Config) health.Result {
	res, _, _ := newPlan(t, config).attempt(ctx, nil, true)
	return res
}

// attempt makes one attempt: on a connection of its own when fresh is set,
// else on kept if that still lives, or on a new one. It takes kept over and
// gives the connection to keep for the next attempt, or nil. The error is
// what the result says, for [ours].
func (p *plan) attempt(ctx context.Context, kept net.Conn, fresh bool) (health.Result, net.Conn, error) {
	start := time.Now()
	deadline := start.Add(p.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	request := p.keep
	if fresh {
		request = p.fresh
	}
	answered, conn, err := p.try(ctx, deadline, kept, request)
	if fresh && conn != nil {
		_ = conn.Close()
		conn = nil
	}
	end := time.Now()
	res := health.Result{Target: p.target, At: end.UTC(), OK: err == nil, Latency: end.Sub(start), Fresh: fresh}
	if !answered.IsZero() {
		res.Latency = answered.Sub(start)
	}
	if err != nil {
		var f *failure
		if errors.As(err, &f) {
			res.Cause = f.cause
		}
		res.Detail = detail(err)
	}
	return res, conn, err
}

// try gives the moment of the answer, the connection if it can be used again,
// and why the attempt failed, always as a *failure.
func (p *plan) try(ctx context.Context, deadline time.Time, kept net.Conn, request []byte) (time.Time, net.Conn, error) {
	if p.err != nil {
		return time.Time{}, nil, failed(health.CauseConnect, p.err)
	}
	if kept != nil {
		at, conn, err := p.exchange(ctx, deadline, kept, request)
		if !errors.Is(err, errGone) {
			return at, conn, err
		}
	}
	conn, err := p.dial(ctx, deadline)
	if err != nil {
		return time.Time{}, nil, err
	}
	if request == nil {
		_ = conn.Close()
		return time.Now(), nil, nil
	}
	return p.exchange(ctx, deadline, conn, request)
}

// dial connects, and shakes hands where the target speaks TLS.
func (p *plan) dial(ctx context.Context, deadline time.Time) (net.Conn, error) {
	d := net.Dialer{Deadline: deadline}
	conn, err := d.DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return nil, classified(dialing, err)
	}
	if p.tls == nil {
		return conn, nil
	}
	stop := bound(ctx, conn, deadline)
	defer stop()
	secure := tls.Client(conn, p.tls)
	// Without a context that can end, the handshake starts no goroutine.
	if err := secure.HandshakeContext(context.WithoutCancel(ctx)); err != nil {
		_ = conn.Close()
		return nil, classified(handshake, err)
	}
	return secure, nil
}

// bound lets nothing on conn last beyond the deadline, or beyond ctx.
func bound(ctx context.Context, conn net.Conn, deadline time.Time) (stop func() bool) {
	_ = conn.SetDeadline(deadline) // fails on a closed connection only, and then so does its use
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// detail is the error as one short line.
func detail(err error) string {
	const most = 200
	s := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, err.Error())
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
