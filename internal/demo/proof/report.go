package proof

import (
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// Report is the demo's one document. Times are UTC; fields that end in _ms are
// milliseconds.
type Report struct {
	OK       bool      `json:"ok"` // nothing is broken
	Seed     uint64    `json:"seed"`
	Version  string    `json:"version,omitempty"`
	Began    time.Time `json:"began"`
	TookMS   float64   `json:"took_ms"`
	Faults   []Fault   `json:"faults"`
	Requests Requests  `json:"requests"`
	Orders   Orders    `json:"orders"`
	Objects  Objects   `json:"objects"`
	// By kind of fault: how long until requests were served as before, and the
	// longest that a disturbed one took. See [Felt].
	SwitchMS  map[Kind]float64 `json:"switch_ms"`
	StallMS   map[Kind]float64 `json:"stall_ms"`
	Incidents []Incident       `json:"incidents"`
	Broken    []string         `json:"broken"` // reasons why OK is false
	Dir       string           `json:"dir,omitempty"`
}

// Requests sums up the ledger. Times count from when a request was due.
type Requests struct {
	Sent         int     `json:"sent"`
	Failed       int     `json:"failed"`        // reads, and orders that certainly do not count
	MaybeApplied int     `json:"maybe_applied"` // orders whose answer left it open
	P50MS        float64 `json:"p50_ms"`        // of all but downloads
	P99MS        float64 `json:"p99_ms"`        // of all but downloads
	LongestMS    float64 `json:"longest_ms"`    // of all, until the last byte
	// LongestDownloadMS is that of the downloads, which take about 130 ms when
	// nothing is wrong.
	LongestDownloadMS float64 `json:"longest_download_ms"`
}

// Orders says what became of the orders.
type Orders struct {
	Acknowledged      int `json:"acknowledged"`
	Found             int `json:"found"`               // of those: on disk at two clouds or more, and shown by Spare
	Missing           int `json:"missing"`             // of those: the rest
	MaybeAppliedFound int `json:"maybe_applied_found"` // orders of unknown effect that do count
	Unreconciled      int `json:"unreconciled"`        // orders of unknown effect of which nobody can say
	Duplicates        int `json:"duplicates"`          // times that an order reached a cloud's front once too often
}

// Objects says what became of the objects. Times count from when an operation
// was due.
type Objects struct {
	Operations   int     `json:"operations"`   // puts, gets, deletes and lists, receipts included
	Acknowledged int     `json:"acknowledged"` // objects that must be there: their last acknowledged write was a put
	Readable     int     `json:"readable"`     // of those: the right bytes come through Spare, it is listed, and two clouds or more have the bytes on disk
	Missing      int     `json:"missing"`      // of those: the rest
	Receipts     int     `json:"receipts"`     // of those acknowledged: receipts of orders
	Deleted      int     `json:"deleted"`      // objects whose last acknowledged write was a delete
	Resurrected  int     `json:"resurrected"`  // objects that showed after they were deleted, or though they were never acknowledged
	StaleReads   int     `json:"stale_reads"`  // reads and lists that missed an acknowledged write
	Failed       int     `json:"failed"`
	MaybeApplied int     `json:"maybe_applied"` // writes whose answer left it open
	P50MS        float64 `json:"p50_ms"`
	P99MS        float64 `json:"p99_ms"`
	LongestMS    float64 `json:"longest_ms"`
	// ProviderRequests is how many requests Spare sent to the clouds' buckets,
	// those of its own health checks and repairs included.
	ProviderRequests uint64 `json:"provider_requests"`
}

// Incident is what Spare wrote down by itself.
type Incident struct {
	ID       string        `json:"id"`
	Site     string        `json:"site"` // that it is about; of several the likeliest
	Title    string        `json:"title,omitempty"`
	Severity string        `json:"severity,omitempty"`
	Opened   time.Time     `json:"opened"`
	Closed   time.Time     `json:"closed,omitzero"`
	Causes   []apiv1.Cause `json:"causes"`
}
