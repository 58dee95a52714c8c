package api

import (
	"net/http"
	"slices"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
)

func (s *Server) status(r *http.Request) (any, error) {
	return s.Backend.Status(r.Context())
}

func (s *Server) service(r *http.Request) (any, error) {
	st, err := s.Backend.Status(r.Context())
	if err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	i := slices.IndexFunc(st.Services, func(v apiv1.Service) bool { return v.ID == id })
	if i < 0 {
		return nil, errs.E(errs.NotFound, "service %q is not in the estate", id)
	}
	return st.Services[i], nil
}

func (s *Server) buckets(r *http.Request) (any, error) {
	st, err := s.Backend.Status(r.Context())
	return apiv1.BucketList{Buckets: st.Buckets}, err
}

func (s *Server) bucket(r *http.Request) (any, error) {
	st, err := s.Backend.Status(r.Context())
	if err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	i := slices.IndexFunc(st.Buckets, func(b apiv1.Bucket) bool { return b.ID == id })
	if i < 0 {
		return nil, errs.E(errs.NotFound, "bucket %q is not in the estate", id)
	}
	return st.Buckets[i], nil
}

func (s *Server) incidents(r *http.Request) (any, error) {
	q, err := apiv1.ParseIncidentQuery(r.URL.Query())
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if limit == 0 {
		limit = apiv1.DefaultLimit
	}
	q.Limit = limit + 1 // one more, to know whether there is
	list, err := s.Backend.Incidents(r.Context(), q)
	more := len(list) > limit
	return apiv1.IncidentList{Incidents: list[:min(limit, len(list))], More: more}, err
}

func (s *Server) incident(r *http.Request) (any, error) {
	return s.Backend.Incident(r.Context(), r.PathValue("id"))
}

func (s *Server) timeline(r *http.Request) (any, error) {
	inc, err := s.Backend.Incident(r.Context(), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	list, err := s.Backend.Timeline(r.Context(), inc.ID)
	return apiv1.Timeline{Incident: inc, Entries: entries(list)}, err
}

func (s *Server) journal(r *http.Request) (any, error) {
	wire, err := apiv1.ParseJournalQuery(r.URL.Query())
	if err != nil {
		return nil, err
	}
	list, more, err := s.Backend.Entries(r.Context(), query(wire))
	if err != nil {
		return nil, err
	}
	page := apiv1.JournalPage{Entries: entries(list), More: more}
	if more && len(list) > 0 {
		page.Next = list[len(list)-1].ID
	}
	return page, nil
}

func (s *Server) healthz(*http.Request) (any, error) { return apiv1.Health{OK: true}, nil }

func (s *Server) readyz(r *http.Request) (any, error) {
	return apiv1.Health{OK: true}, s.Backend.Ready(r.Context())
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) { s.Metrics.ServeHTTP(w, r) }

func (s *Server) serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.openapi) // the client is gone, and nobody else wants to know
}

// query gives a wire query as the journal understands it. The cursor is the
// last entry of the page before: a bound in the direction of reading.
func query(w apiv1.JournalQuery) journal.Query {
	q := journal.Query{
		Before: w.Before, After: w.After, From: w.From, To: w.To,
		Service: estate.ServiceID(w.Service), Site: estate.SiteID(w.Site),
		Incident: w.Incident, Text: w.Text, Limit: w.Limit, Oldest: w.Oldest,
	}
	if q.Limit == 0 {
		q.Limit = apiv1.DefaultLimit
	}
	for _, k := range w.Kinds {
		q.Kinds = append(q.Kinds, journal.Kind(k))
	}
	switch {
	case w.Cursor == 0:
	case w.Oldest:
		q.After = max(q.After, w.Cursor)
	case q.Before == 0 || w.Cursor < q.Before:
		q.Before = w.Cursor
	}
	return q
}

func entries(list []journal.Entry) []apiv1.Entry {
	out := make([]apiv1.Entry, len(list))
	for i, e := range list {
		out[i] = entry(e)
	}
	return out
}

func entry(e journal.Entry) apiv1.Entry {
	return apiv1.Entry{
		ID: e.ID, At: e.At.UTC(), Recorded: e.Recorded.UTC(), Kind: string(e.Kind), Level: string(e.Level),
		Certainty: string(e.Certainty), Service: string(e.Service), Site: string(e.Site),
		Incident: e.Incident, Actor: e.Actor, Message: e.Message, Data: e.Data,
	}
}
