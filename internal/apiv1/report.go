package apiv1

import "time"

// ReportFormats lists the forms of a report, for tables and completions.
func ReportFormats() []string { return []string{"md", "html", "json"} }

// Report is the post-incident report: GET /api/v1/incidents/{id}/report. Every
// number and sentence in it comes from the journal, from counters, or from the
// estate file; nothing is guessed without saying so.
type Report struct {
	Generated  time.Time         `json:"generated"`
	Spare      string            `json:"spare"` // version of the program
	Final      bool              `json:"final"` // the incident is closed
	Incident   Incident          `json:"incident"`
	Summary    []string          `json:"summary"`    // two sentences
	Milestones []Milestone       `json:"milestones"` // in order of time
	Losses     []Loss            `json:"losses"`     // by service
	Trigger    *Cause            `json:"trigger,omitempty"`
	Conditions []ReportStatement `json:"conditions"`  // what else bore on it
	Response   []ReportLine      `json:"response"`    // what Spare did, and people
	Timeline   []ReportLine      `json:"timeline"`    // oldest first
	LeftOut    int               `json:"left_out"`    // lines that the timeline has no room for
	CannotTell []ReportStatement `json:"cannot_tell"` // by the data
	Hints      []ReportStatement `json:"hints"`       // for the action items
	Checklist  []string          `json:"checklist"`   // left to people
	Samples    []ReportSample    `json:"samples"`     // what happened to requests over time
}

// Milestone is a point in an incident's life.
type Milestone struct {
	Name    string    `json:"name"` // first_evidence | detected | ejected | switched | recovered | closed
	At      time.Time `json:"at"`
	AfterMS float64   `json:"after_ms"`        // since the first evidence
	Entry   int64     `json:"entry,omitempty"` // the journal's word for it
}

// Loss is what an incident cost the users of one service.
//
// A request hurt its user if it failed, was cut, or had an unknown effect.
// LostMS is the time that the service was lost to its users: each sample counts
// for the share of its requests that were hurt, so a second in which one of a
// hundred requests failed is 10 ms. BudgetMS is what the objective's
// availability allows in 30 days. Money is LostMS at the service's
// cost_per_hour.
type Loss struct {
	Service     string  `json:"service"`
	Requests    uint64  `json:"requests"`
	Hurt        uint64  `json:"hurt"`
	LostMS      float64 `json:"lost_ms"`
	Basis       string  `json:"basis"` // samples: from counts over time; totals: estimated from sums
	BudgetMS    float64 `json:"budget_ms,omitempty"`
	BudgetShare float64 `json:"budget_share,omitempty"` // LostMS of BudgetMS, 0 to 1 and beyond
	CostPerHour float64 `json:"cost_per_hour,omitempty"`
	Money       float64 `json:"money,omitempty"` // unit as the estate file's
}

// ReportStatement is a sentence and the journal entries that it stands on.
type ReportStatement struct {
	Text    string  `json:"text"`
	Entries []int64 `json:"entries,omitempty"`
}

// ReportLine is a journal entry in a report.
type ReportLine struct {
	Entry     int64     `json:"entry"` // journal id
	At        time.Time `json:"at"`
	Kind      string    `json:"kind"`
	Level     string    `json:"level"`
	Certainty string    `json:"certainty"`
	Service   string    `json:"service,omitempty"`
	Site      string    `json:"site,omitempty"`
	Actor     string    `json:"actor"`
	Text      string    `json:"text"`
}

// ReportSample counts the requests of an incident's services in a span of
// time. Where no sample is, nothing is known.
type ReportSample struct {
	From         time.Time       `json:"from"`
	To           time.Time       `json:"to"`
	Requests     uint64          `json:"requests"`
	Failed       uint64          `json:"failed"`
	MaybeApplied uint64          `json:"maybe_applied"`
	Truncated    uint64          `json:"truncated"`
	Retried      uint64          `json:"retried"`
	Hedged       uint64          `json:"hedged"`
	Resumed      uint64          `json:"resumed"`
	ServerErrors uint64          `json:"server_errors"`
	LongestMS    float64         `json:"longest_ms"`
	Sites        []SiteSample    `json:"sites"`
	Services     []ServiceSample `json:"services"`        // those that were hurt
	Cut          bool            `json:"cut,omitempty"`   // there were more sites or services
	Entry        int64           `json:"entry,omitempty"` // journal id
}

// SiteSample is a site's part of a [ReportSample].
type SiteSample struct {
	Site     string  `json:"site"`
	Attempts uint64  `json:"attempts"` // requests sent there, hedges and retries included
	Failures uint64  `json:"failures"`
	P95MS    float64 `json:"p95_ms"`
}

// ServiceSample is a hurt service's part of a [ReportSample].
type ServiceSample struct {
	Service  string `json:"service"`
	Requests uint64 `json:"requests"`
	Hurt     uint64 `json:"hurt"`
}
