package edge

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/edge/guard"
)

// Bounds of a server's connections.
const (
	headPatience = 10 * time.Second // for a request head
	keepIdle     = 75 * time.Second // between requests
	drainMost    = 30 * time.Second
	drainIdle    = time.Second // a connection without a request for so long may go
)

// server is one listener's HTTP server.
type server struct {
	e        *Edge
	draining atomic.Bool

	mu       sync.Mutex
	idle     map[net.Conn]time.Time // since when; zero while a request is under way
	upgraded map[net.Conn]struct{}
}

// Serve answers requests from ln until ctx ends. Then it closes ln and drains:
// requests under way are finished, answers say "Connection: close", and a
// connection without a request is closed only after it was idle for a second,
// so that a client's next request does not meet a closing connection. It
// returns when all have gone, or after 30 s.
func (e *Edge) Serve(ctx context.Context, ln net.Listener) error {
	h := &server{e: e, idle: map[net.Conn]time.Time{}, upgraded: map[net.Conn]struct{}{}}
	srv := &http.Server{
		Handler: h, ConnContext: guard.Context, ConnState: h.track,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            headPatience, IdleTimeout: keepIdle, MaxHeaderBytes: 2 * guard.MaxHead,
		ErrorLog: log.New(errorLog{e.opt.Log}, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(guard.Listener(ln)) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	h.draining.Store(true)
	_ = ln.Close()
	if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
		e.opt.Log.Warn("listener ended with an error", "err", err)
	}
	h.drain()
	return srv.Close()
}

// track keeps the time since which each connection is idle.
func (h *server) track(c net.Conn, s http.ConnState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s {
	case http.StateNew, http.StateIdle:
		h.idle[c] = time.Now()
	case http.StateActive:
		h.idle[c] = time.Time{}
	case http.StateHijacked, http.StateClosed:
		delete(h.idle, c)
	}
}

func (h *server) drain() {
	end := time.Now().Add(drainMost)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for now := range tick.C {
		if left := h.closeIdle(now); left == 0 {
			return
		}
		if now.After(end) {
			h.e.opt.Log.Warn("connections cut at the end of draining")
			h.closeUpgraded()
			return
		}
	}
}

// closeIdle closes what was idle for long enough and counts what is left.
func (h *server) closeIdle(now time.Time) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	left := len(h.upgraded)
	for c, since := range h.idle {
		if !since.IsZero() && now.Sub(since) > drainIdle {
			_ = c.Close()
			continue
		}
		left++
	}
	return left
}

func (h *server) closeUpgraded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.upgraded {
		_ = c.Close()
	}
}
