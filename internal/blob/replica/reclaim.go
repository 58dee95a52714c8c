package replica

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// reclaims is what is to be looked at once its grace is over: staged bodies that
// were published or superseded. It is a queue in memory; what a crash loses of
// it, repair finds.
type reclaims struct {
	mu    sync.Mutex
	queue []staging
}

type staging struct {
	due     time.Time
	key, op string
}

// reclaimMost bounds the queue; beyond it repair finds the rest.
const reclaimMost = 200_000

// reclaim notes that the staged copies of a write may go, after Grace and a
// look whether they are still needed.
func (b *Bucket) reclaim(key string, h *head) {
	if !h.live() {
		return
	}
	b.reclaims.mu.Lock()
	defer b.reclaims.mu.Unlock()
	if len(b.reclaims.queue) < reclaimMost {
		b.reclaims.queue = append(b.reclaims.queue, staging{time.Now().Add(b.o.Timing.Grace), key, h.Op})
	}
}

// reclaimDue takes back the staged bodies whose grace is over.
func (b *Bucket) reclaimDue(ctx context.Context) {
	for ctx.Err() == nil {
		b.reclaims.mu.Lock()
		if len(b.reclaims.queue) == 0 || time.Now().Before(b.reclaims.queue[0].due) {
			b.reclaims.mu.Unlock()
			return
		}
		next := b.reclaims.queue[0]
		b.reclaims.queue = b.reclaims.queue[1:]
		b.reclaims.mu.Unlock()
		if err := b.unstage(ctx, next.key, next.op); err != nil {
			b.log.Debug("a staged body stays", "bucket", b.o.Name, "key", next.key, "err", err)
		}
	}
}

// unstage removes the staged copies of a write that is older than Grace, where
// nothing depends on them: at members whose plain key holds the same bytes, and
// everywhere once another write came after. Where the plain key does not hold
// what it should, it is published again, and the staged copy stays.
func (b *Bucket) unstage(ctx context.Context, key, op string) error {
	h, err := b.read(ctx, key)
	if err != nil {
		return err
	}
	needed := h.live() && h.Op == op
	var failed []error
	for _, m := range b.data {
		if needed {
			is, err := b.holdsPlain(ctx, m, h)
			if err == nil && !is && h.has(m.ID) {
				b.plain.wish(ctx, h)
				continue
			}
			if err != nil || !is {
				failed = append(failed, err)
				continue
			}
		}
		if err := m.Heads.Delete(ctx, staged(key, op), blob.DeleteOptions{}); err != nil && !errs.Is(err, errs.NotFound) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
