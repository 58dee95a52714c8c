// Package incident turns verdicts, data path events and traffic counts into
// incidents: things that went wrong, with a beginning, an end, causes and an
// impact in numbers.
//
// A [Desk] takes the evidence and keeps the books. It opens an incident when
// users of a service are or would have been hurt: an origin's verdict turns
// down, the data path ejects an origin, or requests fail. It closes the
// incident by itself once everything that the incident holds is well and has
// stayed so for the hold-down. Open incidents live in the state store and
// survive kill -9 at any moment; every change is an entry of the journal.
//
// # What belongs together
//
// The unit is the site. A failing origin (a service at a site) goes to the
// first of these that fits:
//
//  1. the open incident that holds this origin already;
//  2. the open incident of this origin's site;
//  3. the open incident of this origin's service that has no site;
//  4. an open incident that holds this service alone, at another site, and
//     began less than Options.Window ago: one service that fails at several
//     sites is a fault of the service (a bad deploy), so that incident loses
//     its site;
//  5. a new incident for the site.
//
// Requests that fail while no origin is known to be unwell wait for
// Options.Settle, because the verdict that explains them is usually on its
// way. Then they open an incident of their own; it has a site only if every
// attempt that failed was at that one site.
//
// An incident whose parts are all well is in monitoring. Evidence about the
// same site or service during the hold-down takes it back to open, so that a
// flapping origin makes one incident.
//
// # Impact
//
// Impact is a sum of differences between reports of cumulative counters, for
// the services that the incident holds. A report counts whole, if it was made
// after the service's window began; the window begins two seconds before the
// first evidence (evidence takes time to gather), and earlier while reports
// right before that show requests in trouble. A service that two incidents hold
// at once counts in both. The sums and the counters that they were
// taken from are stored in one transaction, so a restart neither loses a
// request nor counts one twice.
//
//	d := incident.New(incident.Options{Store: st, Journal: j, Estate: e, Log: log})
//	go d.Run(ctx)
//	d.Verdict(v, health.Up)
//	open, err := d.List(ctx, incident.Filter{States: []incident.State{incident.Open}})
package incident

import (
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
)

// State is where an incident is in its life.
type State string

// The states.
const (
	Open       State = "open"       // something that it holds is unwell
	Monitoring State = "monitoring" // all is well, the hold-down runs
	Closed     State = "closed"
)

// Severity says how badly users were hurt, or would have been. It never falls
// within one incident.
type Severity string

// The severities.
const (
	Minor    Severity = "minor"    // a spare took over; nobody was hurt as far as is known
	Major    Severity = "major"    // some requests failed, were cut, or have an unknown effect, or a bucket refuses PUTs
	Critical Severity = "critical" // a service had no well origin left, or a bucket no majority of its replicas
)

func (s Severity) rank() int {
	switch s {
	case Critical:
		return 2
	case Major:
		return 1
	default:
		return 0
	}
}

// Incident is one thing that went wrong. All times are UTC.
type Incident struct {
	// ID is the UTC date and the time of day in 1/2^24 days, in hex, as in
	// "2026-11-22-1a2b3c". IDs sort by when their incident began.
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	State    State    `json:"state"`
	// Site is the site that fails; "" when one service fails at several
	// sites, or when no site could be made out.
	Site     estate.SiteID      `json:"site,omitempty"`
	Services []estate.ServiceID `json:"services"`
	Opened   time.Time          `json:"opened"` // when the first evidence happened
	Closed   time.Time          `json:"closed,omitzero"`
	Times    Times              `json:"times"`
	Causes   []Cause            `json:"causes"` // the most likely first
	Impact   Impact             `json:"impact"`
	// Evidence lists the journal's entries about what this incident holds:
	// verdicts, ejections, switches and what people did, by journal ID. The
	// newest are dropped beyond 500.
	Evidence []int64 `json:"evidence,omitempty"`
}

// Times are the incident's milestones; zero means that it has not happened.
type Times struct {
	Detected  time.Time `json:"detected,omitzero"`  // Spare held something to be wrong
	Ejected   time.Time `json:"ejected,omitzero"`   // a data path first took an origin out
	Switched  time.Time `json:"switched,omitzero"`  // a service first moved to another site
	Recovered time.Time `json:"recovered,omitzero"` // all was well again, for the last time so far
}

// CauseKind names a cause for programs.
type CauseKind string

// The kinds of cause.
const (
	SiteDown          CauseKind = "site_down"          // every origin at the site was unwell at once
	OriginRefuses     CauseKind = "origin_refuses"     // connections refused: process or machine gone
	OriginFrozen      CauseKind = "origin_frozen"      // connections accepted, no answers
	OriginUnreachable CauseKind = "origin_unreachable" // no connection, and no refusal either
	OriginResets      CauseKind = "origin_resets"      // connections closed before an answer
	Errors            CauseKind = "errors"             // answers that are no good
	DNS               CauseKind = "dns"
	TLS               CauseKind = "tls"
	UnknownCause      CauseKind = "unknown"
)

// Cause is one explanation of an incident.
type Cause struct {
	Kind    CauseKind        `json:"kind"`
	Site    estate.SiteID    `json:"site,omitempty"`    // "" when several
	Service estate.ServiceID `json:"service,omitempty"` // "" when several
	Text    string           `json:"text"`              // for people
	// Certainty is Observed where the text says only what was seen, Inferred
	// where it concludes from that.
	Certainty journal.Certainty `json:"certainty"`
	// Score is the share, 0-1, of the incident's evidence that the cause
	// explains. Of two with one score the wider cause stands first.
	Score   float64 `json:"score"`
	Entries []int64 `json:"entries,omitempty"` // journal IDs
}

// Counts are requests by what happened to them; health.Traffic has the exact
// meanings.
type Counts struct {
	Requests     uint64  `json:"requests"`
	Retried      uint64  `json:"retried"`
	Hedged       uint64  `json:"hedged"`
	Resumed      uint64  `json:"resumed"`
	Failed       uint64  `json:"failed"`
	MaybeApplied uint64  `json:"maybe_applied"`
	Truncated    uint64  `json:"truncated"`
	ServerErrors uint64  `json:"server_errors"`
	LongestMS    float64 `json:"longest_ms"` // longest time to a response head, in milliseconds
}

// hurt is the number of requests whose users noticed.
func (c Counts) hurt() uint64 { return c.Failed + c.MaybeApplied + c.Truncated }

// troubled reports whether requests met trouble, noticed by users or not.
// Hedging is left out: some of it is normal.
func (c Counts) troubled() bool { return c.hurt()+c.Retried+c.Resumed > 0 }

func (c Counts) plus(d Counts) Counts {
	return Counts{
		Requests: c.Requests + d.Requests, Retried: c.Retried + d.Retried, Hedged: c.Hedged + d.Hedged,
		Resumed: c.Resumed + d.Resumed, Failed: c.Failed + d.Failed, MaybeApplied: c.MaybeApplied + d.MaybeApplied,
		Truncated: c.Truncated + d.Truncated, ServerErrors: c.ServerErrors + d.ServerErrors,
		LongestMS: max(c.LongestMS, d.LongestMS),
	}
}

// Impact is what an incident did to requests: the sum, and its parts.
type Impact struct {
	Counts
	Services map[estate.ServiceID]Counts `json:"services"`
}

func (i *Impact) add(svc estate.ServiceID, c Counts) {
	if i.Services == nil {
		i.Services = map[estate.ServiceID]Counts{}
	}
	i.Services[svc] = i.Services[svc].plus(c)
	i.Counts = i.plus(c)
}

// sub takes counters back. The longest time stays.
func (i *Impact) sub(svc estate.ServiceID, c Counts) {
	part := i.Services[svc].minus(c)
	part.LongestMS = i.Services[svc].LongestMS
	i.Services[svc] = part
	sum := i.minus(c)
	sum.LongestMS = i.LongestMS
	i.Counts = sum
}

// Filter selects incidents. Zero fields select everything.
type Filter struct {
	States  []State
	Service estate.ServiceID
	Site    estate.SiteID
	Before  string // only incidents with a smaller ID, for paging
	Limit   int    // default 100, at most 1000
}
