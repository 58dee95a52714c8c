package replica

import (
	"context"
	"errors"
	"slices"

	"github.com/sparecloud/spare/internal/errs"
)

// survey is what the members' registers of one key held, each read at some
// moment after the survey began.
type survey struct {
	at   []reading // by member
	most *head     // the newest among definite answers; nil = none has any
	same bool      // a majority gave exactly that stamp
}

// ask reads the registers of key and returns once a majority has given definite
// answers. The readings that had not come by then carry errSkipped, so that a
// write to those members reads first.
//
// errs.Unavailable: no majority answered in time. Silence is never taken for
// absence.
func (b *Bucket) ask(ctx context.Context, key string) (survey, error) {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Quorum)
	defer cancel()
	answers := make(chan reading, len(b.members))
	for _, m := range b.members {
		go func() { answers <- b.readHead(ctx, m, key) }()
	}
	s := survey{at: make([]reading, len(b.members))}
	for i, m := range b.members {
		s.at[i] = reading{m: m, err: errSkipped}
	}
	var failed []error
	for definite := 0; definite < b.majority(); {
		a := <-answers
		s.at[a.m.index] = a
		if a.err == nil {
			definite++
			continue
		}
		if failed = append(failed, a.err); len(failed) > len(b.members)-b.majority() {
			return s, b.noMajority("read", failed)
		}
	}
	agree := 0
	for _, a := range s.at {
		if a.err == nil && a.head.newer(s.most) {
			s.most = a.head
		}
	}
	for _, a := range s.at {
		if a.err == nil && a.head.at() == s.most.at() {
			agree++
		}
	}
	s.same = agree >= b.majority()
	return s, nil
}

func (b *Bucket) noMajority(verb string, failed []error) error {
	b.stats.noQuorum.Add(1)
	slices.SortFunc(failed, func(x, y error) int {
		if errors.Is(x, errSkipped) && !errors.Is(y, errSkipped) {
			return 1 // what was asked says more
		}
		return 0
	})
	return errs.Wrap(errs.Unavailable, errors.Join(failed...), "bucket %s: no majority of its %d members could be %s", b.o.Name, len(b.members), verb)
}

// read gives the head that a linearizable read of key returns: the newest that
// a majority holds, after it holds it. nil = there is none.
func (b *Bucket) read(ctx context.Context, key string) (*head, error) {
	s, err := b.ask(ctx, key)
	if err != nil {
		return nil, err
	}
	h := s.most
	if !s.same {
		b.stats.writeBacks.Add(1)
		// A head that is found newer now is not given: it may be at that one member
		// alone, and the next read may give an older one.
		_, err = b.spread(ctx, s, h)
	}
	if err == nil {
		b.heads.settled(key, h)
	}
	return h, err
}

// spread raises the registers of a majority to h, and gives h, or what was
// found newer. It goes on with the members left over after it has returned.
// The error may be one of a write whose effect is not known.
func (b *Bucket) spread(ctx context.Context, s survey, h *head) (*head, error) {
	type outcome struct {
		m    *member
		head *head
		err  error
	}
	// What a write begins, it ends: the caller may leave.
	own, cancel := b.own(ctx, b.o.Timing.Quorum)
	out := make(chan outcome, len(b.members))
	for _, from := range s.at {
		b.wgGo(func() {
			head, err := b.writeHead(own, from, h)
			out <- outcome{from.m, head, err}
		})
	}
	newest := h
	var failed []error
	done := 0
	take := func(o outcome) {
		switch {
		case o.err != nil:
			failed = append(failed, o.err)
			b.dirty.add(h.Key, o.m.ID)
		default:
			done++
			if o.head.newer(newest) {
				newest = o.head
			}
		}
	}
	for done < b.majority() && len(failed) <= len(b.members)-b.majority() {
		take(<-out)
	}
	ok, left := done >= b.majority(), len(b.members)-done-len(failed)
	var err error
	if !ok {
		err = errs.MaybeApplied(b.noMajority("written", slices.Clone(failed)))
	}
	result := newest
	b.wgGo(func() {
		defer cancel()
		for range left {
			take(<-out)
		}
	})
	return result, err
}

// wgGo runs f as one of the bucket's own, even while it closes: what calls it
// is counted already, or is a caller's.
func (b *Bucket) wgGo(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		go f() // its context has ended: it ends at once
		return
	}
	b.wg.Add(1)
	go func() { defer b.wg.Done(); f() }()
}
