package edge

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/sparecloud/spare/internal/edge/upstream"
	"github.com/sparecloud/spare/internal/health"
)

// Bounds and defaults of one request.
const (
	holdLimit     = 64 << 10 // a body up to this size is collected whole before an answer counts
	headTimeout   = 30 * time.Second
	connectQuick  = 300 * time.Millisecond // when another origin could take the request
	connectAtLast = 3 * time.Second        // when none could
)

// call is one client request on its way through the core.
type call struct {
	s       *service
	req     *upstream.Request
	stream  *clientBody // the request's body when it is not in req.Payload
	safe    bool        // GET, HEAD, OPTIONS: may be sent twice, even at once
	repeat  bool        // may be sent again after bytes were sent
	started time.Time
	plan    []candidate
	at      int         // next in plan
	slow    []candidate // could not be connected to in the short time, worth a patient try at the end
	patient bool        // that try is under way
}

// movable reports whether the call may leave an origin that has it already.
func (c *call) movable() bool { return (c.safe || c.repeat) && c.req.Upgrade == "" }

// peek gives the next candidate without taking it.
func (c *call) peek() (candidate, bool) {
	if c.at >= len(c.plan) && len(c.slow) > 0 {
		c.plan, c.at, c.slow, c.patient = c.slow, 0, nil, true
	}
	if c.at >= len(c.plan) {
		return candidate{}, false
	}
	return c.plan[c.at], true
}

func (c *call) take() (candidate, bool) {
	next, ok := c.peek()
	if ok {
		c.at++
	}
	return next, ok
}

func (c *call) timeouts() upstream.Timeouts {
	t := upstream.Timeouts{Connect: connectAtLast, Head: c.s.cfg.Limits.Timeout}
	if t.Head == 0 {
		t.Head = headTimeout
	}
	if c.at < len(c.plan) && c.plan[c.at].tier() != tierOut && !c.patient {
		t.Connect = connectQuick
	}
	return t
}

// outcome is how one attempt ended: with a response, or with a failure.
type outcome struct {
	a    *attempt
	c    candidate
	resp *upstream.Response
	held *bytes.Reader // the whole body, when it was collected
	fail *upstream.Failure
	why  error // set when the attempt was ended from our side
}

// good reports an answer that no other origin needs to be asked for.
func (o *outcome) good() bool { return o.resp != nil && !isServerError(o.resp.Status) }

// isServerError names the statuses that say more about an origin than about
// the request.
func isServerError(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// body is where the answer's body is read from.
func (o *outcome) body() io.Reader {
	if o.held != nil {
		return o.held
	}
	return o.resp.Body
}

// drop closes what the outcome holds.
func (o *outcome) drop() {
	if o.resp != nil {
		_ = o.resp.Body.Close()
	}
	if o.a != nil {
		o.a.end()
	}
}

// fetch has the call answered by the first origin that can, in the plan's
// order. It goes on to the next origin when nothing was sent, or when the call
// may be repeated and the retry budget allows it. Of several bad answers the
// first is given. The caller drops the outcome.
func (e *Edge) fetch(ctx context.Context, c *call) outcome {
	var kept outcome
	for tries := 0; ; tries++ {
		next, ok := c.take()
		if !ok {
			return kept
		}
		if tries > 0 {
			c.s.live.retried.Add(1)
		}
		out := e.race(ctx, c, next)
		switch {
		case out.good():
			if kept.resp != nil {
				e.badStatus(c.s, &kept)
			}
			kept.drop()
			return out
		case out.resp != nil && kept.resp == nil:
			kept.drop()
			kept = out
		case out.fail != nil && kept.resp == nil && (kept.fail == nil || out.fail.Sent):
			kept = out // what may have had an effect is the thing to tell
		default:
			out.drop()
		}
		if !c.patient && out.fail != nil && !out.fail.Sent && (out.fail.Cause == health.CauseConnect || out.why != nil) {
			c.slow = append(c.slow, next) // one lost packet may be all that is wrong
		}
		if ctx.Err() != nil || !e.again(c, &out) {
			if out.resp != nil && tries == 0 {
				e.badStatus(c.s, &out)
			}
			return kept
		}
	}
}

// again reports whether the call may go to another origin after out.
func (e *Edge) again(c *call, out *outcome) bool {
	if _, more := c.peek(); !more {
		return false
	}
	if out.resp != nil {
		return c.movable() && c.s.live.retries.take()
	}
	switch {
	case out.fail.Client && out.why == nil:
		return false // the client's own body failed
	case !out.fail.Sent:
		return true
	case out.why != nil: // left an ejected origin: one request there less, one here more
		return c.movable()
	}
	return c.movable() && c.s.live.retries.take()
}

// attempt sends the call to one origin and waits for an answer that counts: a
// head, and a small body whole, so that an origin that dies or stalls within
// it has not answered.
func (e *Edge) attempt(a *attempt, c *call, to candidate, t upstream.Timeouts) outcome {
	req := c.req
	if to.Host != "" {
		own := *req
		own.Host = to.Host
		req = &own
	}
	resp, err := to.o.pool.RoundTrip(a.ctx, req, t, c.repeat || c.safe)
	if err != nil {
		return e.failure(a, c, to, upstream.AsFailure(err))
	}
	a.heard(time.Now())
	out := outcome{a: a, c: to, resp: resp}
	if hold := c.movable() && resp.Length >= 0 && resp.Length <= holdLimit && req.Method != http.MethodHead; hold {
		whole, err := readBody(resp, t.Head)
		if err != nil {
			_ = resp.Body.Close()
			return e.failure(a, c, to, &upstream.Failure{Cause: health.CauseBody, Sent: true, Answered: true, Client: a.ctx.Err() != nil, Err: err})
		}
		out.held = bytes.NewReader(whole)
	}
	to.o.lat.add(time.Since(a.start), time.Now())
	a.settle()
	if a.why() != nil && out.held == nil { // given up at the last moment: its body cannot be read
		_ = resp.Body.Close()
		return e.failure(a, c, to, &upstream.Failure{Cause: health.CauseBody, Sent: true, Answered: true, Err: a.why()})
	}
	if out.good() {
		to.o.good()
	} else {
		to.o.serverErrors.Add(1)
	}
	return out
}

// failure ends an attempt that gave no answer, and holds it against the
// origin unless it was ended from this side.
func (e *Edge) failure(a *attempt, c *call, to candidate, f *upstream.Failure) outcome {
	out := outcome{c: to, fail: f, why: a.why()}
	a.end()
	switch {
	case out.why != nil: // ended from here: no word of the client's, none on the origin
		f.Client, f.Cause = false, health.CauseTimeout
	case !f.Client:
		e.failed(c.s, to.o, f.Cause, f.Err)
	}
	return out
}
