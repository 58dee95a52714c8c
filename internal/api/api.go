// Package api answers Spare's HTTP API: documents for programs and for the
// command line, an operator's actions, an event stream, health and metrics.
//
// All that it says and does comes from a [Backend]. All routes stand in one
// table (routes.go), from which both the [Server] and the OpenAPI document are
// made, so that neither can promise what the other does not keep. The wire
// documents are package apiv1's.
//
//	token, err := api.EnsureToken(e.Data)
//	srv := api.New(api.Options{Backend: b, Token: func() string { return token }, Listen: e.Listen.API, OpenReads: true, Log: log})
//	ln, err := api.Listen(ctx, e.Listen.API, nil)
//	return srv.Run(ctx, ln)
//
// Who may do what: an action always needs the token. Reads are open where
// OpenReads says so, which is for loopback alone; the Host header is then
// checked, so that a page in a browser cannot reach the API under a name of
// its own (DNS rebinding), and no CORS header is ever sent.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
)

// Backend is what the API shows and moves. Its methods are called from many
// goroutines, with a context that ends when the client goes or the request's
// time is over. An error's kind becomes the answer's status.
type Backend interface {
	// Status gives the whole picture. It is called for single services too, so
	// it reads what is at hand and asks nobody.
	Status(ctx context.Context) (apiv1.Status, error)
	// Incidents gives those that the query selects, newest first, at most
	// q.Limit, which is never 0. State open selects all that are not closed.
	Incidents(ctx context.Context, q apiv1.IncidentQuery) ([]apiv1.Incident, error)
	// Incident gives one. NotFound: there is none of that name.
	Incident(ctx context.Context, id string) (apiv1.Incident, error)
	// Timeline gives the entries that tell of an incident, oldest first.
	// NotFound: there is none of that name.
	Timeline(ctx context.Context, id string) ([]journal.Entry, error)
	// Background gives what a report of the incident needs beside it and its
	// timeline.
	Background(ctx context.Context, in apiv1.Incident) (Background, error)
	// Entries gives one page of the journal in the query's order, and whether
	// there are more behind its last entry.
	Entries(ctx context.Context, q journal.Query) (page []journal.Entry, more bool, err error)
	// Act does what the action says, or with DryRun changes nothing and gives
	// the outcome or error that the same action would have now. NotFound: no
	// such service, or no origin at the site. Conflict: it would do harm and is
	// not forced, or there is nothing to undo.
	Act(ctx context.Context, a Action) (apiv1.Outcome, error)
	// Reload reads the estate file again. Invalid: it is wrong, and the one in
	// force stays so.
	Reload(ctx context.Context, actor string) (apiv1.Reload, error)
	// Ready is nil when a data process serves the newest table; otherwise it is
	// Unavailable and says why not.
	Ready(ctx context.Context) error
}

// Action is an operator's decision, checked for form.
type Action struct {
	Service estate.ServiceID
	Verb    apiv1.Verb
	Site    estate.SiteID // set when Verb.NeedsSite
	For     time.Duration // set when Verb.Expires
	Reason  string        // printable, may be ""
	Force   bool
	DryRun  bool
	Actor   string // "token", or "token:<name>"
}

// Options of [New]. Backend, Token and Log are required.
type Options struct {
	Backend Backend
	// Token gives the secret that actions need. It is asked each time, so that
	// it can be changed. While it is "" nobody may act.
	Token func() string
	Log   *slog.Logger
	// Listen is the address that the API listens on, as the estate file says
	// it. Unless that is beyond loopback, requests must name a loopback host.
	Listen string
	// OpenReads lets documents be read without the token. It has no effect
	// beyond loopback.
	OpenReads bool
	// Metrics answers /metrics; nil leaves that route out.
	Metrics http.Handler
	// Console answers every path outside of /api/ that is no route of the API,
	// after the Host header was checked. It guards itself by
	// [Options.ReadsOpen]. nil: such paths are error documents.
	Console http.Handler
}

// ReadsOpen reports whether documents are read without the token.
func (o Options) ReadsOpen() bool { return o.OpenReads && o.loopback() }

// Server is the API as an [http.Handler].
type Server struct {
	Options
	mux      *http.ServeMux
	openapi  []byte
	streams  chan struct{} // one token for each open event stream
	closing  chan struct{} // closed when streams are to end
	shutdown sync.Once
}

// New builds the API. It listens on nothing: see [Server.Run].
func New(o Options) *Server {
	s := &Server{
		Options: o,
		mux:     http.NewServeMux(),
		streams: make(chan struct{}, maxStreams),
		closing: make(chan struct{}),
	}
	s.OpenReads = o.ReadsOpen()
	table := routes()
	if o.Metrics == nil {
		table = without(table, "/metrics")
	}
	s.openapi = document(table)
	for path, methods := range byPath(table) {
		s.mux.Handle(path, s.path(methods))
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if s.Console != nil && r.URL.Path != "/api" && !strings.HasPrefix(r.URL.Path, "/api/") {
			s.Console.ServeHTTP(w, r)
			return
		}
		s.fail(w, r, errs.WithHint(errs.E(errs.NotFound, "there is nothing at %s", r.URL.Path),
			"GET /api/v1/openapi.json lists what there is"))
	})
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bound(w, readTime)
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if !s.hostAllowed(r.Host) {
		s.fail(w, r, errs.WithHint(errs.E(errs.Denied, "this API does not answer to the name %q", r.Host),
			"use localhost or 127.0.0.1"))
		return
	}
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
				panic(p)
			}
			s.Log.Error("api handler panicked", "method", r.Method, "path", r.URL.Path, "panic", p)
			s.fail(w, r, errs.E(errs.Internal, "the request could not be answered"))
		}
	}()
	s.mux.ServeHTTP(w, r)
}
