package replica

import (
	"context"
	"sync/atomic"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// listReads is how many heads, or prefixes, a listing looks at at once.
const listReads = 32

// finding is what became of a look at an entry.
type finding struct {
	live    bool
	object  blob.Object // of a live key, unless its existence is all that matters
	stopped string      // the time was up: the After that goes on; "" = it was not
}

// look finds out what entries are, several at once.
func (s *scan) look(ctx context.Context, batch []entry) ([]finding, error) {
	found := make([]finding, len(batch))
	var failed atomic.Pointer[error]
	work := newPool(ctx, listReads)
	for i, e := range batch {
		if failed.Load() != nil || !work.do(func() {
			var err error
			if found[i], err = s.lookAt(ctx, e); err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		}) {
			break
		}
	}
	work.wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return found, errs.Wrap(errs.Unavailable, ctx.Err(), "list bucket %s", s.b.o.Name)
}

func (s *scan) lookAt(ctx context.Context, e entry) (finding, error) {
	if !e.group {
		return s.b.lookAt(ctx, e.keys[0], s.exists)
	}
	for _, c := range e.keys {
		if f, err := s.b.lookAt(ctx, c, true); err != nil || f.live {
			return f, err
		}
	}
	if !e.open {
		return finding{}, nil
	}
	// What is left of the group is gone through until its first live key.
	in := &scan{
		b: s.b, o: blob.ListOptions{Prefix: e.name, Limit: 1},
		at: e.after, size: someDead, want: 1, exists: true, until: s.until,
	}
	p, err := in.page(ctx)
	return finding{live: len(p.Objects) > 0, stopped: p.Next}, err
}

// lookAt finds out whether a key is alive and what it is.
func (b *Bucket) lookAt(ctx context.Context, c candidate, exists bool) (finding, error) {
	if len(c.heads) == 0 {
		return c.only(), nil // a majority has no head
	}
	if b.agreed(c) {
		if stateOf(c.heads[0].size) == stateDeleted {
			return finding{}, nil
		}
		if exists {
			return finding{live: true}, nil
		}
		if h := b.headOf(ctx, c); h != nil {
			return h.listed(), nil
		}
	}
	h, err := b.read(ctx, c.name)
	if h == nil {
		return c.only(), err
	}
	return h.listed(), err
}

// headOf gives the head that the listings agree on, or nil if it has changed
// since or cannot be read.
func (b *Bucket) headOf(ctx context.Context, c candidate) *head {
	for _, g := range c.heads {
		if h, known := b.heads.known(g.m, c.name, g.tag); known {
			return h
		}
	}
	for _, g := range c.heads {
		switch r := b.readHead(ctx, g.m, c.name); {
		case r.err != nil:
			continue
		case r.tag == g.tag:
			return r.head
		}
		return nil
	}
	return nil
}

// only gives what a key without a head is: that of the source, if there is one.
func (c candidate) only() finding {
	if c.plain == nil {
		return finding{}
	}
	return finding{live: true, object: *c.plain}
}

// listed gives what a listing shows of a head.
func (h *head) listed() finding {
	if !h.live() {
		return finding{}
	}
	return finding{live: true, object: blob.Object{Key: h.Key, Size: h.Size, ETag: h.ETag, Modified: h.Modified}}
}
