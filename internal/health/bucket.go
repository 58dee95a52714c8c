package health

import (
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

// Bucket is how a replicated bucket stands, as one data process sees it. The
// counts are since that process began.
type Bucket struct {
	Bucket   estate.BucketID `json:"bucket"`
	Reads    bool            `json:"reads"`            // a majority of its replicas answers
	Writes   bool            `json:"writes"`           // and enough of them take objects
	Reason   string          `json:"reason,omitempty"` // why it is not open
	Adopting estate.SiteID   `json:"adopting,omitempty"`
	Replicas []Replica       `json:"replicas,omitempty"`
	Counts   BucketCounts    `json:"counts"`
}

// BucketCounts are what a data process counted of a bucket.
type BucketCounts struct {
	NoQuorum   uint64 `json:"no_quorum"`   // operations that no majority of replicas answered
	WriteBacks uint64 `json:"write_backs"` // reads that completed another's write
	Settled    uint64 `json:"settled"`     // writes that failed at first and were found to have happened
	Refused    uint64 `json:"refused"`     // writes refused because too few replicas took the object
	Thin       uint64 `json:"thin"`        // writes acknowledged before all replicas had the object
	Hedges     uint64 `json:"hedges"`      // objects asked for at a second replica because the first was slow
	Switches   uint64 `json:"switches"`    // objects continued from another replica in mid-stream
	Corrupt    uint64 `json:"corrupt"`     // copies that did not match their checksum
	Repaired   uint64 `json:"repaired"`    // keys repaired
}

// Replica is how one replica of a bucket stands.
type Replica struct {
	Site         estate.SiteID `json:"site"`
	Witness      bool          `json:"witness,omitempty"`
	Where        string        `json:"where"`
	Heads        bool          `json:"heads"`            // its records answer
	Bodies       bool          `json:"bodies"`           // it takes and gives objects
	Lost         bool          `json:"lost,omitempty"`   // it lost what it held, and is not counted until it is repaired
	Since        time.Time     `json:"since,omitzero"`   // of the first failure in the present row, UTC
	Reason       string        `json:"reason,omitempty"` // what its calls fail with
	LatencyNS    int64         `json:"latency_ns"`       // of small requests, smoothed
	Behind       int           `json:"behind"`           // keys that it is known to lack something of
	More         bool          `json:"more,omitempty"`   // and others, which were too many to remember
	Oldest       time.Time     `json:"oldest,omitzero"`  // since when the first of them, UTC
	Requests     uint64        `json:"requests"`
	Failed       uint64        `json:"failed"` // requests that the provider failed
	BytesRead    uint64        `json:"bytes_read"`
	BytesWritten uint64        `json:"bytes_written"`
}

// Works says whether the replica does all that it is there for.
func (r Replica) Works() bool { return r.Heads && !r.Lost && (r.Witness || r.Bodies) }
