// Package health turns what was seen of an origin into a verdict about it. It
// is pure: results and the time come in, verdicts go out, and nothing here
// reads a clock, opens a socket or starts a goroutine.
//
// There are two kinds of evidence. A [Result] is one active check by a
// prober. An [Event] is something that the data path saw or did on its own
// with live traffic: it ejected an origin, or took it back. A [Detector] holds
// the evidence about one target and gives its [Verdict].
package health

import (
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

// State is a verdict's answer. The zero value is Unknown.
type State int

// The states.
const (
	Unknown State = iota
	Up
	Degraded // serves, with errors or slowly
	Down
)

func (s State) String() string {
	return [...]string{"unknown", "up", "degraded", "down"}[s]
}

// Cause is the first thing that went wrong in an attempt, in the field's
// words. It is what a person reads as the reason.
type Cause string

// The causes, from the outside in.
const (
	CauseNone     Cause = ""
	CauseDNS      Cause = "dns"      // the name did not resolve
	CauseRefused  Cause = "refused"  // connection refused
	CauseConnect  Cause = "connect"  // no connection in time, or no route
	CauseTLS      Cause = "tls"      // handshake or certificate
	CauseReset    Cause = "reset"    // connection reset or closed before an answer
	CauseTimeout  Cause = "timeout"  // connected, and no answer in time
	CauseProtocol Cause = "protocol" // the answer is not HTTP
	CauseStatus   Cause = "status"   // an answer, with a status that is not accepted
	CauseBody     Cause = "body"     // an answer whose body is cut, stalls, or lacks the wanted text
)

// Result is one attempt of an active check.
type Result struct {
	Target  estate.Target `json:"target"`
	At      time.Time     `json:"at"` // when the attempt ended, UTC
	OK      bool          `json:"ok"`
	Cause   Cause         `json:"cause,omitempty"` // set when not OK
	Detail  string        `json:"detail,omitempty"`
	Latency time.Duration `json:"latency_ns"`
	Fresh   bool          `json:"fresh"` // on a new connection
}

// EventKind says what the data path did.
type EventKind string

// The kinds of event.
const (
	Ejected    EventKind = "ejected"    // the origin is out of rotation for this data process
	Readmitted EventKind = "readmitted" // it is back, in slow start
	Tabled     EventKind = "tabled"     // a table came into force
	Refused    EventKind = "refused"    // a table was refused; Detail says why
	Started    EventKind = "started"    // a data process began to serve
)

// Event is something the data path did on its own.
type Event struct {
	Source string        `json:"source"` // incarnation of the data process
	Seq    uint64        `json:"seq"`    // grows by one within a source, from 1
	At     time.Time     `json:"at"`     // UTC
	Kind   EventKind     `json:"kind"`
	Target estate.Target `json:"target"`
	Cause  Cause         `json:"cause,omitempty"`
	Detail string        `json:"detail,omitempty"`
	Epoch  uint64        `json:"epoch,omitempty"` // of the table in force
}

// Traffic is what the data path has counted for one service since its process
// began. All counts only grow, but for LongestNS.
type Traffic struct {
	Service      estate.ServiceID `json:"service"`
	Requests     uint64           `json:"requests"`      // answered, or given up
	Failed       uint64           `json:"failed"`        // no origin gave an answer that could be passed on
	Refused      uint64           `json:"refused"`       // answered 4xx by Spare itself
	Retried      uint64           `json:"retried"`       // sent again to another origin after a failure
	Hedged       uint64           `json:"hedged"`        // sent to a second origin because the first was slow
	HedgeWins    uint64           `json:"hedge_wins"`    // answered by that second origin
	Resumed      uint64           `json:"resumed"`       // bodies continued from another origin
	Truncated    uint64           `json:"truncated"`     // bodies cut that could not be resumed
	MaybeApplied uint64           `json:"maybe_applied"` // unsafe requests of unknown effect
	ServerErrors uint64           `json:"server_errors"` // 5xx passed on from an origin
	LongestNS    int64            `json:"longest_ns"`    // longest time to a response head since the last report
	Origins      []OriginTraffic  `json:"origins"`
}

// OriginTraffic is the part of [Traffic] that went to one origin.
type OriginTraffic struct {
	Site      estate.SiteID `json:"site"`
	Requests  uint64        `json:"requests"` // attempts
	Failures  uint64        `json:"failures"` // attempts that gave no usable answer
	Errors    uint64        `json:"errors"`   // answers 5xx
	Active    int64         `json:"active"`   // attempts under way
	P50NS     int64         `json:"p50_ns"`   // time to response head, recent
	P95NS     int64         `json:"p95_ns"`
	P99NS     int64         `json:"p99_ns"`
	Ejected   bool          `json:"ejected"`
	Ejections uint64        `json:"ejections"`
}

// Verdict is what is held of a target, and why.
type Verdict struct {
	Target   estate.Target `json:"target"`
	State    State         `json:"state"`
	Since    time.Time     `json:"since"`           // when State began, UTC
	Cause    Cause         `json:"cause,omitempty"` // set when State is Down or Degraded
	Evidence string        `json:"evidence"`        // one line for people
}

// MarshalText writes the state's name, for JSON.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name; one that is not known is Unknown.
func (s *State) UnmarshalText(b []byte) error {
	*s = Unknown
	for i := Unknown; i <= Down; i++ {
		if i.String() == string(b) {
			*s = i
		}
	}
	return nil
}
