package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// Bounds of an action's body.
const (
	maxBody    = 64 << 10 // bytes
	maxReason  = 500      // characters
	defaultFor = time.Hour
	maxFor     = 7 * 24 * time.Hour
)

func (s *Server) act(r *http.Request, v apiv1.Verb) (any, error) {
	var body apiv1.Action
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	who, err := actor(r)
	if err != nil {
		return nil, err
	}
	a, err := NewAction(estate.ServiceID(r.PathValue("id")), v, body, who)
	if err != nil {
		return nil, err
	}
	out, err := s.Backend.Act(r.Context(), a)
	if !a.DryRun {
		s.Log.Info("api action", "verb", a.Verb, "service", a.Service, "site", a.Site, "actor", a.Actor, "err", err)
	}
	return out, err
}

func (s *Server) reload(r *http.Request) (any, error) {
	if err := decode(r, &struct{}{}); err != nil {
		return nil, err
	}
	who, err := actor(r)
	if err != nil {
		return nil, err
	}
	out, err := s.Backend.Reload(r.Context(), who)
	s.Log.Info("api reload", "actor", who, "err", err)
	return out, err
}

// decode reads the request's document, strictly. No body is the empty
// document.
func decode(r *http.Request, doc any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(doc)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("there is more after the document")
		}
	}
	return errs.Wrap(errs.Invalid, err, "read the request's body")
}

// NewAction checks what can be checked without knowing the estate. Invalid:
// body does not fit the verb, or holds what may not be written down.
func NewAction(service estate.ServiceID, v apiv1.Verb, body apiv1.Action, who string) (a Action, err error) {
	a = Action{
		Service: service, Verb: v, Site: estate.SiteID(body.Site),
		Reason: body.Reason, Force: body.Force, DryRun: body.DryRun, Actor: who,
	}
	switch {
	case v.NeedsSite() && a.Site == "":
		return a, errs.E(errs.Invalid, "%s needs a site", v)
	case !v.NeedsSite() && a.Site != "":
		return a, errs.E(errs.Invalid, "%s takes no site", v)
	case utf8.RuneCountInString(a.Reason) > maxReason || !printable(a.Reason):
		return a, errs.E(errs.Invalid, "the reason is longer than %d characters, or not all printable", maxReason)
	case !v.Expires() && body.For != "":
		return a, errs.E(errs.Invalid, "%s takes no duration", v)
	case v.Expires():
		a.For, err = duration(body.For)
	}
	return a, err
}

func duration(s string) (time.Duration, error) {
	if s == "" {
		return defaultFor, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second || d > maxFor {
		return 0, errs.E(errs.Invalid, "for=%q is not a duration from 1s to %.0fh, such as 30m", s, maxFor.Hours())
	}
	return d, nil
}
