package replica

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// leftovers removes staged bodies that nobody needs any more.
//
// A staged body is one of three. Of an operation that is the key's head: it may
// go once the plain key holds the same. Of one that was superseded: it may go.
// Of one that no head names: it may be a write on its way. A writer names its
// body within half of Grace, or never; so one that is older than Grace by the
// member's own clock is not on its way any more, and if no register holds it,
// none ever will.
func (r *repair) leftovers(ctx context.Context) error {
	work := newPool(ctx, repairers)
	for _, m := range r.b.data {
		if err := r.sweep(ctx, m, work); err != nil {
			r.unheard(m, err)
		}
	}
	work.wait()
	r.uploads(ctx)
	return errs.Wrap(errs.Unavailable, ctx.Err(), "repair bucket %s", r.b.o.Name)
}

// sweep goes through the bodies staged at one member.
func (r *repair) sweep(ctx context.Context, m *member, work *pool) error {
	now, err := r.b.clock(ctx, m)
	if err != nil {
		return err
	}
	l := &listing{m: m, from: m.Heads, under: stagePrefix, o: blob.ListOptions{Prefix: stagePrefix + r.o.Prefix}}
	for o := l.peek(ctx, r.b.o.Timing.Quorum); o != nil; o = l.peek(ctx, r.b.o.Timing.Quorum) {
		key, op, ok := stagedOf(o.Key)
		old := now.Sub(o.Modified) > r.b.o.Timing.Grace
		l.page = l.page[1:]
		if ok && old && !work.do(func() { r.leftover(ctx, m, key, op, now) }) {
			return nil
		}
	}
	return l.err
}

// clock gives a moment by the member's clock that is past: when it last stored
// its pulse.
func (b *Bucket) clock(ctx context.Context, m *member) (time.Time, error) {
	if err := b.beat(ctx, m); err != nil {
		return time.Time{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	o, err := m.Heads.Head(ctx, pulseKey)
	return o.Modified, err
}

// stagedOf is the inverse of [staged].
func stagedOf(name string) (key, op string, ok bool) {
	rest, ok := strings.CutPrefix(name, stagePrefix)
	i := strings.LastIndexByte(rest, '/')
	if !ok || i < 1 || !isOp(rest[i+1:]) {
		return "", "", false
	}
	return rest[:i], rest[i+1:], true
}

func isOp(s string) bool {
	return len(s) == len(noOp) && strings.Trim(s, "0123456789abcdef") == ""
}

// leftover removes one staged body that is older than Grace, if it may go.
func (r *repair) leftover(ctx context.Context, m *member, key, op string, now time.Time) {
	gone, err := r.b.takeBack(ctx, m, key, op, now)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case gone && err == nil:
		r.p.Swept++
	case err != nil && ctx.Err() == nil:
		r.failed(m, key, err)
	}
	r.tell()
}

// takeBack deletes a staged body older than Grace where that is safe, and says
// whether it did. now is by the member's clock.
func (b *Bucket) takeBack(ctx context.Context, m *member, key, op string, now time.Time) (bool, error) {
	regs, err := b.lookAll(ctx, key)
	if err != nil {
		return false, err
	}
	h := regs.most
	switch {
	case h.live() && h.Op == op:
		free, err := b.published(ctx, m, h, now)
		if err != nil || !free {
			return false, err
		}
	case b.o.Adopt != "" && isAdoption(op):
		return false, nil // its name is not of one attempt only: another may stage it again just now
	case !regs.settled():
		return false, nil // somewhere it may be named still
	default:
		if begun, err := b.underWay(ctx, key, op); err != nil || begun {
			return false, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	err = m.Heads.Delete(ctx, staged(key, op), blob.DeleteOptions{})
	if errs.Is(err, errs.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// underWay says whether a multipart upload may still complete under the
// operation. What was uploaded in parts may carry the time at which the upload
// began (at Amazon S3 it does), hours before it was completed: its age tells
// nothing, and its marker counts.
func (b *Bucket) underWay(ctx context.Context, key, op string) (bool, error) {
	all := make(marks, len(b.members))
	b.each(b.members, func(i int, m *member) { all[i] = b.readMarker(ctx, m, key, op) })
	if failed := all.failures(); len(failed) > 0 {
		return true, errs.Wrap(errs.Unavailable, errors.Join(failed...), "ask for an upload of %q", key)
	}
	if n, _ := all.in(markAborted); n >= b.majority() {
		return false, nil
	}
	open, _ := all.in(markOpen)
	pinned, one := all.in(markPinned)
	return open > 0 && pinned == 0 || pinned > 0 && time.Since(one.First) <= b.o.Timing.Grace, nil
}

// settled says whether every register of the key holds the same write, or none.
// They only rise: so whatever is not it is older, or was never in any, and a
// write-back of it that is still on its way finds something newer everywhere.
// A majority would not do: an operation that one register alone holds is the
// next read's answer as soon as that read asks that register.
func (regs registers) settled() bool {
	for _, a := range regs.at {
		if a.err != nil || a.m.amnesic.Load() || a.head.at() != regs.most.at() {
			return false
		}
	}
	return true
}

// published says whether a member may do without the staged body of h, the
// key's head: its plain key holds it, and nothing is staged there that a copier
// who was stopped for long could still put over it. Those go first.
func (b *Bucket) published(ctx context.Context, m *member, h *head, now time.Time) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Quorum)
	defer cancel()
	is, err := b.holdsPlain(ctx, m, h)
	if err != nil || !is {
		return false, err // that it is published is the repair's work, which came before
	}
	l := &listing{m: m, from: m.Heads, under: staged(h.Key, ""), o: blob.ListOptions{Prefix: staged(h.Key, ""), Delimiter: "/"}}
	for o := l.peek(ctx, b.o.Timing.Quorum); o != nil; o = l.peek(ctx, b.o.Timing.Quorum) {
		l.page = l.page[1:]
		op := l.key(o)
		if !isOp(op) || op == h.Op {
			continue
		}
		if now.Sub(o.Modified) <= b.o.Timing.Grace {
			return false, nil
		}
		if gone, err := b.takeBack(ctx, m, h.Key, op, now); err != nil || !gone {
			return false, err
		}
	}
	return l.err == nil, l.err
}
