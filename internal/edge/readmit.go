package edge

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/edge/upstream"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// Live traffic ejects; only a check readmits. The checks here are the data
// path's own, so that origins come back while the control plane is dead.
const (
	readmitEvery  = 500 * time.Millisecond
	passesToAdmit = 2
	abandonAfter  = 2 * time.Second // ejected for so long and failing checks: nothing waits for it any more
	checksAtOnce  = 64
	linkPatience  = 3 * time.Second // without control, a table's "down" is tested again
)

// link is whether the control plane is connected.
type link struct{ lostAt time.Time }

// SetLinked says whether the control plane is connected. While it is not, an
// origin that the last table calls down may come back by this edge's own
// checks.
func (e *Edge) SetLinked(up bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case up:
		e.control.lostAt = time.Time{}
	case e.control.lostAt.IsZero():
		e.control.lostAt = time.Now()
	}
}

// readmit checks the origins that are out and due.
func (e *Edge) readmit(now time.Time) {
	r := e.inForce.Load()
	for _, o := range e.waiting(r, now) {
		s := r.byID[o.target.Service]
		if s == nil {
			continue
		}
		o.mu.Lock()
		due := !o.probing && now.After(o.judge.until) && now.Sub(o.probed) >= readmitEvery
		if due {
			o.probing, o.probed = true, now
		}
		o.mu.Unlock()
		if !due {
			continue
		}
		select {
		case e.checks <- struct{}{}:
			e.work.Go(func() { e.checkOut(s, o); <-e.checks })
		default: // a whole site is out: the rest waits its turn
			o.mu.Lock()
			o.probing = false
			o.mu.Unlock()
		}
	}
}

// waiting lists the ejected origins and, when control has been gone for a
// while, those that the table calls down.
func (e *Edge) waiting(r *routing, now time.Time) []*origin {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]*origin, 0, len(e.out))
	for o := range e.out {
		list = append(list, o)
	}
	if lost := e.control.lostAt; r == nil || lost.IsZero() || now.Sub(lost) < linkPatience {
		return list
	}
	for _, s := range r.services {
		for _, c := range s.origins {
			if _, out := e.out[c.o]; !out && c.State == route.Down && !c.o.trusted.Load() {
				list = append(list, c.o)
			}
		}
	}
	return list
}

// checkOut checks an origin that is out, and takes it back after enough
// passes in a row.
func (e *Edge) checkOut(s *service, o *origin) {
	_, err := e.check(s, o)
	o.confirmed.Store(err != nil)
	o.mu.Lock()
	o.probing = false
	if err == nil {
		o.passed++
	} else {
		o.passed = 0
	}
	back := o.passed >= passesToAdmit
	lost := err != nil && o.ejected.Load() && time.Since(o.judge.last) > abandonAfter
	o.mu.Unlock()
	switch {
	case back:
		e.admit(o)
	case lost:
		o.abandon()
	}
}

func (e *Edge) admit(o *origin) {
	e.mu.Lock()
	_, was := e.out[o]
	delete(e.out, o)
	lost := !e.control.lostAt.IsZero()
	e.mu.Unlock()
	o.mu.Lock()
	o.passed = 0
	o.mu.Unlock()
	o.slowSince.Store(time.Now().UnixNano())
	if lost {
		o.trusted.Store(true)
	}
	o.ejected.Store(false)
	e.opt.Log.Info("origin readmitted", "service", o.target.Service, "site", o.target.Site)
	if was || lost {
		e.report(health.Event{Kind: health.Readmitted, Target: o.target, Detail: "2 checks in a row passed"})
	}
}

// suspect checks an origin that has gone silent. Until the check answers, new
// requests prefer other origins.
func (e *Edge) suspect(s *service, o *origin) {
	if o.ejected.Load() || e.stopCtx.Err() != nil || o.suspected.Swap(true) {
		return
	}
	e.work.Go(func() {
		cause, err := e.check(s, o)
		o.suspected.Store(false)
		if err != nil && cause != health.CauseStatus {
			o.confirmed.Store(true)
			e.eject(s, o, baseEjection, cause, "silent, and a check failed: "+err.Error())
		}
	})
}

// check makes one check on a new connection, and gives what is wrong, if
// anything is: always an HTTP request, because a frozen process still accepts
// TCP.
func (e *Edge) check(s *service, o *origin) (health.Cause, error) {
	cfg := s.cfg.Check
	if cfg.Path == "" {
		cfg.Path = "/"
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 500 * time.Millisecond
	}
	host := o.pool.Address().Host
	for _, c := range s.origins {
		if c.o == o {
			host = cmp.Or(cfg.Host, c.Host, host)
		}
	}
	ctx, cancel := context.WithTimeout(e.stopCtx, 2*cfg.Timeout)
	defer cancel()
	req := &upstream.Request{Method: http.MethodGet, Target: cfg.Path, Host: host, Header: http.Header{"User-Agent": {"spare-check"}}}
	resp, err := o.pool.Fresh(ctx, req, upstream.Timeouts{Connect: cfg.Timeout, Head: cfg.Timeout})
	if err != nil {
		return upstream.AsFailure(err).Cause, err
	}
	defer func() { _ = resp.Body.Close() }()
	if ok := slices.Contains(cfg.Status, resp.Status) || (len(cfg.Status) == 0 && resp.Status < 500); !ok {
		return health.CauseStatus, fmt.Errorf("status %d", resp.Status)
	}
	return health.CauseNone, nil
}
