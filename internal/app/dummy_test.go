package app_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

const (
	drainBound  = 30 * time.Second
	drainLinger = time.Second // how long an idle connection is kept while draining
)

// dummyEdge answers with its process ID, once it has a table. Its drain is the
// one that the edge needs too, on net/http:
//
//  1. Close the listener. Connections in its queue belong to the successor.
//  2. Answer every further request with "Connection: close".
//  3. Let idle connections be for some time after their last request. A client
//     may have sent a request on one just now: Shutdown, SetKeepAlivesEnabled
//     and Close would all cut it off.
//  4. Then end them by a read deadline, not by Close: a request that has
//     arrived already is read before the deadline is looked at.
//  5. When there is no connection left, or the bound is reached, Close.
type dummyEdge struct {
	table    atomic.Pointer[route.Table]
	linked   atomic.Bool
	draining atomic.Bool
	delay    time.Duration // of an answer

	mu   sync.Mutex
	idle map[net.Conn]time.Time // since when; zero while a request is under way
}

func newDummyEdge() *dummyEdge { return &dummyEdge{idle: map[net.Conn]time.Time{}} }

func (e *dummyEdge) Apply(t *route.Table) error { e.table.Store(t); return nil }
func (e *dummyEdge) Table() *route.Table        { return e.table.Load() }
func (e *dummyEdge) Stats() []health.Traffic    { return nil }
func (e *dummyEdge) SetLinked(on bool)          { e.linked.Store(on) }
func (e *dummyEdge) Close() error               { return nil }

func (e *dummyEdge) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(e.delay)
	if e.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	t := e.table.Load()
	if t == nil {
		http.Error(w, "no table", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintf(w, "%d %d %t", os.Getpid(), t.Epoch, e.linked.Load())
}

// track keeps the idle map. A request that begins while draining must not run
// into the deadline that was meant for the idle connection.
func (e *dummyEdge) track(c net.Conn, s http.ConnState) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch s {
	case http.StateNew, http.StateIdle:
		e.idle[c] = time.Now()
	case http.StateActive:
		e.idle[c] = time.Time{}
		if e.draining.Load() {
			_ = c.SetReadDeadline(time.Time{})
		}
	default:
		delete(e.idle, c)
	}
}

// sweep gives idle connections their deadline and counts all connections.
func (e *dummyEdge) sweep() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c, since := range e.idle {
		if !since.IsZero() {
			_ = c.SetReadDeadline(since.Add(drainLinger))
		}
	}
	return len(e.idle)
}

func (e *dummyEdge) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{Handler: e, ConnState: e.track}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	e.draining.Store(true)
	err := ln.Close()
	if ended := <-served; !errors.Is(ended, net.ErrClosed) { // no connection comes any more
		err = errors.Join(err, ended)
	}
	for end := time.Now().Add(drainBound); e.sweep() > 0 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	return errors.Join(err, srv.Close())
}
