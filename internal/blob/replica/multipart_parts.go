package replica

import (
	"context"
	"crypto/md5" // what S3 makes its tags of
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// holding is what one member has of an upload.
type holding struct {
	m     *member
	parts map[int]heldPart
	gone  bool // it knows of no such upload
	err   error
}

// heldPart is a part at one member. Its ETag is the MD5 of its bytes, if that is
// known, and tag is what the member calls it.
type heldPart struct {
	blob.Part
	tag string
}

// holdings asks all members of the upload at once what they have of it. It
// waits for as many as bodies must be at, and for the others for a while.
func (b *Bucket) holdings(ctx context.Context, key string, t token) ([]holding, error) {
	own, cancel := context.WithTimeout(ctx, b.o.Timing.Quorum)
	defer cancel()
	answers := make(chan holding, len(b.data))
	var to []*member
	for _, m := range b.data {
		if _, begun := t.IDs[m.ID]; begun {
			to = append(to, m)
			b.wgGo(func() { answers <- b.holdingAt(own, m, key, t) })
		}
	}
	all := collect(ctx, answers, len(to), b.bodies(), b.o.Timing.Attempt, func(h holding) bool { return h.err == nil })
	if err := ctx.Err(); err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "ask for the parts of %q", key)
	}
	for _, m := range to {
		if !slices.ContainsFunc(all, func(h holding) bool { return h.m == m }) {
			all = append(all, holding{m: m, err: errSkipped})
		}
	}
	slices.SortFunc(all, func(x, y holding) int { return x.m.index - y.m.index })
	return all, nil
}

// holdingAt lists all parts that a member has, at most blob.MaxParts.
func (b *Bucket) holdingAt(ctx context.Context, m *member, key string, t token) holding {
	if !m.head.ready() {
		return holding{m: m, err: errSkipped}
	}
	h := holding{m: m, parts: map[int]heldPart{}}
	known, err := b.proofsAt(ctx, m, t.Op)
	for after, more := 0, true; more && err == nil; {
		began := time.Now()
		var page []blob.Part
		page, more, err = m.Heads.ListParts(ctx, staged(key, t.Op), t.IDs[m.ID], after, blob.MaxPage)
		m.body.note(ctx, err, time.Since(began))
		for _, p := range page {
			if p.Number <= after || p.Number > blob.MaxParts {
				return holding{m: m, err: errs.Wrap(errs.Unavailable, blob.ErrSuspect, "%s: part %d came behind part %d", m.ID, p.Number, after)}
			}
			after = p.Number
			held := heldPart{p, p.ETag}
			held.ETag = known.of(p)
			h.parts[p.Number] = held
		}
		more = more && len(page) > 0
	}
	if errors.Is(err, blob.ErrNoUpload) {
		return holding{m: m, gone: true}
	}
	h.err = err
	return h
}

// lacks gives the numbers of the parts that the member has not, or has as
// something else.
func (h *holding) lacks(parts []blob.Part) []int {
	var missing []int
	for _, p := range parts {
		if got, there := h.parts[p.Number]; !there || got.ETag != p.ETag {
			missing = append(missing, p.Number)
		}
	}
	return missing
}

// ListParts gives the parts that are, or may be, at f+1 members, with the ETags
// that UploadPart gave. A part that too few took may show, too.
func (b *Bucket) ListParts(ctx context.Context, key, id string, after, limit int) ([]blob.Part, bool, error) {
	t, err := b.unseal(key, id)
	if err != nil {
		return nil, false, err
	}
	all, err := b.holdings(ctx, key, t)
	if err != nil {
		return nil, false, err
	}
	silent, gone := 0, 0
	var failed []error
	for _, h := range all {
		switch {
		case h.gone:
			gone++
		case h.err != nil:
			silent++
			failed = append(failed, h.err)
		}
	}
	switch {
	case len(t.IDs)-gone < b.bodies():
		return nil, false, b.noUpload(key)
	case len(t.IDs)-gone-silent < 1, silent > len(t.IDs)-b.bodies():
		return nil, false, errs.Wrap(errs.Unavailable, errors.Join(failed...), "bucket %s: too few members tell the parts of %q", b.o.Name, key)
	}
	if limit <= 0 || limit > blob.MaxPage {
		limit = blob.MaxPage
	}
	parts := known(all, b.bodies()-silent)
	i, _ := slices.BinarySearchFunc(parts, after+1, func(p blob.Part, n int) int { return p.Number - n })
	parts = parts[i:]
	return parts[:min(limit, len(parts))], len(parts) > limit, nil
}

// known joins what members have: the parts that at least least of them have
// alike, by number; of what was sent twice, that which more have.
func known(all []holding, least int) []blob.Part {
	type sent struct {
		number int
		size   int64
		etag   string
	}
	alike, times := map[sent]int{}, map[sent]time.Time{}
	for _, h := range all {
		for _, held := range h.parts {
			p := sent{held.Number, held.Size, held.ETag}
			alike[p]++
			if held.Modified.After(times[p]) {
				times[p] = held.Modified
			}
		}
	}
	best := map[int]sent{}
	for p, n := range alike {
		old, there := best[p.number]
		if n >= max(least, 1) && (!there || n > alike[old] || n == alike[old] && times[p].After(times[old])) {
			best[p.number] = p
		}
	}
	var parts []blob.Part
	for _, n := range slices.Sorted(maps.Keys(best)) {
		p := best[n]
		parts = append(parts, blob.Part{Number: n, Size: p.size, ETag: p.etag, Modified: times[p]})
	}
	return parts
}

// etagOf gives the ETag of an object in parts: the MD5 of the parts' MD5s and
// their number, as S3 makes it. ok is false where a part's tag is no MD5.
func etagOf(parts []blob.Part) (etag string, ok bool) {
	sum := md5.New()
	for _, p := range parts {
		raw, err := hex.DecodeString(p.ETag)
		if err != nil || len(raw) != md5.Size {
			return "", false
		}
		_, _ = sum.Write(raw) // a hash takes all
	}
	return hex.EncodeToString(sum.Sum(nil)) + "-" + strconv.Itoa(len(parts)), true
}

// maxRuns bounds how a head tells the sizes of parts.
const maxRuns = 64

// runsOf writes the sizes of parts as runs of equal ones. Where there would be
// more than maxRuns, or a size is not known, it gives none: then the object's
// bytes cannot be checked when they are read, and its number of parts is not
// told.
func runsOf(parts []blob.Part) []partRun {
	var runs []partRun
	for _, p := range parts {
		if n := len(runs); n > 0 && runs[n-1].Size == p.Size { // of a known size: the first was
			runs[n-1].Count++
			continue
		}
		if len(runs) == maxRuns || p.Size < 0 {
			return nil
		}
		runs = append(runs, partRun{Size: p.Size, Count: 1})
	}
	return runs
}
