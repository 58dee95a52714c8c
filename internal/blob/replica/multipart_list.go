package replica

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// maxUploads bounds the answer of ListUploads.
const maxUploads = 10_000

// ListUploads gives the uploads under way whose key has the prefix, by key, then
// by start.
//
// errs.Invalid: there are more than maxUploads.
func (b *Bucket) ListUploads(ctx context.Context, prefix string) ([]blob.Upload, error) {
	if err := checkList(blob.ListOptions{Prefix: prefix}); err != nil {
		return nil, err
	}
	var found []blob.Upload
	err := b.eachUpload(ctx, prefix, func(all marks) error {
		n, _ := all.in(markPinned)
		m, _ := all.in(markAborted)
		_, open := all.in(markOpen)
		if n+m > 0 || open == nil {
			return nil
		}
		if len(found) == maxUploads {
			return errs.WithHint(errs.E(errs.Invalid, "bucket %s: there are more than %d uploads under %q", b.o.Name, maxUploads, prefix), "ask for a longer prefix, and abort what is not needed")
		}
		found = append(found, blob.Upload{Key: open.Key, ID: open.ID, Started: open.Started})
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(x, y blob.Upload) int {
		return cmp.Or(strings.Compare(x.Key, y.Key), x.Started.Compare(y.Started), strings.Compare(x.ID, y.ID))
	})
	return found, nil
}

// eachUpload reads the markers of uploads, each at a majority, and gives them to
// f, one at a time.
func (b *Bucket) eachUpload(ctx context.Context, prefix string, f func(marks) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	for at := ""; ; {
		r, err := b.round(ctx, uploadPrefix, blob.ListOptions{Prefix: prefix, After: at, Limit: blob.MaxPage})
		if err != nil {
			return err
		}
		work := newPool(ctx, listReads)
		for _, c := range r.keys {
			key, op, ok := uploadOf(c.name)
			if !ok || !strings.HasPrefix(key, prefix) {
				continue
			}
			if !work.do(func() {
				all, err := b.readMarks(ctx, key, op)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					err = f(all)
				}
				if err != nil {
					cancel(err)
				}
			}) {
				break
			}
		}
		work.wait()
		switch {
		case ctx.Err() != nil:
			return errs.Wrap(errs.KindOf(context.Cause(ctx)), context.Cause(ctx), "list uploads of bucket %s", b.o.Name)
		case r.end:
			return nil
		}
		at = r.upTo
	}
}

// uploadOf tells an upload's key and operation by its marker's name, without
// what stands before it.
func uploadOf(name string) (key, op string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 1 || !isOp(name[i+1:]) {
		return "", "", false
	}
	return name[:i], name[i+1:], true
}

// sweepUploads removes the markers of uploads that ended longer ago than Grace,
// so that nobody asks for them any more, and aborts again what was aborted. It
// gives how many it removed.
//
// All members must answer for that: the marker that one of them kept as open
// would bring an upload back. What fails is left to the next time.
func (b *Bucket) sweepUploads(ctx context.Context, prefix string) (swept int, err error) {
	type ended struct {
		k   *marker
		all marks
	}
	var old []ended
	err = b.eachUpload(ctx, prefix, func(all marks) error {
		_, k := all.in(markPinned)
		if k == nil {
			_, k = all.in(markAborted)
		}
		if k != nil && time.Since(k.Changed) > b.o.Timing.Grace && len(old) < maxUploads {
			old = append(old, ended{k, all})
		}
		return nil
	})
	failed := []error{err}
	for _, e := range old {
		if err := b.sweepUpload(ctx, e.k, e.all); err != nil {
			failed = append(failed, err)
			continue
		}
		swept++
	}
	return swept, errors.Join(failed...)
}

func (b *Bucket) sweepUpload(ctx context.Context, k *marker, all marks) error {
	if t, err := b.unseal(k.Key, k.ID); err == nil {
		if err := b.abortAt(ctx, k.Key, t); err != nil {
			return err
		}
	}
	if err := b.dropProofs(ctx, k.Op); err != nil {
		return err
	}
	// That every member can be changed shows before the first marker goes.
	for i, a := range all {
		if a.err == nil {
			continue
		}
		if all[i] = b.readMarker(ctx, a.m, k.Key, k.Op); all[i].err != nil {
			return all[i].err
		}
	}
	return b.dropMarks(ctx, k.Key, k.Op)
}
