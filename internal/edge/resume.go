package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/edge/upstream"
	"github.com/sparecloud/spare/internal/health"
)

// Bounds of a body under way.
const (
	resumesMost  = 3
	bodyPatience = time.Second           // waited for less than bodyProgress: another origin is tried
	bodyGlance   = 50 * time.Millisecond // how often it is looked whether the origin was ejected
	bodyProgress = 64 << 10              // bytes
	bodyIdle     = 60 * time.Second      // without a byte, when nothing else can be done
)

// relay reads an answer's body. When the origin dies or all but stops within
// it and the answer may be continued, the rest comes from another origin by
// Range and If-Range (RFC 9110, 13.1.5 and 14.2): same strong ETag, same
// encoding, same length, the very next byte. Anything else ends the body with
// an error; two answers are never spliced.
type relay struct {
	e    *Edge
	ctx  context.Context // the request's
	c    *call
	out  outcome
	part span
	off  int64 // bytes given so far
	etag string

	resumable bool
	blamed    bool // the origin at hand was held to account already
	tries     int
	waited    time.Duration // for the origin, since mark
	mark      int64
}

// span is the byte range that the answer covers; last and total are -1 when
// not known.
type span struct{ first, last, total int64 }

func (e *Edge) newRelay(ctx context.Context, c *call, out outcome) *relay {
	r := &relay{e: e, ctx: ctx, c: c, out: out, etag: out.resp.Header.Get("Etag")}
	r.part, r.resumable = covered(c.req, out.resp)
	strong := strings.HasPrefix(r.etag, `"`)
	units := out.resp.Header.Get("Accept-Ranges")
	r.resumable = r.resumable && strong && units != "none" && c.req.Method == http.MethodGet && c.req.Payload == nil && c.req.Body == nil
	return r
}

// covered gives the span of an answer, and whether it is one that a range
// request can continue. Where it is not, only the framing tells the end.
func covered(req *upstream.Request, resp *upstream.Response) (span, bool) {
	if req.Method == http.MethodHead { // the length is told, the body is not
		return span{0, -1, -1}, false
	}
	switch resp.Status {
	case http.StatusOK:
		if resp.Length < 0 {
			return span{0, -1, -1}, true
		}
		return span{0, resp.Length - 1, resp.Length}, resp.Length > 0
	case http.StatusPartialContent:
		s, ok := parseContentRange(resp.Header.Get("Content-Range"))
		if ok && resp.Length == s.last-s.first+1 && req.Header.Get("Range") != "" {
			return s, true
		}
	}
	return span{0, -1, -1}, false
}

// parseContentRange reads "bytes first-last/total"; total may be "*".
func parseContentRange(v string) (span, bool) {
	v, ok := strings.CutPrefix(v, "bytes ")
	ends, total, ok2 := strings.Cut(v, "/")
	first, last, ok3 := strings.Cut(ends, "-")
	s := span{total: -1}
	var err1, err2, err3 error
	s.first, err1 = strconv.ParseInt(first, 10, 64)
	s.last, err2 = strconv.ParseInt(last, 10, 64)
	if total != "*" {
		s.total, err3 = strconv.ParseInt(total, 10, 64)
	}
	whole := total == "*" || s.total > s.last
	return s, ok && ok2 && ok3 && err1 == nil && err2 == nil && err3 == nil && s.first >= 0 && s.first <= s.last && whole
}

// Read gives the next bytes of the body, wherever they come from. The error
// is io.EOF at the true end only.
func (r *relay) Read(p []byte) (int, error) {
	for {
		n, err := r.readOnce(p)
		if n > 0 {
			r.off += int64(n)
			if r.part.last >= 0 && r.off > r.part.last-r.part.first+1 {
				return 0, errors.New("body is longer than its range")
			}
			if r.off-r.mark >= bodyProgress {
				r.mark, r.waited = r.off, 0
			}
			return n, nil
		}
		if errors.Is(err, io.EOF) && r.complete() {
			return 0, io.EOF
		}
		if err == nil || r.patient(err) {
			continue
		}
		if stop := r.lost(err); stop != nil {
			return 0, stop
		}
	}
}

func (r *relay) readOnce(p []byte) (int, error) {
	begin := time.Now()
	if r.movable() {
		patience := min(max(bodyPatience-r.waited, time.Millisecond), bodyGlance)
		if err := r.out.resp.Wait(begin.Add(patience)); err != nil {
			r.waited += time.Since(begin)
			return 0, err
		}
	}
	r.out.resp.SetReadDeadline(begin.Add(bodyIdle))
	n, err := r.out.body().Read(p)
	r.waited += time.Since(begin)
	return n, err
}

// movable reports whether the rest could come from elsewhere.
func (r *relay) movable() bool {
	return r.resumable && r.tries < resumesMost && r.elsewhere()
}

// patient reports whether a read that met its deadline is to be repeated: the
// origin has time left, and is still held to be alive.
func (r *relay) patient(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && r.ctx.Err() == nil && r.movable() &&
		r.waited < bodyPatience && !r.out.c.o.ejected.Load()
}

// complete reports whether all that the first answer promised has been given.
func (r *relay) complete() bool {
	return r.part.last < 0 || r.off == r.part.last-r.part.first+1
}

// lost handles a body that broke off: nil means that it goes on.
func (r *relay) lost(err error) error {
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	slow := errors.Is(err, os.ErrDeadlineExceeded)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if r.out.a != nil && !r.blamed {
		r.blamed = true
		r.e.bad(r.c.s, r.out.c.o, health.CauseBody, "body broke off: "+err.Error())
	}
	if !r.resumable || r.tries >= resumesMost {
		return err
	}
	r.tries++
	next, rerr := r.resume()
	if rerr != nil {
		if slow { // it can be read on; should the framing be broken, the next read says so
			r.resumable = false
			return nil
		}
		return fmt.Errorf("%w; not resumed: %w", err, rerr)
	}
	r.out.drop()
	r.out, r.blamed = next, false
	r.waited, r.mark = 0, r.off
	r.c.s.live.resumed.Add(1)
	return nil
}

// elsewhere reports whether another origin serves.
func (r *relay) elsewhere() bool {
	return slices.ContainsFunc(r.c.s.origins, func(c candidate) bool {
		return c.o != r.out.c.o && c.open() && c.tier() != tierOut
	})
}

// resume asks the other origins for the rest, and the same one last.
func (r *relay) resume() (outcome, error) {
	plan := r.c.s.plan(true, time.Now())
	slices.SortStableFunc(plan, func(a, b candidate) int { return b2i(a.o == r.out.c.o) - b2i(b.o == r.out.c.o) })
	err := errors.New("no other origin")
	for _, to := range plan {
		c := &call{s: r.c.s, req: r.rest(), safe: true, started: time.Now(), plan: []candidate{to}}
		out := r.e.fetch(r.ctx, c)
		if out.resp == nil {
			if out.fail != nil {
				err = out.fail
			}
			continue
		}
		if err = r.fits(out.resp); err == nil {
			return out, nil
		}
		out.drop()
	}
	return outcome{}, err
}

// rest is the request for what is still missing.
func (r *relay) rest() *upstream.Request {
	req := *r.c.req
	req.Header = req.Header.Clone()
	for _, h := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		req.Header.Del(h)
	}
	last := ""
	if r.part.last >= 0 {
		last = strconv.FormatInt(r.part.last, 10)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%s", r.part.first+r.off, last))
	req.Header.Set("If-Range", r.etag)
	return &req
}

// fits reports why a continuation must not be used.
func (r *relay) fits(resp *upstream.Response) error {
	if resp.Status != http.StatusPartialContent {
		return fmt.Errorf("status %d instead of 206", resp.Status)
	}
	s, ok := parseContentRange(resp.Header.Get("Content-Range"))
	first := r.out.resp.Header
	switch {
	case !ok || s.first != r.part.first+r.off:
		return errors.New("range does not begin at the next byte")
	case r.part.last >= 0 && s.last != r.part.last:
		return errors.New("range ends elsewhere")
	case r.part.total >= 0 && s.total != r.part.total:
		return errors.New("length changed")
	case r.part.last < 0 && s.last != s.total-1: // an unknown total is no end either
		return errors.New("range does not reach the end")
	case resp.Length >= 0 && resp.Length != s.last-s.first+1:
		return errors.New("body is not as long as its range")
	case resp.Header.Get("Etag") != r.etag:
		return errors.New("ETag changed")
	case resp.Header.Get("Content-Encoding") != first.Get("Content-Encoding"):
		return errors.New("encoding changed")
	}
	if r.part.last < 0 { // from here on the end is known
		r.part.last, r.part.total = s.last, s.total
	}
	return nil
}

func (r *relay) close() { r.out.drop() }

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
