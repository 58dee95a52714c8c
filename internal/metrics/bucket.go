package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sparecloud/spare/internal/health"
)

var (
	bucket  = []string{"bucket"}
	replica = []string{"bucket", "site"}
)

var bucketCounters = []counter[health.Bucket]{
	{desc("spare_bucket_no_quorum_total", "Operations that no majority of replicas answered.", bucket...),
		func(b *health.Bucket) uint64 { return b.Counts.NoQuorum }},
	{desc("spare_bucket_write_backs_total", "Reads that completed another's write.", bucket...),
		func(b *health.Bucket) uint64 { return b.Counts.WriteBacks }},
	{desc("spare_bucket_settled_total", "Writes that failed at first and were found to have happened.", bucket...),
		func(b *health.Bucket) uint64 { return b.Counts.Settled }},
	{desc("spare_bucket_refused_total", "Writes refused because too few replicas took the object.", bucket...),
		func(b *health.Bucket) uint64 { return b.Counts.Refused }},
	{desc("spare_bucket_thin_total", "Writes acknowledged before all replicas had the object.", bucket...),
		func(b *health.Bucket) uint64 { return b.Counts.Thin }},
	{desc("spare_bucket_hedges_total", "Objects asked for at a second replica because the first was slow.", bucket...),
		func(b *health.Bucket) uint64 { return b.Counts.Hedges }},
	{desc("spare_bucket_switches_total", "Objects continued from another replica in mid-stream.", bucket...),
		func(b *health.Bucket) uint64 { return b.Counts.Switches }},
	{desc("spare_bucket_corrupt_total", "Copies that did not match their checksum.", bucket...),
		func(b *health.Bucket) uint64 { return b.Counts.Corrupt }},
	{desc("spare_bucket_repaired_total", "Keys repaired.", bucket...),
		func(b *health.Bucket) uint64 { return b.Counts.Repaired }},
}

var replicaCounters = []counter[health.Replica]{
	{desc("spare_replica_requests_total", "Requests to a replica's provider.", replica...),
		func(r *health.Replica) uint64 { return r.Requests }},
	{desc("spare_replica_failures_total", "Requests that a replica's provider failed.", replica...),
		func(r *health.Replica) uint64 { return r.Failed }},
	{desc("spare_replica_read_bytes_total", "Object bytes read from a replica.", replica...),
		func(r *health.Replica) uint64 { return r.BytesRead }},
	{desc("spare_replica_written_bytes_total", "Object bytes written to a replica.", replica...),
		func(r *health.Replica) uint64 { return r.BytesWritten }},
}

var (
	bucketReads   = desc("spare_bucket_reads", "1 while a majority of the bucket's replicas answers.", bucket...)
	bucketWrites  = desc("spare_bucket_writes", "1 while enough replicas take objects.", bucket...)
	replicaUp     = desc("spare_replica_up", "1 while the replica does all that it is there for.", replica...)
	replicaBehind = desc("spare_replica_behind_keys", "Keys that the replica is known to lack something of.", replica...)
	replicaLag    = desc("spare_replica_lag_seconds", "Age of the oldest of those keys.", replica...)
)

func describeBuckets(ch chan<- *prometheus.Desc) {
	for _, m := range bucketCounters {
		ch <- m.desc
	}
	for _, m := range replicaCounters {
		ch <- m.desc
	}
	for _, d := range []*prometheus.Desc{bucketReads, bucketWrites, replicaUp, replicaBehind, replicaLag} {
		ch <- d
	}
}

func collectBuckets(ch chan<- prometheus.Metric, all []health.Bucket, now time.Time) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for i := range all {
		b := &all[i]
		id := string(b.Bucket)
		gauge(bucketReads, number(b.Reads), id)
		gauge(bucketWrites, number(b.Writes), id)
		send(ch, bucketCounters, b, id)
		for j := range b.Replicas {
			r := &b.Replicas[j]
			site := string(r.Site)
			gauge(replicaUp, number(r.Works()), id, site)
			gauge(replicaBehind, float64(r.Behind), id, site)
			lag := 0.0
			if !r.Oldest.IsZero() {
				lag = now.Sub(r.Oldest).Seconds()
			}
			gauge(replicaLag, lag, id, site)
			send(ch, replicaCounters, r, id, site)
		}
	}
}
