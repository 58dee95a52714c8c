package replica

import (
	"context"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// A publisher makes the plain keys follow the heads: what stock tools see in a
// member's own bucket. Readers through Spare do not depend on it.
//
// A copy or a delete may take effect late, over a newer one. So whoever touched
// a plain key reads the head again afterwards, and goes on until it has not
// changed: the last to touch the key leaves it right. One that dies in between
// is made up for by repair; until then the staged body is there.
type publisher struct {
	b     *Bucket
	mu    sync.Mutex
	next  map[string]*head // newest head asked for, of the keys that are worked on
	slots chan struct{}
}

// publishers is how many keys are published at once.
const publishers = 32

func newPublisher(b *Bucket) *publisher {
	return &publisher{b: b, next: map[string]*head{}, slots: make(chan struct{}, publishers)}
}

// wish asks for the plain key of h to be made to follow it.
func (p *publisher) wish(ctx context.Context, h *head) {
	p.mu.Lock()
	old, busy := p.next[h.Key]
	if !busy || h.newer(old) {
		p.next[h.Key] = h
	}
	p.mu.Unlock()
	if !busy {
		p.b.later(ctx, p.b.o.Timing.Grace/2, func(ctx context.Context) { p.follow(ctx, h.Key) })
	}
}

func (p *publisher) follow(ctx context.Context, key string) {
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
	}
	for {
		p.mu.Lock()
		h := p.next[key]
		p.mu.Unlock()
		if err := p.b.publish(ctx, h); err != nil {
			p.b.log.Debug("plain keys do not follow yet", "bucket", p.b.o.Name, "key", key, "err", err)
		}
		p.mu.Lock()
		if !p.next[key].newer(h) {
			delete(p.next, key)
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
	}
}

// publish makes the plain keys follow h, or whatever is newer by then.
func (b *Bucket) publish(ctx context.Context, h *head) error {
	for range 8 {
		failed := b.touchPlain(ctx, h)
		now, err := b.read(ctx, h.Key)
		if err != nil {
			return err
		}
		if now == nil {
			return errs.E(errs.Unavailable, "the head of %q was there and is gone", h.Key)
		}
		if now.at() != h.stamp {
			h = now
			continue
		}
		for i, m := range b.data {
			if failed[i] != nil {
				b.dirty.add(h.Key, m.ID)
				err = failed[i]
			}
		}
		b.reclaim(h.Key, h)
		return err
	}
	return errs.E(errs.Unavailable, "the key changes too fast")
}

// touchPlain makes each member's plain key follow h, and gives what failed, by
// member.
//
// Deletes go one after the other, each behind a read of the head: whoever was
// stopped for hours between the two then takes at most one member's copy of
// something newer, which repair brings back. Copies may go at once: a staged
// body that is out of date is gone by then.
func (b *Bucket) touchPlain(ctx context.Context, h *head) []error {
	failed := make([]error, len(b.data))
	if h.Deleted {
		for i, m := range b.data {
			now, err := b.read(ctx, h.Key)
			if err == nil && now.at() != h.stamp {
				break // the caller finds it too
			}
			if failed[i] = err; err == nil {
				failed[i] = b.publishAt(ctx, m, h)
			}
		}
		return failed
	}
	var wg sync.WaitGroup
	for i, m := range b.data {
		wg.Go(func() { failed[i] = b.publishAt(ctx, m, h) })
	}
	wg.Wait()
	return failed
}

// publishAt makes one member's plain key hold what h names.
func (b *Bucket) publishAt(ctx context.Context, m *member, h *head) error {
	began := time.Now()
	switch {
	case h.Deleted:
		err := m.Body.Delete(ctx, h.Key, blob.DeleteOptions{})
		m.body.note(ctx, err, time.Since(began))
		return err
	case !h.has(m.ID), h.Plain[m.ID] != "":
		return nil
	}
	if h.Rev > 0 { // the write itself was published before; now a member more has it
		if is, err := b.holdsPlain(ctx, m, h); err == nil && is {
			return nil
		}
	}
	_, err := m.Body.CopyFrom(ctx, h.Key, m.Heads, staged(h.Key, h.Op), blob.CopyOptions{})
	if !errs.Is(err, errs.NotFound) {
		m.body.note(ctx, err, time.Since(began))
		return err
	}
	// The staged copy is reclaimed only once the plain key holds it.
	if is, headErr := b.holdsPlain(ctx, m, h); headErr != nil || is {
		return headErr
	}
	return err
}

// holdsPlain says whether the member's plain key holds the body of h.
func (b *Bucket) holdsPlain(ctx context.Context, m *member, h *head) (bool, error) {
	o, err := m.Body.Head(ctx, h.Key)
	if errs.Is(err, errs.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if etag := h.Plain[m.ID]; etag != "" {
		return o.ETag == etag, nil
	}
	return o.Meta[metaOp] == h.Op && o.Size == h.Size, nil
}
