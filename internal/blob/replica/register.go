package replica

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

// reading is what a member's register held at one moment.
type reading struct {
	m    *member
	head *head  // nil: there is definitely none
	tag  string // what a write that follows must match; "" = must be absent
	err  error  // not known; head and tag say nothing
}

// readHead reads a member's register. Only a definite "there is none" gives a
// nil head.
func (b *Bucket) readHead(ctx context.Context, m *member, key string) reading {
	if m.amnesic.Load() {
		return reading{m: m, err: errAmnesic}
	}
	if !m.head.ready() {
		return reading{m: m, err: errSkipped}
	}
	r := b.peekHead(ctx, m, key)
	if m.amnesic.Load() {
		return reading{m: m, err: errAmnesic} // found out meanwhile: it may have been asked after its loss
	}
	return r
}

// peekHead reads the register of a member even if it may not be counted.
func (b *Bucket) peekHead(ctx context.Context, m *member, key string) reading {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	began := time.Now()
	data, tag, err := load(ctx, m.Heads, headPrefix+key, maxHead)
	if errs.Is(err, errs.NotFound) {
		m.head.note(ctx, nil, time.Since(began))
		return reading{m: m}
	}
	var h *head
	if err == nil {
		h, err = decodeHead(key, data)
	}
	m.head.note(ctx, err, time.Since(began))
	if err != nil {
		return reading{m: m, err: err}
	}
	b.heads.saw(m, key, tag, h)
	return reading{m: m, head: h, tag: tag}
}

// load reads a small record and its tag.
func load(ctx context.Context, from *blob.Bucket, key string, most int64) ([]byte, string, error) {
	r, err := from.Get(ctx, key, blob.GetOptions{})
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = r.Close() }()
	if r.Size > most {
		return nil, "", errs.Wrap(errs.Unavailable, blob.ErrSuspect, "%s: %q has %d bytes, at most %d are expected", from.Name(), key, r.Size, most)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, "", errs.Wrap(errs.Unavailable, err, "%s: read %q", from.Name(), key)
	}
	return data, r.ETag, nil
}

// writeHead raises a member's register to h: it returns nil once the register
// holds h or something newer, which superseded then is. from is what was read
// of the register before, or a reading with an error.
//
// The register only ever rises: the write is conditional on the tag of a head
// that is older, and a tag identifies its bytes. So a request whose answer was
// lost is simply tried again, whenever it takes effect.
func (b *Bucket) writeHead(ctx context.Context, from reading, h *head) (superseded *head, err error) {
	m, key := from.m, h.Key
	data, err := h.encode(len(b.data))
	if err != nil {
		return nil, err
	}
	backoff := run.Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	for tries := 0; ; tries++ {
		if from.err != nil {
			from = b.readHead(ctx, m, key)
		}
		switch {
		case from.err != nil:
		case !h.newer(from.head):
			if from.head.newer(h) {
				superseded = from.head
			}
			return superseded, nil
		default:
			err := b.swapHead(ctx, m, key, data, from.tag)
			if err == nil {
				return nil, nil
			}
			// Whatever it was (another came first, no answer, not known), what
			// the register holds now decides.
			lost := errs.Is(err, errs.Conflict) || errs.Is(err, errs.NotFound)
			from = reading{m: m, err: err}
			if lost {
				continue
			}
		}
		if !worthRepeating(from.err) || tries >= 4 || !m.head.up() {
			return nil, from.err
		}
		if err := run.Sleep(ctx, backoff.Next()); err != nil {
			return nil, from.err
		}
	}
}

func worthRepeating(err error) bool {
	return errs.Is(err, errs.Unavailable) && !errors.Is(err, errSkipped) && !errors.Is(err, errAmnesic)
}

func (b *Bucket) swapHead(ctx context.Context, m *member, key string, data []byte, tag string) error {
	cond := blob.Condition{Match: tag}
	if tag == "" {
		cond = blob.Condition{Absent: true}
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	began := time.Now()
	_, err := m.Heads.Put(ctx, headPrefix+key, bytes.NewReader(data), int64(len(data)), blob.PutOptions{
		Header: blob.Header{Type: "application/json"}, If: cond,
	})
	m.head.note(ctx, err, time.Since(began))
	return err
}
