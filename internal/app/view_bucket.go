package app

import (
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/health"
)

// bucketDocs gives the buckets as the API shows them.
func (c *control) bucketDocs(now time.Time) []apiv1.Bucket {
	docs := []apiv1.Bucket{}
	for _, b := range c.buckets.list(c.estate.Load()) {
		docs = append(docs, bucketDoc(b, now))
	}
	return docs
}

func bucketDoc(b health.Bucket, now time.Time) apiv1.Bucket {
	doc := apiv1.Bucket{
		ID: string(b.Bucket), State: bucketState(b), Reason: b.Reason, Adopting: string(b.Adopting),
		Replicas: []apiv1.Replica{}, Counts: apiv1.BucketCounts(b.Counts),
	}
	for _, r := range b.Replicas {
		v := apiv1.Replica{
			Site: string(r.Site), State: "up", Witness: r.Witness, Where: r.Where, Since: r.Since, Reason: r.Reason,
			LatencyMS: float64(r.LatencyNS) / float64(time.Millisecond), Behind: r.Behind, More: r.More,
			Requests: r.Requests, Failed: r.Failed, BytesRead: r.BytesRead, BytesWritten: r.BytesWritten,
		}
		switch {
		case r.Lost:
			v.State = "lost"
		case !r.Works():
			v.State = "down"
		}
		if !r.Oldest.IsZero() {
			v.LagS = now.Sub(r.Oldest).Seconds()
		}
		doc.Replicas = append(doc.Replicas, v)
	}
	return doc
}

func bucketState(b health.Bucket) string {
	switch {
	case b.Reason == notSaid:
		return apiv1.BucketUnknown
	case !b.Reads:
		return apiv1.BucketDown
	case !b.Writes:
		return apiv1.BucketReadOnly
	}
	for _, r := range b.Replicas {
		if !r.Works() || r.Behind > 0 || r.More {
			return apiv1.BucketDegraded
		}
	}
	return apiv1.BucketUp
}
