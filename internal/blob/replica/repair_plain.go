package replica

import (
	"context"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// follow makes the plain keys hold what h names, where they do not. Whoever
// touches a plain key looks at the head again behind it: that is the next
// round.
func (k *mend) follow(ctx context.Context, h *head, all []stock) (again bool) {
	ctx, cancel := context.WithTimeout(ctx, k.b.allow(h.Size))
	defer cancel()
	fails := make([]error, len(all))
	k.b.each(k.b.data, func(i int, m *member) {
		if v := all[i]; v.whole() && !v.plain {
			if v.outside {
				k.putBack(h, m)
			}
			fails[i] = k.b.copyPlain(ctx, m, h)
		}
	})
	for i, v := range all {
		switch {
		case !v.whole() || v.plain:
		case errs.Is(fails[i], errs.NotFound):
			again = true // it was taken back in between: so the plain key was right, or the head is another
		case fails[i] != nil:
			k.lacks(v.m, fails[i])
		default:
			delete(k.spoilt, v.m)
			k.changed, again = true, true
		}
	}
	if again {
		k.b.reclaim(h.Key, h)
	}
	return again
}

// copyPlain copies a member's staged body to its plain key, whatever that holds.
func (b *Bucket) copyPlain(ctx context.Context, m *member, h *head) error {
	began := time.Now()
	_, err := m.Body.CopyFrom(ctx, h.Key, m.Heads, staged(h.Key, h.Op), blob.CopyOptions{})
	m.body.note(ctx, err, time.Since(began))
	return err
}

// putBack says that what a plain key holds was not written through Spare, and
// follows its head again.
func (k *mend) putBack(h *head, m *member) {
	k.b.log.Warn("a plain key was written past Spare, and is made to follow its head again",
		"bucket", k.b.o.Name, "site", m.ID, "key", h.Key, "deleted", h.Deleted)
}

// allow gives how long a provider may take to copy bytes within itself.
func (b *Bucket) allow(size int64) time.Duration {
	const slowest = 4 << 20 // bytes a second
	return 4*b.o.Timing.Quorum + time.Duration(size/slowest)*time.Second
}

// clean removes the plain objects of a deleted key, one after the other, each
// behind a look at the head, as touchPlain does and for its reason.
func (k *mend) clean(ctx context.Context, h *head) (again bool) {
	found := make([]stock, len(k.b.data))
	k.b.each(k.b.data, func(i int, m *member) {
		found[i] = k.b.remains(ctx, m, h)
	})
	for _, v := range found {
		k.lacks(v.m, v.err)
		if !v.plain {
			continue
		}
		now, err := k.b.read(ctx, h.Key)
		if err == nil && now.at() != h.stamp {
			return true
		}
		if err == nil {
			if v.outside {
				k.putBack(h, v.m)
			}
			err = k.b.deleteAt(ctx, v.m, h)
		}
		k.lacks(v.m, err)
		if err == nil {
			k.changed, again = true, true
		}
	}
	return again
}

func (b *Bucket) deleteAt(ctx context.Context, m *member, h *head) error {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	return b.publishAt(ctx, m, h)
}

// remains asks what is left at the plain key of a deleted object.
func (b *Bucket) remains(ctx context.Context, m *member, h *head) stock {
	v := stock{m: m}
	if !m.body.ready() {
		v.err = errSkipped
		return v
	}
	o, err := b.headAt(ctx, m, h.Key, h.Op, true)
	switch {
	case errs.Is(err, errs.NotFound):
	case err != nil:
		v.err = err
	default:
		v.plain, v.outside = true, o.Meta[metaOp] == ""
	}
	return v
}
