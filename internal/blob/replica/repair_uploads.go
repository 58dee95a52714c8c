package replica

import (
	"context"
	"errors"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// uploadAge is how old a multipart upload must be before it counts as given up.
const uploadAge = 7 * 24 * time.Hour

// uploads aborts the multipart uploads that were begun long ago and neither
// completed nor aborted, and removes the records of those that have ended. What
// of it fails is left to the next repair.
func (r *repair) uploads(ctx context.Context) {
	var old []*marker
	err := r.b.eachUpload(ctx, r.o.Prefix, func(all marks) error {
		pinned, _ := all.in(markPinned)
		aborted, _ := all.in(markAborted)
		_, open := all.in(markOpen)
		if pinned+aborted == 0 && open != nil && time.Since(open.Started) > uploadAge && len(old) < maxUploads {
			old = append(old, open)
		}
		return nil
	})
	failed := []error{err}
	swept := 0
	for _, u := range old {
		if ctx.Err() != nil {
			return
		}
		if err := r.b.AbortUpload(ctx, u.Key, u.ID); err == nil {
			swept++
		} else if !errs.Is(err, errs.NotFound) {
			failed = append(failed, err)
		}
	}
	ended, err := r.b.sweepUploads(ctx, r.o.Prefix)
	if err := errors.Join(append(failed, err)...); err != nil && ctx.Err() == nil {
		r.b.log.Warn("what is left of uploads stays", "bucket", r.b.o.Name, "err", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.p.Swept += swept + ended
}
