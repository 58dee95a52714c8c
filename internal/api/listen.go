package api

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// stopWithin is how long requests under way may take when the API stops.
const stopWithin = 5 * time.Second

// Listen opens the API's address. Beyond loopback it refuses (Denied) to do so
// without TLS: the token would travel in clear.
func Listen(ctx context.Context, addr string, tc *tls.Config) (net.Listener, error) {
	if tc == nil && !isLoopback(hostOf(addr)) {
		return nil, clear(addr)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "open listen.api %s", addr)
	}
	// "localhost" is what the resolver says it is.
	if tcp, ok := ln.Addr().(*net.TCPAddr); tc == nil && (!ok || !tcp.IP.IsLoopback()) {
		return nil, errors.Join(clear(addr), ln.Close())
	}
	if tc == nil {
		return ln, nil
	}
	tc = tc.Clone()
	tc.MinVersion = max(tc.MinVersion, tls.VersionTLS12)
	tc.NextProtos = []string{"http/1.1"}
	return tls.NewListener(ln, tc), nil
}

func clear(addr string) error {
	return errs.WithHint(errs.E(errs.Denied, "listen.api %s is beyond loopback and has no TLS", addr),
		"use 127.0.0.1, or give listen.api a certificate and key")
}

// Run answers on ln until ctx ends, then lets requests under way finish, ends
// event streams, and closes ln. It gives nil after such a stop.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	srv.RegisterOnShutdown(func() { s.shutdown.Do(func() { close(s.closing) }) })
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return errs.Wrap(errs.Unavailable, err, "serve the API on %s", ln.Addr())
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := srv.Shutdown(stop); err != nil {
		s.Log.Warn("api requests cut at stop", "err", err)
		_ = srv.Close() // what it could say has been said
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return errs.Wrap(errs.Unavailable, err, "serve the API on %s", ln.Addr())
	}
	return nil
}
