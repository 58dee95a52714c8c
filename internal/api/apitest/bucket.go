package apitest

import (
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// buckets gives a bucket with objects in virginia, which is down, and in
// belgium, and a witness: it reads, and takes no writes.
func buckets() []apiv1.Bucket {
	return []apiv1.Bucket{{
		ID: "media", State: apiv1.BucketReadOnly,
		Replicas: []apiv1.Replica{
			{Site: "virginia", State: "down", Where: "s3://media-us@amazonaws.com", Since: ago(90 * time.Second),
				Reason: "connection refused", LatencyMS: 4.25, Behind: 12, LagS: 85, Requests: 5200, Failed: 31,
				BytesRead: 3 << 20, BytesWritten: 5 << 20},
			{Site: "belgium", State: "up", Where: "s3://media-eu@storage.example.com", LatencyMS: 11.5, Requests: 5400,
				BytesRead: 40 << 20, BytesWritten: 5 << 20},
			{Site: "basement", State: "up", Witness: true, Where: "file:///srv/media", LatencyMS: 0.5, Requests: 5100},
		},
		Counts: apiv1.BucketCounts{WriteBacks: 2, Settled: 1, Refused: 3, Hedges: 4, Switches: 1, Repaired: 9},
	}}
}
