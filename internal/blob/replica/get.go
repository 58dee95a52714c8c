package replica

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Head describes the object.
func (b *Bucket) Head(ctx context.Context, key string) (blob.Object, error) {
	if err := b.checkKey(key); err != nil {
		return blob.Object{}, err
	}
	if b.o.Level == Local {
		return b.localHead(ctx, key)
	}
	h, err := b.current(ctx, key)
	if err != nil {
		return blob.Object{}, err
	}
	if h == nil && b.o.Adopt != "" {
		o, err := b.source().Body.Head(ctx, key)
		if o.Meta[metaOp] == "" {
			return o, err
		}
		if h, err = b.read(ctx, key); err != nil { // it was written through Spare since
			return blob.Object{}, err
		}
	}
	if !h.live() {
		return blob.Object{}, b.noSuch(key)
	}
	return h.object(), nil
}

// Get opens the object. The bytes come from whichever member gives them; when
// one stops, the rest comes from another. An object read whole is checked
// against the checksum in its head: before the first byte is given where it
// has at most 1 MiB, before the last where it is larger.
//
// errs.NotFound: there is none. errs.Conflict: o.Match does not hold.
// errs.Unavailable: no majority, or no member gives the body.
func (b *Bucket) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	if err := b.checkKey(key); err != nil {
		return nil, err
	}
	if o.Version != "" {
		return nil, unsupported("versions")
	}
	if b.o.Level == Local {
		return b.localGet(ctx, key, o)
	}
	h, err := b.current(ctx, key)
	for {
		switch {
		case err != nil:
			return nil, err
		case h == nil && b.o.Adopt != "":
			r, err := b.source().Body.Get(ctx, key, o)
			if err != nil || r.Meta[metaOp] == "" {
				return r, err
			}
			_ = r.Close() // it was written through Spare since: its head says what it is
			if h, err = b.read(ctx, key); err != nil {
				return nil, err
			}
			if h == nil {
				return nil, b.noSuch(key)
			}
			continue
		case !h.live():
			return nil, b.noSuch(key)
		case o.Match != "" && o.Match != h.ETag:
			return nil, errs.E(errs.Conflict, "get %q: its ETag is %q", key, h.ETag)
		}
		r, err := b.open(ctx, h, o.Range)
		if err == nil || errs.Is(err, errs.Invalid) || ctx.Err() != nil {
			return r, err
		}
		// The body may have been superseded and reclaimed since the head was read.
		b.heads.forget(key)
		again, readErr := b.read(ctx, key)
		if readErr != nil || again.at() == h.at() {
			return nil, err
		}
		h = again
	}
}

func (b *Bucket) noSuch(key string) error {
	return errs.E(errs.NotFound, "bucket %s: there is no object %q", b.o.Name, key)
}

// current gives the head at the bucket's level.
func (b *Bucket) current(ctx context.Context, key string) (*head, error) {
	if b.o.Level == Bounded {
		if h, ok := b.heads.fresh(key, b.o.MaxAge); ok {
			return h, nil
		}
	}
	return b.read(ctx, key)
}

// source gives the member that objects without heads are read from while a
// bucket is being adopted.
func (b *Bucket) source() *member {
	for _, m := range b.data {
		if m.ID == b.o.Adopt {
			return m
		}
	}
	return nil
}

// open opens the body that h names, at the first member that gives it.
func (b *Bucket) open(ctx context.Context, h *head, part *blob.Range) (*blob.Reader, error) {
	offset, length := int64(0), h.Size
	if part != nil {
		var ok bool
		if offset, length, ok = part.Resolve(h.Size); !ok {
			return nil, errs.Wrap(errs.Invalid, blob.ErrRange, "get %q of %d bytes", h.Key, h.Size)
		}
	}
	body := newBody(ctx, b, h, offset, length)
	if err := body.start(); err != nil {
		_ = body.Close()
		return nil, err
	}
	return &blob.Reader{Object: h.object(), Offset: offset, Length: length, Body: body, Partial: part != nil}, nil
}

// place is where a member may keep a body.
type place struct {
	m     *member
	plain bool   // at its plain key, else staged
	match string // ETag that identifies it at the plain key; "" = by its operation
}

// places lists where the body of h may be, the places of one member together,
// best first: members that answer, those known to hold it before the others,
// in the order of preference; the staged copy first while it is certainly
// still there. Members whose copy was found wrong come last.
func (b *Bucket) places(h *head) [][]place {
	var near, far, rest, wrong [][]place
	for _, m := range b.data {
		both := []place{{m: m}, {m: m, plain: true, match: h.Plain[m.ID]}}
		if both[1].match != "" || time.Since(h.Modified) > b.o.Timing.Grace/2 {
			both[0], both[1] = both[1], both[0]
		}
		switch {
		case m.isWrong(h.Op):
			wrong = append(wrong, both)
		case !h.has(m.ID):
			rest = append(rest, both)
		case m.body.up() && m.head.up():
			near = append(near, both)
		default:
			far = append(far, both)
		}
	}
	return slices.Concat(near, far, rest, wrong)
}

// fetch opens the body of h at one member, length bytes from offset, and makes
// sure that it is that body. errs.NotFound: it is not there.
func (b *Bucket) fetch(ctx context.Context, h *head, at []place, offset, length int64) (*blob.Reader, error) {
	err := errs.E(errs.NotFound, "nowhere")
	for _, p := range at {
		var r *blob.Reader
		if r, err = b.fetchFrom(ctx, h, p, offset, length); err == nil {
			return r, nil
		}
		if !errs.Is(err, errs.NotFound) && !errs.Is(err, errs.Conflict) {
			return nil, err
		}
	}
	return nil, err
}

func (b *Bucket) fetchFrom(ctx context.Context, h *head, at place, offset, length int64) (*blob.Reader, error) {
	o := blob.GetOptions{}
	if length < h.Size {
		o.Range = &blob.Range{Offset: offset, Length: length}
	}
	from, key := at.m.Heads, staged(h.Key, h.Op)
	if at.plain {
		from, key, o.Match = at.m.Body, h.Key, at.match
	}
	began := time.Now()
	r, err := from.Get(ctx, key, o)
	at.m.body.note(ctx, err, time.Since(began))
	if err != nil {
		return nil, err
	}
	if at.match == "" && r.Meta[metaOp] != h.Op || r.Size != h.Size || r.Length != length {
		_ = r.Close()
		return nil, errs.E(errs.NotFound, "%s: %q holds another write", at.m.ID, key)
	}
	return r, nil
}

// staged names the copy of a body that only heads point to.
func staged(key, op string) string { return stagePrefix + key + "/" + op }

func (b *Bucket) localHead(ctx context.Context, key string) (blob.Object, error) {
	var failed []error
	for _, m := range b.data {
		o, err := m.Body.Head(ctx, key)
		if err == nil || errs.Is(err, errs.NotFound) {
			return shown(o), err
		}
		failed = append(failed, err)
	}
	return blob.Object{}, errs.Wrap(errs.Unavailable, errors.Join(failed...), "bucket %s: no member answers", b.o.Name)
}

func (b *Bucket) localGet(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	var failed []error
	for _, m := range b.data {
		r, err := m.Body.Get(ctx, key, o)
		if err == nil {
			r.Object = shown(r.Object)
		}
		if err == nil || !errs.Is(err, errs.Unavailable) {
			return r, err
		}
		failed = append(failed, err)
	}
	return nil, errs.Wrap(errs.Unavailable, errors.Join(failed...), "bucket %s: no member answers", b.o.Name)
}

// shown takes away what we wrote beside a body for ourselves.
func shown(o blob.Object) blob.Object {
	if _, ours := o.Meta[metaOp]; ours {
		o.Meta = maps.Clone(o.Meta)
		delete(o.Meta, metaOp)
	}
	return o
}
