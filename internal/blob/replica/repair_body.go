package replica

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// stock is what a data member has of a body.
type stock struct {
	m       *member
	plain   bool // at its plain key
	staged  bool
	corrupt bool  // a copy there does not match its checksum
	outside bool  // the plain key holds what was not written through Spare
	err     error // not known
}

func (h stock) whole() bool { return h.err == nil && !h.corrupt && (h.plain || h.staged) }

// places gives where the right bytes are.
func (h stock) places() (at []place, ok bool) {
	if h.staged {
		at = append(at, place{m: h.m})
	}
	if h.plain {
		at = append(at, place{m: h.m, plain: true})
	}
	return at, len(at) > 0 && h.err == nil
}

// fill brings the body to the data members that lack it, and makes the plain
// keys follow.
func (k *mend) fill(ctx context.Context, regs registers) (again bool, err error) {
	h := regs.most
	all := k.inspect(ctx, h)
	from := sources(h, all)
	if len(from) == 0 {
		return k.nowhere(h, all), nil
	}
	k.bodiless = ""
	for i := range all {
		if all[i].err == nil && !all[i].whole() {
			k.bring(ctx, h, &all[i], from)
		}
	}
	if k.overtaken(ctx, h, all) {
		return true, nil
	}
	have, plain := hints(h, all)
	for _, v := range all {
		k.lacks(v.m, v.err)
	}
	if !slices.Equal(have, h.Have) || !maps.Equal(plain, h.Plain) || !regs.sameHints() {
		return true, k.rehint(ctx, regs, have, plain)
	}
	return k.follow(ctx, h, all), nil
}

// overtaken says whether a body could not be brought because the key has changed
// since, and the body it had went while it was read.
func (k *mend) overtaken(ctx context.Context, h *head, all []stock) bool {
	if !slices.ContainsFunc(all, func(v stock) bool { return errors.Is(v.err, errNotBrought) }) {
		return false
	}
	now, err := k.b.read(ctx, h.Key)
	if err != nil || now.at() == h.stamp {
		return false
	}
	clear(k.refused)
	return true
}

// hints gives what the head of h is to say of the members: those that have the
// body, those of which nothing new is known as before.
func hints(h *head, all []stock) (have []string, plain map[string]string) {
	for _, v := range all {
		unknown := v.err != nil && !errors.Is(v.err, errNotBrought)
		if v.whole() || unknown && h.has(v.m.ID) {
			have = append(have, v.m.ID)
		}
		if etag, ok := h.Plain[v.m.ID]; ok && (v.plain || unknown) {
			if plain == nil {
				plain = map[string]string{}
			}
			plain[v.m.ID] = etag
		}
	}
	return have, plain
}

// sources gives the places that the body can be read from.
func sources(h *head, all []stock) (from [][]place) {
	for _, v := range all {
		at, ok := v.places()
		for i := range at {
			if at[i].plain {
				at[i].match = h.Plain[v.m.ID]
			}
		}
		if ok {
			from = append(from, at)
		}
	}
	return from
}

// nowhere deals with a body that no member that answers has. It is lost only if
// all answer and a second look finds the same: it may just have been superseded.
func (k *mend) nowhere(h *head, all []stock) (again bool) {
	for _, v := range all {
		k.lacks(v.m, v.err)
	}
	switch {
	case slices.ContainsFunc(all, func(v stock) bool { return v.err != nil }):
		for _, v := range all {
			k.lacks(v.m, errs.E(errs.Unavailable, "it lacks the body of %q, and no member that answers has it", h.Key))
		}
	case k.bodiless != h.Op:
		k.bodiless = h.Op
		return true
	default:
		k.lost = true
	}
	return false
}

// inspect asks every data member what it has of the body.
func (k *mend) inspect(ctx context.Context, h *head) []stock {
	all := make([]stock, len(k.b.data))
	k.b.each(k.b.data, func(i int, m *member) {
		if all[i] = k.b.holds(ctx, m, h, k.spoilt[m] == h.Op); all[i].err == nil && m.isWrong(h.Op) {
			all[i] = k.b.proven(ctx, all[i], h)
		}
		if m.ID == k.b.o.Adopt && h.Counter == 0 && all[i].outside && !all[i].plain {
			all[i].err = errNotAdopted
		}
	})
	return all
}

// errNotAdopted marks a source whose object was overwritten past Spare after it
// was adopted, while the adoption goes on: its next pass adopts what is there.
var errNotAdopted = errs.E(errs.Unavailable, "written past Spare since it was adopted: the next pass of the adoption takes it in")

// holds asks one member what it has of the body of h. The plain key is looked
// at again behind the staged one: in between the one may have become the other.
// Where the plain copy is spoilt, only the staged one counts.
func (b *Bucket) holds(ctx context.Context, m *member, h *head, spoilt bool) stock {
	v := stock{m: m}
	if !m.body.ready() {
		v.err = errSkipped
		return v
	}
	for _, plain := range []bool{true, false, true} {
		if plain && spoilt {
			continue
		}
		o, err := b.headAt(ctx, m, h.Key, h.Op, plain)
		switch etag := h.Plain[m.ID]; {
		case errs.Is(err, errs.NotFound):
			continue
		case err != nil:
			v.err = err
			return v
		case plain && etag != "":
			v.plain = o.ETag == etag && o.Size == h.Size
			v.outside = !v.plain && o.Meta[metaOp] == ""
		case plain:
			v.plain = o.Meta[metaOp] == h.Op && o.Size == h.Size
			v.outside = o.Meta[metaOp] == ""
		default:
			v.staged = o.Size == h.Size
		}
		if v.plain || v.staged {
			break
		}
	}
	return v
}

// headAt describes the copy of a body at a member.
func (b *Bucket) headAt(ctx context.Context, m *member, key, op string, plain bool) (blob.Object, error) {
	from := m.Heads
	name := staged(key, op)
	if plain {
		from, name = m.Body, key
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	began := time.Now()
	o, err := from.Head(ctx, name)
	m.body.note(ctx, err, time.Since(began))
	return o, err
}

// proven reads the copies of a member whose bytes were found wrong, or that gave
// a part of bytes that were: those that are right count.
func (b *Bucket) proven(ctx context.Context, v stock, h *head) stock {
	if newCheck(h) == nil {
		return v
	}
	both := []*bool{&v.plain, &v.staged}
	for i, p := range []place{{m: v.m, plain: true, match: h.Plain[v.m.ID]}, {m: v.m}} {
		*both[i] = false
		switch err := b.readThrough(ctx, h, p); {
		case err == nil:
			*both[i] = true
		case errors.Is(err, blob.ErrSuspect):
			v.corrupt = true
		case errs.Is(err, errs.NotFound), errs.Is(err, errs.Conflict):
		default:
			v.err = err
			return v
		}
	}
	if !v.corrupt {
		v.m.wrong.Delete(h.Op)
	}
	return v
}

// readThrough reads the copy of a body at one place and checks it.
// blob.ErrSuspect: it is wrong.
func (b *Bucket) readThrough(ctx context.Context, h *head, at place) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := b.fetchFrom(ctx, h, at, 0, h.Size)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // nothing of it is used any more
	in := b.pace(r, cancel)
	defer in.stop()
	c := newCheck(h)
	if _, err := io.Copy(c, in); err != nil {
		return errs.Wrap(errs.Unavailable, err, "read %q of %s", h.Key, at.m.ID)
	}
	if !c.ok() {
		return errs.Wrap(errs.Unavailable, blob.ErrSuspect, "the copy of %q at %s does not match its checksum", h.Key, at.m.ID)
	}
	return nil
}

// errNotBrought marks a member that lacks a body which could not be brought.
var errNotBrought = errors.New("the body could not be brought there")

// bring stages the body at a member that lacks it, or whose copy is wrong. It
// is read from the others in turn, and checked before the last byte is written.
func (k *mend) bring(ctx context.Context, h *head, to *stock, from [][]place) {
	if to.err = k.refused[to.m]; to.err != nil {
		return
	}
	var failed []error
	for range from {
		y := newBody(ctx, k.b, h, 0, h.Size)
		y.at = slices.DeleteFunc(slices.Clone(from), func(at []place) bool { return failed != nil && at[0].m.isWrong(h.Op) })
		err := y.start()
		if err == nil {
			err = k.b.stageCopy(ctx, to.m, h, y)
		}
		_ = y.Close() // it gives no error
		if err == nil {
			to.m.wrong.Delete(h.Op)
			if to.corrupt {
				k.spoilt[to.m] = h.Op
			}
			*to = stock{m: to.m, staged: true, outside: to.outside}
			k.bytes += h.Size
			k.changed = true
			return
		}
		if failed = append(failed, err); !errors.Is(err, blob.ErrSuspect) {
			break // a source that was wrong is marked so now, and the next is tried
		}
	}
	to.err = errs.E(errs.Unavailable, "%w: %w", errNotBrought, errors.Join(failed...))
	k.refused[to.m] = to.err
}

// stageCopy writes the body of h to a member's staged key.
func (b *Bucket) stageCopy(ctx context.Context, m *member, h *head, body io.Reader) error {
	return b.stageParts(ctx, m, h, body, blob.MaxPut, partCopied)
}

const (
	partCopied    = 64 << 20 // bytes of a part of a body that is too large for one Put
	completeLimit = 10 * time.Minute
)

// stageParts writes the body in one piece, or in parts of at least part bytes
// where it has more than most.
func (b *Bucket) stageParts(ctx context.Context, m *member, h *head, body io.Reader, most, part int64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	in := b.pace(body, cancel)
	defer in.stop()
	key, o := staged(h.Key, h.Op), blob.PutOptions{Header: h.Header, Meta: bodyMeta(h.Op, h.Meta)}
	began := time.Now()
	var err error
	if h.Size <= most {
		_, err = m.Heads.Put(ctx, key, in, h.Size, o)
	} else {
		err = putParts(ctx, m.Heads, key, in, h.Size, max(part, (h.Size+blob.MaxParts-1)/blob.MaxParts), o)
	}
	m.body.note(ctx, err, time.Since(began))
	return err
}

// putParts writes a body of size bytes as a multipart upload.
func putParts(ctx context.Context, to *blob.Bucket, key string, body *paced, size, part int64, o blob.PutOptions) (err error) {
	id, err := to.CreateUpload(ctx, key, o)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = to.AbortUpload(context.WithoutCancel(ctx), key, id) // what stays ends by the provider's own rule
		}
	}()
	var parts []blob.Part
	for left := size; left > 0; left -= part {
		n := min(part, left)
		p, err := to.UploadPart(ctx, key, id, len(parts)+1, io.LimitReader(body, n), n)
		if err != nil {
			return err
		}
		parts = append(parts, p)
	}
	// The body's own end tells whether its bytes were right.
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	body.stop() // putting ten thousand parts together moves no byte here, and takes its time
	ctx, cancel := context.WithTimeout(ctx, completeLimit)
	defer cancel()
	_, err = to.CompleteUpload(ctx, key, id, parts, blob.Condition{})
	return err
}

// paced is a body that nobody may stop reading for long.
type paced struct {
	io.Reader
	t *time.Timer
	d time.Duration
}

// pace ends the call that cancel belongs to when no byte has moved for four
// times Stall: long enough for a source to be changed, and for a provider to
// store what it has taken.
func (b *Bucket) pace(r io.Reader, cancel context.CancelCauseFunc) *paced {
	d := 4 * b.o.Timing.Stall
	return &paced{r, time.AfterFunc(d, func() { cancel(errStalled) }), d}
}

func (p *paced) Read(buf []byte) (int, error) {
	n, err := p.Reader.Read(buf)
	p.t.Reset(p.d)
	return n, err
}

func (p *paced) stop() { p.t.Stop() }
