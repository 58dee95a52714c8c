package failover

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/run"
)

// Journal is where entries go. Append may be repeated with the same entries:
// their Dedup says so.
type Journal interface {
	Append(ctx context.Context, entries ...journal.Entry) ([]journal.Entry, error)
}

const (
	maxEntries = 4096 // waiting to be written
	entryBatch = 64
)

// Kinds of entry beside the journal's own.
const (
	kindDecision journal.Kind = "decision" // the first writing site was committed
	kindGap      journal.Kind = "gap"      // entries were lost
)

// recorder writes entries to the journal beside everything else: a journal
// that is slow or away delays no decision. Its queue is bounded; what does
// not fit is counted, and the count is written down.
type recorder struct {
	journal Journal
	log     *slog.Logger
	name    string // of this run of the controller, for Dedup
	wake    chan struct{}

	mu    sync.Mutex
	queue []journal.Entry
	seq   uint64
	lost  uint64
	empty chan struct{} // closed when all was written; nil when nobody waits
}

func newRecorder(j Journal, log *slog.Logger, holder string) *recorder {
	return &recorder{journal: j, log: log, name: fmt.Sprintf("failover/%s/%d", holder, time.Now().UnixNano()), wake: make(chan struct{}, 1)}
}

func (r *recorder) add(e journal.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.journal == nil {
		return
	}
	if len(r.queue) >= maxEntries {
		r.lost++
		return
	}
	if r.lost > 0 && len(r.queue) < maxEntries/2 {
		r.push(journal.Entry{
			At: e.At, Kind: kindGap, Level: journal.Error, Certainty: journal.Observed, Actor: "spare",
			Message: fmt.Sprintf("%d entries of the failover controller were lost while the journal did not answer", r.lost),
		})
		r.lost = 0
	}
	r.push(e)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *recorder) push(e journal.Entry) {
	r.seq++
	if e.Dedup == "" {
		e.Dedup = fmt.Sprintf("%s/%d", r.name, r.seq)
	}
	r.queue = append(r.queue, e)
}

// run writes until ctx ends, and then for a last second.
func (r *recorder) run(ctx context.Context) error {
	again := run.Backoff{Min: retryMin, Max: retryMax, Jitter: 0.2}
	failing := false
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if err := r.write(last); err != nil {
				r.log.Error("journal entries lost at the end", "error", err)
			}
			return nil
		case <-r.wake:
		}
		for ctx.Err() == nil {
			err := r.write(ctx)
			if err == nil {
				again.Reset()
				failing = false
				break
			}
			if !failing && ctx.Err() == nil {
				r.log.Error("journal does not take entries", "error", err)
			}
			failing = true
			_ = run.Sleep(ctx, again.Next()) // its end ends the loop
		}
	}
}

// write appends all that waits, in order.
func (r *recorder) write(ctx context.Context) error {
	for {
		r.mu.Lock()
		batch := r.queue[:min(len(r.queue), entryBatch)]
		if len(batch) == 0 {
			if r.empty != nil {
				close(r.empty)
				r.empty = nil
			}
			r.mu.Unlock()
			return nil
		}
		r.mu.Unlock()
		call, cancel := context.WithTimeout(ctx, storeTimeout)
		_, err := r.journal.Append(call, batch...)
		cancel()
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.queue = append([]journal.Entry(nil), r.queue[len(batch):]...)
		r.mu.Unlock()
	}
}

// flush waits until all entries are written, at most for d.
func (r *recorder) flush(ctx context.Context, d time.Duration) {
	r.mu.Lock()
	if len(r.queue) == 0 {
		r.mu.Unlock()
		return
	}
	if r.empty == nil {
		r.empty = make(chan struct{})
	}
	empty := r.empty
	r.mu.Unlock()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-empty:
	case <-t.C:
	case <-ctx.Done():
	}
}

// note records one thing that happened now.
func (c *Controller) note(kind journal.Kind, level journal.Level, svc estate.ServiceID, site estate.SiteID, actor, message string, data any) {
	c.rec.add(journal.Entry{
		At: utc(time.Now()), Kind: kind, Level: level, Certainty: journal.Observed,
		Service: svc, Site: site, Actor: actor, Message: message, Data: encode(data),
	})
}
