package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// access says what a request must show to be answered.
type access int

const (
	open access = iota // nothing: answers hold no more than yes or no
	read               // the token, unless reads are open
	act                // the token
)

// How long a request may take. An action may have to wait for a fence hook.
const (
	readTime = 10 * time.Second
	actTime  = 60 * time.Second
)

// route is one thing that can be asked. Exactly one of doc and raw is set.
type route struct {
	name    string // operationId
	method  string
	path    string
	summary string
	access  access
	params  []param
	body    any // zero value of the request's document; nil = none
	reply   any // zero value of the answer's document; nil = see media
	media   string
	also    []string // further media that it answers in
	stream  bool     // answers for as long as the client listens
	doc     func(s *Server, r *http.Request) (any, error)
	raw     func(s *Server, w http.ResponseWriter, r *http.Request)
}

// param is one query parameter.
type param struct {
	name, about string
	kind        string // JSON type, or "date-time"
	enum        []string
	many        bool
}

var filters = []param{
	{name: "kind", about: "entries of this kind; may be repeated", kind: "string", many: true},
	{name: "service", about: "entries about this service", kind: "string"},
	{name: "site", about: "entries about this site", kind: "string"},
	{name: "incident", about: "entries of this incident", kind: "string"},
	{name: "text", about: "entries whose message holds this text", kind: "string"},
	{name: "from", about: "entries of this time or later", kind: "date-time"},
	{name: "to", about: "entries before this time", kind: "date-time"},
}

var paging = []param{
	{name: "before", about: "entries with a smaller id", kind: "integer"},
	{name: "after", about: "entries with a larger id", kind: "integer"},
	{name: "limit", about: "entries in a page: 1 to 500, default 100", kind: "integer"},
	{name: "order", about: "default newest", kind: "string", enum: []string{"newest", "oldest"}},
	{name: "cursor", about: "next of the page before", kind: "integer"},
}

// routes is the whole API.
func routes() []route {
	table := []route{
		{name: "status", method: http.MethodGet, path: "/api/v1/status", access: read,
			summary: "All services, origins, buckets and data processes", reply: apiv1.Status{}, doc: (*Server).status},
		{name: "service", method: http.MethodGet, path: "/api/v1/services/{id}", access: read,
			summary: "One service and its origins", reply: apiv1.Service{}, doc: (*Server).service},
		{name: "buckets", method: http.MethodGet, path: "/api/v1/buckets", access: read,
			summary: "All buckets and their replicas", reply: apiv1.BucketList{}, doc: (*Server).buckets},
		{name: "bucket", method: http.MethodGet, path: "/api/v1/buckets/{id}", access: read,
			summary: "One bucket and its replicas", reply: apiv1.Bucket{}, doc: (*Server).bucket},
		{name: "incidents", method: http.MethodGet, path: "/api/v1/incidents", access: read,
			summary: "Incidents, newest first", reply: apiv1.IncidentList{}, doc: (*Server).incidents,
			params: []param{
				{name: "state", about: "open: all that are not closed", kind: "string", enum: []string{apiv1.IncidentOpen, apiv1.IncidentClosed}},
				{name: "before", about: "those that began before the incident of this id", kind: "string"},
				{name: "limit", about: "incidents in a list: 1 to 500, default 100", kind: "integer"},
			}},
		{name: "incident", method: http.MethodGet, path: "/api/v1/incidents/{id}", access: read,
			summary: "One incident", reply: apiv1.Incident{}, doc: (*Server).incident},
		{name: "timeline", method: http.MethodGet, path: "/api/v1/incidents/{id}/timeline", access: read,
			summary: "One incident and what happened in it", reply: apiv1.Timeline{}, doc: (*Server).timeline},
		{name: "report", method: http.MethodGet, path: "/api/v1/incidents/{id}/report", access: read,
			summary: "The report of one incident", reply: apiv1.Report{}, also: []string{"text/markdown", "text/html"}, raw: (*Server).report,
			params: []param{{name: "format", about: "default json", kind: "string", enum: apiv1.ReportFormats()}}},
		{name: "journal", method: http.MethodGet, path: "/api/v1/journal", access: read, params: slices.Concat(filters, paging),
			summary: "One page of the journal", reply: apiv1.JournalPage{}, doc: (*Server).journal},
		{name: "events", method: http.MethodGet, path: "/api/v1/events", access: read, params: filters, stream: true,
			summary: "New journal entries as server-sent events; Last-Event-ID goes on after that entry",
			media:   "text/event-stream", raw: (*Server).events},
		{name: "reload", method: http.MethodPost, path: "/api/v1/reload", access: act,
			summary: "Read the estate file again", body: struct{}{}, reply: apiv1.Reload{}, doc: (*Server).reload},
		{name: "openapi", method: http.MethodGet, path: "/api/v1/openapi.json", access: read,
			summary: "This document", media: "application/json", raw: (*Server).serveOpenAPI},
		{name: "healthz", method: http.MethodGet, path: "/healthz", access: open,
			summary: "The API answers", reply: apiv1.Health{}, doc: (*Server).healthz},
		{name: "readyz", method: http.MethodGet, path: "/readyz", access: open,
			summary: "A data process serves the newest table", reply: apiv1.Health{}, doc: (*Server).readyz},
		{name: "metrics", method: http.MethodGet, path: "/metrics", access: read,
			summary: "Counters in the Prometheus text format", media: "text/plain", raw: (*Server).serveMetrics},
	}
	return append(table, verbs()...)
}

func verbs() []route {
	about := map[apiv1.Verb]string{
		apiv1.Drain:    "Send nothing new to one site, for a time",
		apiv1.Undrain:  "End a drain",
		apiv1.Freeze:   "Let no automatic decision move the service, for a time",
		apiv1.Unfreeze: "End a freeze",
		apiv1.Failback: "Move back to the preferred site",
	}
	var table []route
	for _, v := range apiv1.Verbs() {
		table = append(table, route{
			name: string(v), method: http.MethodPost, path: "/api/v1/services/{id}/" + string(v), access: act,
			summary: about[v], body: apiv1.Action{}, reply: apiv1.Outcome{},
			doc: func(s *Server, r *http.Request) (any, error) { return s.act(r, v) },
		})
	}
	return table
}

func without(table []route, path string) []route {
	return slices.DeleteFunc(table, func(r route) bool { return r.path == path })
}

// byPath groups the table by path, then by method.
func byPath(table []route) map[string]map[string]route {
	paths := map[string]map[string]route{}
	for _, r := range table {
		if paths[r.path] == nil {
			paths[r.path] = map[string]route{}
		}
		paths[r.path][r.method] = r
	}
	return paths
}
