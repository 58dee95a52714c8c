package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/edge/guard"
	"github.com/sparecloud/spare/internal/edge/upstream"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// MaybeApplied is the field of an error answer that says whether the request
// may have had an effect: "true" or "false".
const MaybeApplied = "Spare-Maybe-Applied"

const (
	bodyInMemory = 64 << 10 // a request body up to this size is collected before an origin is asked
	bodyDefault  = 1 << 30
	clientIdle   = 30 * time.Second // between two reads of a request body
	clientWrite  = 60 * time.Second // for one write of an answer
)

// ServeHTTP answers one request.
func (h *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	if r.ContentLength != 0 { // net/http reads on in a body that nobody wanted
		_ = rc.SetReadDeadline(time.Now().Add(clientIdle))
	}
	defer func() { _ = rc.SetWriteDeadline(time.Now().Add(clientWrite)) }() // the last bytes leave after this
	if h.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	if ref := guard.Refused(r); ref != nil {
		http.Error(w, ref.Reason, ref.Status)
		return
	}
	table := h.e.inForce.Load()
	if table == nil {
		unavailable(w, "no routing table yet")
		return
	}
	s := table.find(r.Host, r.URL.Path)
	switch {
	case s == nil:
		http.Error(w, "no service is declared for this host and path", http.StatusNotFound)
	case h.e.looped(r):
		http.Error(w, "the request has come round in a loop", http.StatusLoopDetected)
	default:
		h.serve(w, r, s)
	}
}

func (h *server) serve(w http.ResponseWriter, r *http.Request, s *service) {
	c := &call{s: s, started: time.Now(), safe: isSafe(r.Method)}
	req, stream, err := h.request(w, r, s)
	if err != nil {
		s.live.refused.Add(1)
		refuseBody(w, err, false)
		return
	}
	if stream != nil {
		w.Header().Set("Connection", "close") // until its end is seen
		defer stream.abandon()
	}
	c.req, c.stream = req, stream
	c.safe = c.safe && stream == nil
	c.repeat = stream == nil && s.cfg.RetryWrites && mayRepeat(req)
	c.plan = s.plan(c.safe, c.started)
	s.live.began(s.cfg.Limits.HedgeBudget)
	if !c.safe && c.parked() {
		s.live.requests.Add(1)
		s.live.failed.Add(1)
		unavailable(w, "the site that takes writes is down")
		return
	}
	out := h.e.fetch(r.Context(), c)
	defer s.live.requests.Add(1)
	if r.Context().Err() != nil {
		out.drop()
		panic(http.ErrAbortHandler) // the client is gone
	}
	s.live.took(time.Since(c.started))
	if out.resp == nil {
		h.fail(w, c, out.fail)
		return
	}
	h.answer(w, r, c, out)
}

// parked reports an unsafe request of a service that writes at one site, while
// that site is known not to answer. Nothing is sent: the outcome is known.
func (c *call) parked() bool {
	if c.s.cfg.Writes != estate.WritesOneSite || len(c.plan) == 0 {
		return false
	}
	to := c.plan[0]
	return (to.o.ejected.Load() && to.o.gone()) || (to.State == route.Down && !to.o.trusted.Load() && len(c.s.origins) > 1)
}

func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// mayRepeat reports whether a service that consents to repeated writes may
// have this one repeated, by what the origin is told.
func mayRepeat(r *upstream.Request) bool {
	switch r.Method {
	case http.MethodPut, http.MethodDelete:
		return true
	case http.MethodPost, http.MethodPatch:
		return r.Header.Get("Idempotency-Key") != ""
	}
	return false
}

var errBodyTooLarge = errors.New("request body over the service's limit")

// request makes the origin's request of the client's. A small body is
// collected; a large one is left to be streamed, and is given too.
func (h *server) request(w http.ResponseWriter, r *http.Request, s *service) (*upstream.Request, *clientBody, error) {
	req := &upstream.Request{Method: r.Method, Target: target(r), Host: r.Host, Header: h.e.forward(r), Upgrade: upgrade(r)}
	limit := s.cfg.Limits.Body
	if limit == 0 {
		limit = bodyDefault
	}
	if r.ContentLength > limit {
		return nil, nil, errBodyTooLarge
	}
	if r.ContentLength == 0 || r.Body == nil || r.Body == http.NoBody {
		return req, nil, nil
	}
	in := &clientBody{r: r.Body, left: limit, rc: http.NewResponseController(w)}
	if r.ContentLength <= bodyInMemory {
		var buf bytes.Buffer
		if _, err := io.CopyN(&buf, in, bodyInMemory+1); errors.Is(err, io.EOF) {
			req.Payload = buf.Bytes()
			if req.Payload == nil {
				req.Payload = []byte{}
			}
			return req, nil, nil
		} else if err != nil {
			return nil, nil, err
		}
		req.Body, req.Length = io.MultiReader(&buf, in), -1
	} else {
		req.Body, req.Length = in, r.ContentLength
	}
	req.Upgrade = ""             // another protocol cannot begin within a body
	_ = in.rc.EnableFullDuplex() // an early answer may overtake the body
	return req, in, nil
}

// target is the request target in origin-form, byte for byte as it came.
func target(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") || r.RequestURI == "*" {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// refuseBody answers a request whose body is at fault, of which an origin may
// have seen the beginning.
func refuseBody(w http.ResponseWriter, err error, maybe bool) {
	w.Header().Set("Connection", "close")
	w.Header().Set(MaybeApplied, strconv.FormatBool(maybe))
	var ref *guard.Refusal
	switch {
	case errors.Is(err, errBodyTooLarge):
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
	case errors.As(err, &ref):
		http.Error(w, ref.Reason, ref.Status)
	default:
		http.Error(w, "the request body did not arrive whole", http.StatusBadRequest)
	}
}

func unavailable(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "1")
	w.Header().Set(MaybeApplied, "false")
	http.Error(w, why, http.StatusServiceUnavailable)
}

// fail answers a request that no origin answered.
func (h *server) fail(w http.ResponseWriter, c *call, f *upstream.Failure) {
	switch {
	case f == nil:
		c.s.live.failed.Add(1)
		unavailable(w, "no origin may serve this request now")
	case f.Client:
		maybe := f.Sent && !c.safe
		if c.s.live.refused.Add(1); maybe {
			c.s.live.maybeApplied.Add(1)
		}
		refuseBody(w, f.Err, maybe)
	case !f.Sent:
		c.s.live.failed.Add(1)
		unavailable(w, "no origin could be reached")
	default:
		status := http.StatusBadGateway
		if f.Cause == health.CauseTimeout {
			status = http.StatusGatewayTimeout
		}
		maybe := "false"
		if c.safe {
			c.s.live.failed.Add(1)
		} else {
			c.s.live.maybeApplied.Add(1)
			maybe = "true"
		}
		w.Header().Set(MaybeApplied, maybe)
		http.Error(w, "the origin did not answer", status)
	}
}

// answer passes an origin's response on.
func (h *server) answer(w http.ResponseWriter, r *http.Request, c *call, out outcome) {
	if out.resp.Status == http.StatusSwitchingProtocols {
		h.switchProtocols(w, r, out)
		return
	}
	if out.resp.Status >= 500 {
		c.s.live.serverErrors.Add(1)
	}
	head := w.Header()
	for k, v := range endToEnd(out.resp.Header) {
		head[k] = v
	}
	for name := range out.resp.Trailer {
		head.Add("Trailer", name)
	}
	if head["Content-Type"] == nil {
		head["Content-Type"] = nil // what the origin did not say is not to be guessed
	}
	if c.stream != nil && c.stream.whole.Load() && !h.draining.Load() {
		head.Del("Connection")
	}
	w.WriteHeader(out.resp.Status)
	body := h.e.newRelay(r.Context(), c, out)
	defer body.close()
	rc := http.NewResponseController(w)
	if out.resp.Length < 0 && !out.resp.Ready() {
		_ = rc.Flush() // the first event may be far off
	}
	if err := copyBody(w, rc, body, out.resp.Length < 0); err != nil {
		if r.Context().Err() == nil && !errors.Is(err, errClient) {
			c.s.live.truncated.Add(1)
			h.e.opt.Log.Warn("response body cut", "service", c.s.cfg.ID, "site", body.out.c.Site, "err", err)
		}
		panic(http.ErrAbortHandler) // a cut body must look cut
	}
	for k, v := range body.out.resp.Trailer {
		head[k] = v
	}
}

var errClient = errors.New("client went away")

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// copyBody passes the body on, at once when its length is not known: somebody
// may be waiting for the next event.
func copyBody(w io.Writer, rc *http.ResponseController, body io.Reader, flush bool) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := body.Read(*buf)
		if n > 0 {
			_ = rc.SetWriteDeadline(time.Now().Add(clientWrite))
			if _, werr := w.Write((*buf)[:n]); werr != nil {
				return errors.Join(errClient, werr)
			}
			if flush {
				if ferr := rc.Flush(); ferr != nil {
					return errors.Join(errClient, ferr)
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// errorLog sends what net/http has to say about connections to debug: clients
// that hang up are no news.
type errorLog struct{ log *slog.Logger }

func (l errorLog) Write(p []byte) (int, error) {
	l.log.LogAttrs(context.Background(), slog.LevelDebug, "http server", slog.String("detail", strings.TrimSpace(string(p))))
	return len(p), nil
}
