package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
)

// path answers all methods of one path.
func (s *Server) path(methods map[string]route) http.Handler {
	allow := slices.Sorted(maps.Keys(methods))
	if _, ok := methods[http.MethodGet]; ok {
		allow = append(allow, http.MethodHead)
	}
	allowed := strings.Join(allow, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // net/http drops the body
		}
		rt, ok := methods[method]
		if !ok {
			w.Header().Set("Allow", allowed)
			s.write(w, http.StatusMethodNotAllowed, apiv1.ErrorOf(errs.E(errs.Invalid, "%s takes %s, not %s", r.URL.Path, allowed, r.Method)))
			return
		}
		s.answer(w, r, rt)
	})
}

// answer checks one request against its route and serves it within its time.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, rt route) {
	if !s.permitted(r, rt.access) {
		s.Log.Warn("api request denied", "method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr)
		w.Header().Set("WWW-Authenticate", `Bearer realm="spare"`)
		s.write(w, http.StatusUnauthorized, apiv1.ErrorOf(errs.WithHint(
			errs.E(errs.Denied, "this needs the token"),
			"send Authorization: Bearer with what the file \"token\" in the data folder holds")))
		return
	}
	if rt.raw != nil && !rt.stream && rt.params == nil {
		rt.raw(s, w, r)
		return
	}
	if err := known(r, rt.params); err != nil {
		s.fail(w, r, err)
		return
	}
	if rt.raw != nil {
		rt.raw(s, w, r)
		return
	}
	limit := readTime
	if rt.access == act {
		limit = actTime
		bound(w, limit)
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	doc, err := rt.doc(s, r.WithContext(ctx))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.write(w, http.StatusOK, doc)
}

// bound sets the connection's deadlines for one request: a client that sends
// or takes its bytes too slowly loses it. Where there is no connection (tests)
// there is nothing to set.
func bound(w http.ResponseWriter, d time.Duration) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(d))
	_ = rc.SetWriteDeadline(time.Now().Add(d + 5*time.Second))
}

// known refuses query parameters that the route does not have: a filter with
// a typing error must not show everything.
func known(r *http.Request, params []param) error {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "read the query")
	}
	for name := range given {
		if !slices.ContainsFunc(params, func(p param) bool { return p.name == name }) {
			return errs.E(errs.Invalid, "parameter %q is not known to %s", name, r.URL.Path)
		}
	}
	return nil
}

// write answers with a document. Its lists are never null.
func (s *Server) write(w http.ResponseWriter, code int, doc any) {
	body, err := json.MarshalIndent(withLists(doc), "", "  ")
	if err != nil {
		s.Log.Error("api answer not written", "err", err)
		http.Error(w, `{"kind":"internal","message":"the answer could not be written"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // the client is gone, and nobody else wants to know
}

// fail answers with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	code := errs.HTTPStatus(err)
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		code = http.StatusRequestEntityTooLarge
	}
	if code == http.StatusInternalServerError {
		s.Log.Error("api request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	s.write(w, code, apiv1.ErrorOf(err))
}
