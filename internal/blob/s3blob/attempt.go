package s3blob

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

var errSilent = errors.New("the provider has made no progress")

// attempt is one request. It ends the request when the provider makes no
// progress for too long; time that the caller takes is not counted.
type attempt struct {
	ctx   context.Context // the request's own; it does not outlive the call, or the body that it gave
	end   context.CancelCauseFunc
	outer context.Context // the caller's
	quiet time.Duration
	timer *time.Timer
	body  *upload // nil = none that is streamed

	reached atomic.Bool // there was a connection, so something may have been sent
}

func (d *Driver) begin(ctx context.Context, quiet time.Duration) *attempt {
	a := &attempt{outer: ctx, quiet: quiet}
	ctx, a.end = context.WithCancelCause(ctx)
	a.timer = time.AfterFunc(quiet, func() { a.end(errSilent) })
	a.ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { a.reached.Store(true) },
	})
	return a
}

// pause stops the watch while the caller is waited for; progress starts it anew.
func (a *attempt) pause()    { a.timer.Stop() }
func (a *attempt) progress() { a.timer.Reset(a.quiet) }

// close ends the request and gives the caller's body back.
func (a *attempt) close() {
	a.timer.Stop()
	a.end(context.Canceled)
	if a.body != nil {
		a.body.release(a.outer)
	}
}

// silent says whether the provider was given up for its silence.
func (a *attempt) silent() bool { return errors.Is(context.Cause(a.ctx), errSilent) }

// unsent says whether it is certain that the provider does not have the whole
// request, so that it cannot have acted on it.
func (a *attempt) unsent() bool {
	return !a.reached.Load() || a.body != nil && a.body.left.Load() > 0
}
