package replica

import (
	"context"
	"slices"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// CompleteUpload makes the object from the parts named. Members that hold all of
// them put them together, each on its own, at the staged key; once f+1 have, the
// head is written as in Put. Where too few have all parts, those that miss some
// are given them by one that has them.
//
// It may be repeated with the same id: one that was completed gives the same
// object again, also after another write came over it, for Grace. So may one
// that failed, within Grace/2 of the moment when the first member had put the
// object together.
//
// blob.ErrNoUpload: there is none, or it was aborted, or is too old to be
// finished. blob.ErrPart: no member has the parts as named. blob.ErrTooSmall.
// errs.Unavailable: too few members answered; MaybeApplied once heads may have
// been written.
func (b *Bucket) CompleteUpload(ctx context.Context, key, id string, parts []blob.Part, cond blob.Condition) (blob.Object, error) {
	if cond.Set() {
		return blob.Object{}, unsupported("conditional completes")
	}
	t, err := b.unseal(key, id)
	if err != nil {
		return blob.Object{}, err
	}
	etag, err := checkNamed(parts)
	if err != nil {
		return blob.Object{}, err
	}
	all, err := b.readMarks(ctx, key, t.Op)
	if err != nil {
		return blob.Object{}, err
	}
	_, open := all.in(markOpen)
	aborted, _ := all.in(markAborted)
	switch _, pinned := all.in(markPinned); {
	case pinned != nil:
		return b.resume(ctx, all, pinned)
	case open == nil || aborted >= b.majority():
		return b.swept(ctx, key, t.Op)
	}
	c := &completion{b: b, key: key, t: t, open: open, marks: all, parts: slices.Clone(parts), etag: etag}
	return c.run(ctx)
}

// checkNamed says what is wrong with the parts that a client names, and gives
// the ETag of the object that they make.
func checkNamed(parts []blob.Part) (etag string, err error) {
	if len(parts) == 0 {
		return "", errs.Wrap(errs.Invalid, blob.ErrPart, "no part is named")
	}
	for i, p := range parts {
		if p.Number < 1 || p.Number > blob.MaxParts || i > 0 && p.Number <= parts[i-1].Number {
			return "", errs.E(errs.Invalid, "part numbers must rise and lie between 1 and %d: %d is at place %d", blob.MaxParts, p.Number, i+1)
		}
	}
	etag, ok := etagOf(parts)
	if !ok {
		return "", errs.Wrap(errs.Invalid, blob.ErrPart, "a part is named with an ETag that is no MD5")
	}
	return etag, nil
}

// swept answers for an upload without a record: it may have been completed so
// long ago that the record is gone.
func (b *Bucket) swept(ctx context.Context, key, op string) (blob.Object, error) {
	h, err := b.read(ctx, key)
	if err == nil && (!h.live() || h.Op != op) {
		err = b.noUpload(key)
	}
	if err != nil {
		return blob.Object{}, err
	}
	return h.object(), nil
}

// resume finishes what an earlier Complete of the upload has pinned: the bodies
// are there, and whether a majority holds the head is found out or brought
// about. Where another write came over it meanwhile, it has happened before. A
// majority holds the pin before anything is answered: or the next repetition
// might not see it, and complete the upload once more.
func (b *Bucket) resume(ctx context.Context, all marks, k *marker) (blob.Object, error) {
	k, err := b.pin(ctx, all, k)
	if err != nil {
		return blob.Object{}, err
	}
	h, err := b.read(ctx, k.Key)
	switch {
	case err != nil:
		return blob.Object{}, err
	case h.at().compare(k.Head.stamp) >= 0:
		return k.Head.object(), nil
	case b.expired(k.First):
		return blob.Object{}, b.noUpload(k.Key)
	}
	s, err := b.ask(ctx, k.Key)
	if err != nil {
		return blob.Object{}, err
	}
	if err := b.write(ctx, s, k.Head); err != nil {
		return blob.Object{}, err
	}
	b.acknowledged(ctx, k.Head, s.most)
	for _, m := range b.data {
		b.dirty.addUnless(k.Head.Have, k.Key, m.ID)
	}
	return k.Head.object(), nil
}

// pin makes a majority hold what is about to be written, and gives it: what
// another attempt pinned first counts.
func (b *Bucket) pin(ctx context.Context, all marks, want *marker) (*marker, error) {
	now, ok, err := b.mark(ctx, all, want)
	if err != nil {
		return nil, err
	}
	_, k := now.in(markPinned)
	aborted, _ := now.in(markAborted)
	switch {
	case aborted >= b.majority():
		return nil, b.noUpload(want.Key)
	case !ok:
		// One member may hold the pin, and a repetition go by it.
		return nil, errs.MaybeApplied(b.noMajority("told that an upload is completed", now.failures()))
	case k.Head.ETag != want.Head.ETag:
		return nil, errs.E(errs.Conflict, "bucket %s: the upload of %q was completed with other parts at the same time", b.o.Name, want.Key)
	}
	return k, nil
}

// acknowledged does what follows once a majority holds h, which came over old.
func (b *Bucket) acknowledged(ctx context.Context, h, old *head) {
	b.stats.exposed(len(h.Have), b.bodiesWanted())
	b.plain.wish(ctx, h)
	if old.at() != h.stamp {
		b.reclaim(h.Key, old)
	}
}
