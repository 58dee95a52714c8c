package replica

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// verdict is what the repair of a key came to.
type verdict struct {
	changed bool
	foreign bool // there is no head
	lost    bool // the head is live and no member has the body
	adopted bool // it was given a head
	bytes   int64
	behind  map[*member]error // members that lack something still, and why
}

// maxRounds bounds how often a repair begins again because the key changed.
const maxRounds = 12

// repairKey makes all members hold the key's newest head, and the data members
// its body. An error means that not even a majority could be brought together;
// what single members lack is in the verdict.
//
// It goes in rounds: each reads the registers anew and does what is missing,
// until one finds nothing to do. So whatever comes in between, a writer,
// another repair, is seen by the next round, and a round's own work is checked.
func (b *Bucket) repairKey(ctx context.Context, key string) (verdict, error) {
	since := b.dirty.lift(key)
	k := &mend{b: b, key: key, spoilt: map[*member]string{}, refused: map[*member]error{}}
	err := k.run(ctx)
	if err != nil {
		left := map[*member]error{}
		for _, m := range b.members {
			if _, known := since[m.ID]; known {
				left[m] = err
			}
		}
		b.dirty.drop(key, left, since)
		return k.verdict, err
	}
	b.dirty.drop(key, k.behind, since)
	if k.changed {
		b.stats.repaired.Add(1)
	}
	return k.verdict, nil
}

// mend is the repair of one key.
type mend struct {
	b   *Bucket
	key string
	verdict
	bodiless string             // operation whose body the last round found nowhere
	spoilt   map[*member]string // operation whose plain copy is wrong there and is to be replaced
	refused  map[*member]error  // members to which a body could not be brought: they are not tried again
}

func (k *mend) run(ctx context.Context) error {
	for range maxRounds {
		again, err := k.round(ctx)
		if err != nil || !again {
			return err
		}
	}
	return errs.E(errs.Unavailable, "bucket %s: %q changes too fast to be repaired", k.b.o.Name, k.key)
}

// round does one step towards the key being whole, and says whether another
// must follow.
func (k *mend) round(ctx context.Context) (again bool, err error) {
	k.behind = map[*member]error{}
	regs, err := k.b.lookAll(ctx, k.key)
	if err != nil {
		return false, err
	}
	if regs.most == nil {
		k.foreign = true
		for _, a := range regs.at {
			k.lacks(a.m, a.err)
		}
		return false, nil
	}
	newer, err := k.raise(ctx, regs, regs.most)
	switch {
	case err != nil || newer:
		return newer, err
	case regs.most.Deleted:
		return k.clean(ctx, regs.most), nil
	}
	return k.fill(ctx, regs)
}

// lacks notes that something is missing at the member, if err is one.
func (k *mend) lacks(m *member, err error) {
	if err != nil && k.behind[m] == nil {
		k.behind[m] = err
	}
}

// registers is what all members' registers of a key held, read one after the
// other's fashion: each at some moment of the survey.
type registers struct {
	at   []reading // by member
	most *head     // the newest of all; nil = none has any
}

// lookAll reads the registers of key at all members, those that are not counted
// too. Its error is that no majority of those that count answered.
func (b *Bucket) lookAll(ctx context.Context, key string) (registers, error) {
	regs := registers{at: make([]reading, len(b.members))}
	b.each(b.members, func(i int, m *member) { regs.at[i] = b.look(ctx, m, key) })
	counted := 0
	var failed []error
	for _, a := range regs.at {
		switch {
		case a.err != nil:
			failed = append(failed, a.err)
			continue
		case a.m.amnesic.Load():
			failed = append(failed, errAmnesic)
		default:
			counted++
		}
		if a.head.newer(regs.most) {
			regs.most = a.head
		}
	}
	if counted < b.majority() {
		return regs, b.noMajority("read", failed)
	}
	return regs, nil
}

// each runs f for each of the members at once, and returns when all have ended.
func (b *Bucket) each(list []*member, f func(i int, m *member)) {
	var wg sync.WaitGroup
	for i, m := range list {
		wg.Go(func() { f(i, m) })
	}
	wg.Wait()
}

// look reads a member's register whether it counts or not.
func (b *Bucket) look(ctx context.Context, m *member, key string) reading {
	if !m.head.ready() {
		return reading{m: m, err: errSkipped}
	}
	return b.peekHead(ctx, m, key)
}

// raise makes every register that answers hold h. newer: one holds something
// newer than h by now. The error is that no majority holds h.
func (k *mend) raise(ctx context.Context, regs registers, h *head) (newer bool, err error) {
	out, fails := make([]lifted, len(regs.at)), make([]error, len(regs.at))
	k.b.each(k.b.members, func(i int, _ *member) {
		if fails[i] = regs.at[i].err; !broken(fails[i]) {
			out[i], fails[i] = k.b.lift(ctx, regs.at[i], h)
		}
	})
	holds := 0
	failed := []error{errAmnesic}
	for i, m := range k.b.members {
		switch {
		case fails[i] != nil:
			failed = append(failed, fails[i])
			k.lacks(m, fails[i])
		case !m.amnesic.Load():
			holds++
		}
		k.changed = k.changed || out[i] == liftedWrote
	}
	if slices.Contains(out, liftedNewer) {
		return true, nil
	}
	if holds < k.b.majority() {
		return false, k.b.noMajority("written", failed)
	}
	for i, m := range k.b.members {
		if broken(fails[i]) {
			k.overwrite(ctx, m, h)
		}
	}
	return false, nil
}

// broken says whether what was read is no head. That is a fault of the member
// alone: nothing ever writes such a thing.
func broken(err error) bool { return errors.Is(err, blob.ErrSuspect) }

// lifted is how raising a register ended.
type lifted int

const (
	liftedNot   lifted = iota // it held h already, or did not answer
	liftedWrote               // it holds h now
	liftedNewer               // it holds something newer
)

// lift raises one register, of a member that counts or not.
func (b *Bucket) lift(ctx context.Context, from reading, h *head) (lifted, error) {
	var err error
	for range 4 {
		if from.err != nil {
			from = b.look(ctx, from.m, h.Key)
		}
		switch {
		case from.err != nil:
			return liftedNot, from.err
		case from.head.newer(h):
			return liftedNewer, nil
		case !h.newer(from.head):
			return liftedNot, nil
		}
		var superseded *head
		superseded, err = b.writeHead(ctx, from, h)
		switch {
		case err == nil && superseded != nil:
			return liftedNewer, nil
		case err == nil:
			return liftedWrote, nil
		case !errors.Is(err, errAmnesic):
			return liftedNot, err
		}
		from = reading{m: from.m, err: err} // another was there first: look again
	}
	return liftedNot, err
}

// overwrite puts h into a register that holds something that is no head. A
// majority of others has just been seen to hold h: so what was there was not
// acknowledged, or is superseded.
func (k *mend) overwrite(ctx context.Context, m *member, h *head) {
	tag, err := k.b.brokenTag(ctx, m, h.Key)
	if err == nil {
		var data []byte
		if data, err = h.encode(len(k.b.data)); err == nil {
			err = k.b.swapHead(ctx, m, h.Key, data, tag)
		}
	}
	if err != nil {
		k.lacks(m, err)
		return
	}
	k.b.log.Warn("a head that could not be read was replaced", "bucket", k.b.o.Name, "site", m.ID, "key", h.Key)
	delete(k.behind, m)
	k.changed = true
}

// brokenTag gives the tag of a register that holds something that is no head.
func (b *Bucket) brokenTag(ctx context.Context, m *member, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	o, err := m.Heads.Head(ctx, headPrefix+key)
	if err != nil {
		return "", err
	}
	if o.Size <= maxHead {
		data, tag, err := load(ctx, m.Heads, headPrefix+key, maxHead)
		if err != nil {
			return "", err
		}
		if _, err := decodeHead(key, data); err == nil {
			return "", errs.E(errs.Conflict, "it holds a head again")
		}
		return tag, nil
	}
	return o.ETag, nil
}

// rehint writes the same write's head with other hints.
func (k *mend) rehint(ctx context.Context, regs registers, have []string, plain map[string]string) error {
	next := *regs.most
	next.Rev++
	next.Have, next.Plain = have, plain
	for i, a := range regs.at {
		if a.err == nil && regs.most.newer(a.head) {
			regs.at[i].err = errSkipped // it was raised since
		}
	}
	_, err := k.raise(ctx, regs, &next)
	return err
}

// sameHints says whether every register gives the same hints for the same
// write. Two that repaired it at once may have given it different ones under
// one revision.
func (regs registers) sameHints() bool {
	for _, a := range regs.at {
		if a.err == nil && a.head.at() == regs.most.stamp && a.head.Rev == regs.most.Rev &&
			(!slices.Equal(a.head.Have, regs.most.Have) || !maps.Equal(a.head.Plain, regs.most.Plain)) {
			return false
		}
	}
	return true
}
