// Package web is the console: pages for people in front of a browser, made on
// the server from the same [api.Backend] that the JSON API speaks for. They
// work without JavaScript; two small modules add news as it happens and keys.
//
//	o := api.Options{Backend: b, Token: token, ...}
//	console := web.New(web.Options{Backend: b, Token: token, OpenReads: o.ReadsOpen(), Log: log})
//	o.Console = console
//	go console.Run(ctx)
//
// Who may do what is as in package api: pages are open where its documents
// are, and an action needs the token, shown once at the login, which begins a
// session (package session). The Host header is checked by package api.
//
// [Console.Run] looks at the status about once a second, so that rates and the
// last ten minutes (package history) are there when somebody comes to look.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/web/history"
	"github.com/sparecloud/spare/internal/web/session"
)

// Options of [New]. Backend, Token and Log are required.
type Options struct {
	Backend api.Backend
	// Token gives the secret that a login needs. It is asked each time. While
	// it is "" nobody can log in.
	Token func() string
	Log   *slog.Logger
	// OpenReads lets pages be read without a login. Set it exactly where the
	// API's documents are open: see [api.Options.ReadsOpen].
	OpenReads bool
}

// Console is the console as an [http.Handler].
type Console struct {
	Options
	mux      *http.ServeMux
	cross    *http.CrossOriginProtection
	sessions *session.Store
	gate     *session.Gate
	history  *history.History
	news     *news

	viewed atomic.Int64  // when a page was last made, ns since 1970
	wake   chan struct{} // somebody came after a time of nobody

	mu     sync.Mutex
	latest apiv1.Status
	read   time.Time // of latest; zero = none
}

// New builds the console. Rates need [Console.Run].
func New(o Options) *Console {
	c := &Console{
		Options: o, mux: http.NewServeMux(), cross: http.NewCrossOriginProtection(),
		sessions: session.NewStore(), gate: session.NewGate(), history: history.New(), news: newNews(),
		wake: make(chan struct{}, 1),
	}
	c.routes()
	return c
}

// routes is the whole console.
func (c *Console) routes() {
	c.mux.HandleFunc("GET /assets/{digest}/{name}", c.asset)
	c.mux.HandleFunc("GET /live", c.live)
	c.mux.HandleFunc("GET /login", c.page(anybody, c.loginForm))
	c.mux.HandleFunc("POST /login", c.login)
	c.mux.HandleFunc("POST /logout", c.logout)
	c.mux.HandleFunc("GET /keys", c.page(anybody, c.keys))
	c.mux.HandleFunc("GET /{$}", c.page(readers, c.overview))
	c.mux.HandleFunc("GET /services", c.page(readers, c.services))
	c.mux.HandleFunc("GET /services/{id}", c.page(readers, c.service))
	c.mux.HandleFunc("GET /services/{id}/{verb}", c.page(operators, c.preview))
	c.mux.HandleFunc("POST /services/{id}/{verb}", c.page(operators, c.act))
	c.mux.HandleFunc("GET /buckets", c.page(readers, c.buckets))
	c.mux.HandleFunc("GET /buckets/{id}", c.page(readers, c.bucket))
	c.mux.HandleFunc("GET /incidents", c.page(readers, c.incidents))
	c.mux.HandleFunc("GET /incidents/{id}", c.page(readers, c.incident))
	c.mux.HandleFunc("GET /incidents/{id}/report", c.report)
	c.mux.HandleFunc("GET /journal", c.page(readers, c.journal))
	c.mux.HandleFunc("GET /journal/{id}", c.page(readers, c.entry))
	c.mux.HandleFunc("/", c.page(anybody, func(r *http.Request, _ *session.Session) (view, error) {
		return view{}, errs.E(errs.NotFound, "there is no page at %s", r.URL.Path)
	}))
}

// ServeHTTP answers one request.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	guard(w.Header())
	if err := c.cross.Check(r); err != nil {
		c.Log.Warn("console request from another site refused", "method", r.Method, "path", r.URL.Path, "origin", r.Header.Get("Origin"))
		c.fail(w, r, nil, errs.WithHint(errs.E(errs.Denied, "this request comes from another site"), "begin on a page of the console itself"))
		return
	}
	c.mux.ServeHTTP(w, r)
}

// freshFor is how long one look at the status serves all that ask: many
// browsers ask at the same moment, as the same event tells them to.
const freshFor = 250 * time.Millisecond

// status gives the whole picture as of a moment ago. Nobody may change it.
func (c *Console) status(ctx context.Context) (apiv1.Status, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read.IsZero() && time.Since(c.read) < freshFor {
		return c.latest, nil
	}
	st, err := c.Backend.Status(ctx)
	if err != nil {
		return st, err
	}
	c.latest, c.read = st, time.Now()
	return st, nil
}

// forget makes the next page look anew.
func (c *Console) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest, c.read = apiv1.Status{}, time.Time{}
}

// incidentsOpen gives the incidents that are not over, newest first.
func (c *Console) incidentsOpen(ctx context.Context) ([]apiv1.Incident, error) {
	return c.Backend.Incidents(ctx, apiv1.IncidentQuery{State: apiv1.IncidentOpen, Limit: mostOpen})
}

// mostOpen bounds the open incidents on a page.
const mostOpen = 20
