package journal

import (
	"encoding/json"
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

// Kind says what an entry records. The set is open: a reader shows a kind it
// does not know by its Message.
type Kind string

// The kinds.
const (
	KindStart     Kind = "start"     // a process began
	KindStop      Kind = "stop"      // a process ended
	KindReload    Kind = "reload"    // an estate file came into force, or was refused
	KindVerdict   Kind = "verdict"   // an origin's verdict changed
	KindEject     Kind = "eject"     // the data path took an origin out on its own
	KindReadmit   Kind = "readmit"   // the data path took it back
	KindSwitch    Kind = "switch"    // a service's active site changed
	KindTable     Kind = "table"     // a table was published
	KindOperator  Kind = "operator"  // somebody drained, froze, failed back
	KindOverride  Kind = "override"  // an override expired
	KindFence     Kind = "fence"     // a fence hook ran
	KindIncident  Kind = "incident"  // an incident opened, changed, closed
	KindNotify    Kind = "notify"    // a message was delivered, or not
	KindLink      Kind = "link"      // a data process came or went
	KindTelemetry Kind = "telemetry" // traffic counts that bear on an incident
)

// Certainty marks how an entry is known.
type Certainty string

// The certainties.
const (
	Observed Certainty = "observed"
	Inferred Certainty = "inferred"
	Reported Certainty = "reported" // said by a provider
)

// Level is how much an entry asks for attention.
type Level string

// The levels.
const (
	Info  Level = "info"
	Warn  Level = "warn"
	Error Level = "error"
)

// Entry is one line of the record. ID and Recorded are given by the journal.
type Entry struct {
	ID        int64            `json:"id"`       // grows; never used twice
	At        time.Time        `json:"at"`       // when it happened, UTC
	Recorded  time.Time        `json:"recorded"` // when it was written down, UTC
	Kind      Kind             `json:"kind"`
	Level     Level            `json:"level"`
	Certainty Certainty        `json:"certainty"`
	Service   estate.ServiceID `json:"service,omitempty"`
	Site      estate.SiteID    `json:"site,omitempty"`
	Incident  string           `json:"incident,omitempty"`
	Actor     string           `json:"actor"` // "spare", "data", or who acted
	Message   string           `json:"message"`
	Data      json.RawMessage  `json:"data,omitempty"` // details by kind
	// Dedup, when set, names the entry: appending a second one with the same
	// Dedup changes nothing and gives the first one's ID.
	Dedup string `json:"-"`
}

// Query selects entries. Zero fields select everything.
type Query struct {
	Before   int64 // only entries with a smaller ID; 0 = from the newest
	After    int64 // only entries with a larger ID
	From, To time.Time
	Kinds    []Kind
	Service  estate.ServiceID
	Site     estate.SiteID
	Incident string
	Text     string // substring of Message, case-insensitive
	Limit    int    // entries in a page; default 100, at most 1000
	Oldest   bool   // oldest first; default newest first
}
