package apiv1

import (
	"context"
	"strings"
	"time"
)

// The states of a bucket, as its users see it.
const (
	BucketUp       = "up"       // every replica does what it is there for
	BucketDegraded = "degraded" // reads and takes writes, with a replica lost, behind or unwell
	BucketReadOnly = "readonly" // reads, and takes no writes
	BucketDown     = "down"     // neither
	BucketUnknown  = "unknown"  // no data process has said
)

// BucketList is the answer to GET /api/v1/buckets.
type BucketList struct {
	Buckets []Bucket `json:"buckets"` // in the file's order
}

// Bucket is a replicated bucket, as the newest data process sees it: GET
// /api/v1/buckets/{id}.
type Bucket struct {
	ID       string    `json:"id"`
	State    string    `json:"state"`
	Reason   string    `json:"reason,omitempty"`   // why it is not open
	Adopting string    `json:"adopting,omitempty"` // the site whose objects are being taken over
	Replicas []Replica `json:"replicas"`           // in the file's order
	// Counts are since the data process began.
	Counts BucketCounts `json:"counts"`
}

// Replica is one site's part in a bucket.
type Replica struct {
	Site      string    `json:"site"`
	State     string    `json:"state"` // "up", "down", or "lost": it lost what it held and is not counted until it is repaired
	Witness   bool      `json:"witness,omitempty"`
	Where     string    `json:"where"`
	Since     time.Time `json:"since,omitzero"`        // of the first failure in the present row
	Reason    string    `json:"reason,omitempty"`      // what its requests fail with
	LatencyMS float64   `json:"latency_ms"`            // of small requests, smoothed
	Behind    int       `json:"behind"`                // keys that it is known to lack something of
	More      bool      `json:"more,omitempty"`        // and others, too many to remember
	LagS      float64   `json:"lag_seconds,omitempty"` // age of the oldest of them

	Requests     uint64 `json:"requests"` // to the provider
	Failed       uint64 `json:"failed"`   // of those, by the provider
	BytesRead    uint64 `json:"bytes_read"`
	BytesWritten uint64 `json:"bytes_written"`
}

// BucketCounts are a data process's counts of a bucket.
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

// Buckets gives all buckets.
func (c *Client) Buckets(ctx context.Context) (BucketList, error) {
	var doc BucketList
	return doc, c.read(ctx, &doc, nil, "buckets")
}

// Bucket gives one bucket; NotFound if there is none of that name.
func (c *Client) Bucket(ctx context.Context, id string) (Bucket, error) {
	var doc Bucket
	return doc, c.read(ctx, &doc, nil, "buckets", id)
}

// bucketMark begins the name of a bucket where a document names a service:
// incidents and journal entries are about either.
const bucketMark = "bucket/"

// BucketService gives the name under which incidents and journal entries speak
// of a bucket in their field service, which no service can have.
func BucketService(id string) string { return bucketMark + id }

// BucketOf gives the bucket that [BucketService] named. ok is false for a
// service.
func BucketOf(service string) (id string, ok bool) {
	return strings.CutPrefix(service, bucketMark)
}

// Subject names a service or a bucket for people: "shop", "bucket media".
func Subject(service string) string {
	if id, ok := BucketOf(service); ok {
		return "bucket " + id
	}
	return service
}

// Subjects names several.
func Subjects(services []string) []string {
	list := make([]string, len(services))
	for i, s := range services {
		list[i] = Subject(s)
	}
	return list
}
