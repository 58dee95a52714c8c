package replica

import (
	"context"
	"errors"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// CreateUpload begins a multipart upload at every member that takes bodies, and
// gives an id that says where. Nothing of it is kept here: parts may be sent
// through one gateway and completed through another.
//
// errs.Unavailable: fewer than f+1 members began it, or no majority keeps its
// record.
func (b *Bucket) CreateUpload(ctx context.Context, key string, o blob.PutOptions) (string, error) {
	if err := b.checkWrite(key, o); err != nil {
		return "", err
	}
	if err := ctx.Err(); err != nil {
		return "", errs.Wrap(errs.Unavailable, err, "create upload of %q", key)
	}
	t := token{Op: newOp(ctx), Key: keyHash(key)}
	var err error
	if t.IDs, err = b.beginAt(ctx, b.takers(), key, t.Op, o); err != nil {
		return "", err
	}
	id, err := b.seal(t)
	if err == nil {
		err = b.plant(ctx, &marker{Key: key, Op: t.Op, ID: id, Started: time.Now().UTC().Truncate(time.Millisecond), Header: o.Header, Meta: o.Meta, State: markOpen})
	}
	if err != nil {
		b.later(ctx, b.o.Timing.Quorum, func(ctx context.Context) { _ = b.abortAt(ctx, key, t) }) // the client knows of none
		return "", err
	}
	return id, nil
}

// plant writes the first marker of an upload.
func (b *Bucket) plant(ctx context.Context, k *marker) error {
	k.Changed = k.Started
	none := make(marks, len(b.members))
	for i, m := range b.members {
		if none[i].m = m; m.amnesic.Load() {
			none[i].err = errAmnesic
		}
	}
	now, ok, err := b.mark(ctx, none, k)
	if err == nil && !ok {
		err = errs.MaybeApplied(b.noMajority("told of an upload", now.failures()))
	}
	return err
}

// beginAt begins the upload at the members, and gives their ids of it. It waits
// for all for a while, and for enough of them until Quorum is over. What begins
// too late is aborted.
func (b *Bucket) beginAt(ctx context.Context, to []*member, key, op string, o blob.PutOptions) (map[string]string, error) {
	type begun struct {
		m   *member
		id  string
		err error
	}
	own, cancel := b.own(ctx, b.o.Timing.Quorum)
	o = blob.PutOptions{Header: o.Header, Meta: bodyMeta(op, o.Meta)}
	answers := make(chan begun, len(to))
	for _, m := range to {
		b.wgGo(func() {
			began := time.Now()
			id, err := m.Heads.CreateUpload(own, staged(key, op), o)
			m.body.note(own, err, time.Since(began))
			answers <- begun{m, id, err}
		})
	}
	got := collect(ctx, answers, len(to), b.bodies(), b.o.Timing.Attempt, func(a begun) bool { return a.err == nil })
	ids, left := map[string]string{}, len(to)-len(got)
	var failed []error
	for _, a := range got {
		if a.err != nil {
			failed = append(failed, a.err)
			continue
		}
		ids[a.m.ID] = a.id
	}
	b.wgGo(func() {
		defer cancel()
		for ; left > 0; left-- {
			if a := <-answers; a.err == nil {
				_ = a.m.Heads.AbortUpload(own, staged(key, op), a.id) // what stays ends by the provider's own rule
			}
		}
	})
	if len(ids) >= b.bodies() {
		return ids, nil
	}
	b.later(ctx, b.o.Timing.Quorum, func(ctx context.Context) { _ = b.abortAt(ctx, key, token{Op: op, IDs: ids}) })
	if err := ctx.Err(); err != nil {
		failed = append(failed, err)
	}
	return nil, errs.MaybeApplied(b.tooFew(len(ids), failed))
}

// AbortUpload forgets an upload. Once a majority knows that it is aborted it is
// never completed, and this succeeds. At a member that does not answer the
// parts stay until it is tried again by Repair, or ended by the provider's own
// rule for incomplete uploads. What was aborted may be aborted again.
//
// blob.ErrNoUpload: there is none, or it has been completed. errs.Unavailable:
// no majority answered, or a Complete is half done and must be repeated.
func (b *Bucket) AbortUpload(ctx context.Context, key, id string) error {
	t, err := b.unseal(key, id)
	if err != nil {
		return err
	}
	all, err := b.readMarks(ctx, key, t.Op)
	if err != nil {
		return err
	}
	switch n, pinned := all.in(markPinned); {
	case n > 0:
		return b.tooLateToAbort(ctx, pinned)
	case all.any() == nil:
		return b.noUpload(key)
	}
	if n, _ := all.in(markAborted); n >= b.majority() {
		return b.noUpload(key)
	}
	want := *all.any()
	want.State, want.Changed = markAborted, time.Now().UTC()
	now, ok, err := b.mark(ctx, all, &want)
	switch {
	case err != nil:
		return err
	case !ok:
		if _, pinned := now.in(markPinned); pinned != nil {
			return b.tooLateToAbort(ctx, pinned)
		}
		return errs.MaybeApplied(b.noMajority("told that an upload is aborted", now.failures()))
	}
	if err := errors.Join(b.abortAt(ctx, key, t), b.dropProofs(ctx, t.Op)); err != nil {
		b.log.Warn("parts of an aborted upload stay at a member", "bucket", b.o.Name, "key", key, "err", err)
	}
	return nil
}

// tooLateToAbort is the answer where a Complete came first.
func (b *Bucket) tooLateToAbort(ctx context.Context, k *marker) error {
	h, err := b.read(ctx, k.Key)
	switch {
	case err != nil:
		return err
	case h.at().compare(k.Head.stamp) >= 0 || b.expired(k.First):
		return b.noUpload(k.Key)
	}
	return errs.WithHint(errs.E(errs.Unavailable, "bucket %s: the upload of %q is half completed", b.o.Name, k.Key), "complete it again, then delete the object")
}

// expired says whether a body that was staged at first may be swept by now, so
// that no head may name it any more: by the clock that nobody sets, or by the
// one that goes on while the machine is suspended.
func (b *Bucket) expired(first time.Time) bool {
	return max(time.Since(first), time.Now().Round(0).Sub(first.Round(0))) > b.o.Timing.Grace/2
}

// abortAt aborts at the members that t names, and gives why some did not.
func (b *Bucket) abortAt(ctx context.Context, key string, t token) error {
	ctx, cancel := b.own(ctx, b.o.Timing.Attempt)
	defer cancel()
	var failed []error
	answers := make(chan error, len(b.data))
	for _, m := range b.data {
		id, begun := t.IDs[m.ID]
		b.wgGo(func() {
			if !begun {
				answers <- nil
				return
			}
			err := m.Heads.AbortUpload(ctx, staged(key, t.Op), id)
			if errors.Is(err, blob.ErrNoUpload) {
				err = nil
			}
			answers <- err
		})
	}
	for range b.data {
		if err := <-answers; err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// collect takes the answers of n members. It returns when all have come, when
// need of them are good and patience is over, when need of them cannot be good
// any more, or when ctx ends. The rest comes later.
func collect[T any](ctx context.Context, answers <-chan T, n, need int, patience time.Duration, good func(T) bool) (got []T) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	late, ok := false, 0
	for len(got) < n && (!late || ok < need) && ok+n-len(got) >= need {
		select {
		case a := <-answers:
			if got = append(got, a); good(a) {
				ok++
			}
		case <-timer.C:
			late = true
		case <-ctx.Done():
			return got
		}
	}
	return got
}
