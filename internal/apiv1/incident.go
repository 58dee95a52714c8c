package apiv1

import (
	"net/url"
	"strconv"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// The states of an incident.
const (
	IncidentOpen       = "open"       // something is unwell
	IncidentMonitoring = "monitoring" // all is well again; it closes soon unless that changes
	IncidentClosed     = "closed"
)

// Incident is one thing that went wrong: GET /api/v1/incidents/{id}.
type Incident struct {
	ID         string    `json:"id"` // IDs sort by when their incident began
	Title      string    `json:"title"`
	Severity   string    `json:"severity"`       // minor | major | critical: how badly users were, or would have been, hurt
	State      string    `json:"state"`          // open | monitoring | closed
	Site       string    `json:"site,omitempty"` // where it is; left out when at several sites or none
	Services   []string  `json:"services"`
	Opened     time.Time `json:"opened"` // when the first evidence happened
	Closed     time.Time `json:"closed,omitzero"`
	DurationMS float64   `json:"duration_ms"` // until it closed, or until now
	Times      Times     `json:"times"`
	Causes     []Cause   `json:"causes"` // the most likely first
	Impact     Impact    `json:"impact"`
}

// Times are an incident's milestones. What has not happened is left out.
type Times struct {
	Detected  time.Time `json:"detected,omitzero"`  // Spare held something to be wrong
	Ejected   time.Time `json:"ejected,omitzero"`   // an origin was first taken out
	Switched  time.Time `json:"switched,omitzero"`  // a service first moved to another site
	Recovered time.Time `json:"recovered,omitzero"` // all was well again, for the last time so far
}

// Cause is one explanation of an incident.
type Cause struct {
	Kind      string  `json:"kind"`              // for programs: site_down, origin_refuses, ...
	Site      string  `json:"site,omitempty"`    // left out when several
	Service   string  `json:"service,omitempty"` // left out when several
	Text      string  `json:"text"`              // for people
	Certainty string  `json:"certainty"`         // observed | inferred | reported
	Score     float64 `json:"score"`             // share of the evidence that it explains, 0 to 1
	Entries   []int64 `json:"entries,omitempty"` // journal ids that it stands on
}

// Impact counts what happened to requests while an incident was open.
type Impact struct {
	Requests     uint64          `json:"requests"`
	Failed       uint64          `json:"failed"`
	Retried      uint64          `json:"retried"`
	Hedged       uint64          `json:"hedged"`
	Resumed      uint64          `json:"resumed"`
	Truncated    uint64          `json:"truncated"`
	MaybeApplied uint64          `json:"maybe_applied"`
	ServerErrors uint64          `json:"server_errors"`
	LongestMS    float64         `json:"longest_ms"` // longest time to a response head
	Services     []ServiceImpact `json:"services"`   // its parts
}

// ServiceImpact is the part of an [Impact] that one service had.
type ServiceImpact struct {
	Service      string  `json:"service"`
	Requests     uint64  `json:"requests"`
	Failed       uint64  `json:"failed"`
	Retried      uint64  `json:"retried"`
	Hedged       uint64  `json:"hedged"`
	Resumed      uint64  `json:"resumed"`
	Truncated    uint64  `json:"truncated"`
	MaybeApplied uint64  `json:"maybe_applied"`
	ServerErrors uint64  `json:"server_errors"`
	LongestMS    float64 `json:"longest_ms"`
}

// IncidentList is the answer to GET /api/v1/incidents, newest first. Of a list
// with More, the next part is asked for with before set to its last ID.
type IncidentList struct {
	Incidents []Incident `json:"incidents"`
	More      bool       `json:"more"`
}

// Timeline is an incident and what happened in it, oldest first: GET
// /api/v1/incidents/{id}/timeline.
type Timeline struct {
	Incident Incident `json:"incident"`
	Entries  []Entry  `json:"entries"`
}

// IncidentQuery selects incidents; its fields are the parameters of GET
// /api/v1/incidents. Zero fields select everything.
type IncidentQuery struct {
	State  string // state: open (all that is not closed) or closed
	Before string // before: those that began before this ID's
	Limit  int    // limit: incidents in a list
}

// Values gives the query as URL parameters.
func (q IncidentQuery) Values() url.Values {
	v := url.Values{}
	if q.State != "" {
		v.Set("state", q.State)
	}
	if q.Before != "" {
		v.Set("before", q.Before)
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// ParseIncidentQuery reads URL parameters, strictly.
func ParseIncidentQuery(v url.Values) (IncidentQuery, error) {
	if err := once(v); err != nil {
		return IncidentQuery{}, err
	}
	q := IncidentQuery{State: v.Get("state"), Before: v.Get("before")}
	if q.State != "" && q.State != IncidentOpen && q.State != IncidentClosed {
		return q, errs.E(errs.Invalid, "parameter state=%q is neither open nor closed", q.State)
	}
	var err error
	if v.Has("limit") {
		q.Limit, err = parseLimit(v.Get("limit"))
	}
	return q, err
}
