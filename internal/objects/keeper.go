package objects

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/blob/replica"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/run"
)

// keeper keeps one declared bucket: it opens it, as often as it takes.
type keeper struct {
	spec    estate.Bucket
	log     *slog.Logger
	connect Connect
	changed func() // the bucket has opened or closed
	cancel  context.CancelFunc
	now     atomic.Pointer[standing]
}

// standing is the bucket, or why there is none.
type standing struct {
	b   *replica.Bucket
	err error
}

func (k *keeper) fail(err error) { k.now.Store(&standing{err: err}) }

// end stops keeping the bucket.
func (k *keeper) end() { k.cancel() }

// run opens the bucket and keeps it until ctx ends. What goes on in the bucket
// then fails: it is closed once its own work has ended.
func (k *keeper) run(ctx context.Context) {
	pause := run.Backoff{Min: 100 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.2}
	said := ""
	for {
		b, closeAll, err := Open(ctx, k.spec, k.connect, k.log)
		if err == nil {
			k.now.Store(&standing{b: b})
			k.changed()
			k.log.Info("bucket open", "epoch", b.Status().Epoch)
			err := b.Run(ctx)
			k.fail(errs.E(errs.Unavailable, "bucket %s is closed", k.spec.ID))
			k.changed()
			if cerr := closeAll(); cerr != nil || err != nil {
				k.log.Warn("bucket not closed cleanly", "err", cerr, "run", err)
			}
			return
		}
		k.fail(errs.Wrap(errs.Unavailable, err, "bucket %s is not open", k.spec.ID))
		k.changed()
		if text := err.Error(); text != said && ctx.Err() == nil {
			said = text
			k.log.Error("bucket not open, trying again", "err", err, "remedy", errs.Hint(err))
		}
		if run.Sleep(ctx, pause.Next()) != nil {
			return
		}
	}
}

// state gives how the bucket stands.
func (k *keeper) state() health.Bucket {
	s := k.now.Load()
	if s.b == nil {
		return health.Bucket{Bucket: k.spec.ID, Reason: s.err.Error()}
	}
	return State(s.b.Status())
}

// State gives a bucket's status in the words of package health.
func State(s replica.Status) health.Bucket {
	v := health.Bucket{
		Bucket: estate.BucketID(s.Name), Reads: s.Reads, Writes: s.Writes, Adopting: estate.SiteID(s.Adopt),
		Counts: health.BucketCounts(s.Counts),
	}
	for _, m := range s.Members {
		v.Replicas = append(v.Replicas, health.Replica{
			Site: estate.SiteID(m.ID), Witness: m.Witness, Where: m.Where, Heads: m.Heads, Bodies: m.Bodies, Lost: m.Amnesic,
			Since: m.Since, Reason: m.Reason, LatencyNS: int64(m.Latency), Behind: m.Behind, More: m.More, Oldest: m.Oldest,
			Requests: m.Requests, Failed: m.Failed, BytesRead: m.BytesRead, BytesWritten: m.BytesWritten,
		})
	}
	return v
}
