package apiv1

import "time"

// Status is the answer to "how are things": GET /api/v1/status.
type Status struct {
	Version       string        `json:"version"` // of the program
	At            time.Time     `json:"at"`      // when the document was made
	Epoch         uint64        `json:"epoch"`   // of the newest routing table
	Estate        string        `json:"estate"`  // digest of the file that the table comes from
	Config        Config        `json:"config"`
	Sites         []Site        `json:"sites"`          // in the file's order
	Services      []Service     `json:"services"`       // in the file's order
	Buckets       []Bucket      `json:"buckets"`        // in the file's order
	DataProcesses []DataProcess `json:"data_processes"` // newest first
	IncidentsOpen int           `json:"incidents_open"`
}

// Site is a place that can fail as a whole.
type Site struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
	Region   string `json:"region"`
	Zone     string `json:"zone,omitempty"` // left out when the site is a whole region
}

// Config says which estate file is in force.
type Config struct {
	Path   string    `json:"path"`
	Loaded time.Time `json:"loaded"` // when the file in force was read
	// Error says why a newer version of the file was refused; "" when the file
	// in force is the newest.
	Error string `json:"error,omitempty"`
}

// The states of a service, as its users see it.
const (
	ServiceUp       = "up"       // served as declared
	ServiceDegraded = "degraded" // served, with something lost: a spare, a site, speed
	ServiceDown     = "down"     // users get errors
	ServiceUnknown  = "unknown"  // nothing can be said
)

// Service is one service and its origins: GET /api/v1/services/{id}.
type Service struct {
	ID        string       `json:"id"`
	Hosts     []string     `json:"hosts"`            // none = every host
	Policy    string       `json:"policy"`           // primary | balance
	Writes    string       `json:"writes"`           // anywhere | one_site
	Active    string       `json:"active,omitempty"` // the site that is preferred, and takes the writes of one_site
	State     string       `json:"state"`            // up | degraded | down | unknown
	Origins   []Origin     `json:"origins"`          // in order of preference
	Traffic   Traffic      `json:"traffic"`
	Overrides []Override   `json:"overrides"`
	Pending   *PendingMove `json:"pending,omitempty"`
}

// Origin is a service's presence at one site.
type Origin struct {
	Site     string    `json:"site"`
	URL      string    `json:"url"`
	Weight   int       `json:"weight"`
	State    string    `json:"state"`           // in the table: unknown | up | degraded | down | drained
	Verdict  string    `json:"verdict"`         // of the checks: unknown | up | degraded | down
	Cause    string    `json:"cause,omitempty"` // dns, refused, connect, tls, reset, timeout, protocol, status, body
	Since    time.Time `json:"since,omitzero"`  // when the verdict began
	Evidence string    `json:"evidence"`        // one line for people
	Ejected  bool      `json:"ejected"`         // taken out by a data process on its own
	Requests uint64    `json:"requests"`        // attempts, since the data process began
	Failures uint64    `json:"failures"`        // attempts that gave no usable answer
	P50MS    float64   `json:"p50_ms"`          // time to the response head, recent
	P95MS    float64   `json:"p95_ms"`
	P99MS    float64   `json:"p99_ms"`
}

// Traffic counts a service's requests since its data process began.
type Traffic struct {
	Requests     uint64  `json:"requests"`      // answered, or given up
	Failed       uint64  `json:"failed"`        // no origin gave a usable answer
	Refused      uint64  `json:"refused"`       // answered 4xx by Spare itself
	Retried      uint64  `json:"retried"`       // sent again to another origin after a failure
	Hedged       uint64  `json:"hedged"`        // sent to a second origin because the first was slow
	HedgeWins    uint64  `json:"hedge_wins"`    // answered by that second origin
	Resumed      uint64  `json:"resumed"`       // bodies continued from another origin
	Truncated    uint64  `json:"truncated"`     // bodies cut that could not be resumed
	MaybeApplied uint64  `json:"maybe_applied"` // unsafe requests of unknown effect
	ServerErrors uint64  `json:"server_errors"` // 5xx passed on from an origin
	LongestMS    float64 `json:"longest_ms"`    // longest recent time to a response head
}

// The kinds of override.
const (
	OverrideDrain  = "drain"
	OverrideFreeze = "freeze"
)

// Override is an operator's decision that stands above the automatic ones
// until it ends.
type Override struct {
	Kind   string    `json:"kind"`           // drain | freeze
	Site   string    `json:"site,omitempty"` // of a drain
	Until  time.Time `json:"until"`
	Reason string    `json:"reason,omitempty"`
	Actor  string    `json:"actor"`
}

// PendingMove is a change of the active site that waits for its confirmation.
type PendingMove struct {
	From    string    `json:"from"`
	To      string    `json:"to"`
	Due     time.Time `json:"due"`               // earliest time of the move
	Blocked string    `json:"blocked,omitempty"` // why it does not happen; "" = it will
}

// DataProcess is one process that serves traffic.
type DataProcess struct {
	Incarnation string    `json:"incarnation"` // names this run of it
	PID         int       `json:"pid"`
	Epoch       uint64    `json:"epoch"`  // of the table it serves
	Linked      bool      `json:"linked"` // it talks to this control process now
	Since       time.Time `json:"since,omitzero"`
	RSSBytes    int64     `json:"rss_bytes"` // resident memory
}

// Health is the answer of /healthz and /readyz when all is well.
type Health struct {
	OK bool `json:"ok"`
}
