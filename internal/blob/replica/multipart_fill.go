package replica

import (
	"bytes"
	"context"
	"crypto/md5" // what S3 makes the tags of parts of
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// fill gives the members that lack parts what they lack, out of the object that
// another one has put together: where parts were slow at different members, each
// part is at enough of them and yet too few have all.
func (c *completion) fill(ctx context.Context) error {
	if slices.ContainsFunc(c.parts, func(p blob.Part) bool { return p.Size < 0 }) {
		return c.b.tooFew(c.u.sent, c.silent) // where a part lies in the object is not known
	}
	for len(c.u.have) == 0 && len(c.u.failed) < c.u.sent {
		select {
		case a := <-c.u.settled:
			c.u.take(a)
		case <-ctx.Done():
			return errs.Wrap(errs.Unavailable, ctx.Err(), "complete %q: the writer left", c.key)
		}
	}
	if len(c.u.have) == 0 {
		return c.b.tooFew(0, slices.Concat(c.u.failed, c.silent))
	}
	i := slices.IndexFunc(c.b.data, func(m *member) bool { return m.ID == c.u.have[0] })
	for _, m := range c.b.data {
		if missing := c.partial[m]; len(missing) > 0 {
			c.send(m, func() (time.Time, error) { return c.fillAt(c.b.data[i], m, missing) })
		}
	}
	return nil
}

// fillAt sends a member the parts that it lacks and lets it put the object
// together.
func (c *completion) fillAt(from, m *member, missing []int) (time.Time, error) {
	held := maps.Clone(c.held[m])
	offset := int64(0)
	for _, p := range c.parts {
		if slices.Contains(missing, p.Number) {
			got, err := c.bring(from, m, p, offset)
			if err != nil {
				return time.Time{}, err
			}
			held[p.Number] = got
		}
		offset += p.Size
	}
	return c.putTogether(m, held)
}

// bring copies one part, which begins at offset in the object.
func (c *completion) bring(from, m *member, p blob.Part, offset int64) (heldPart, error) {
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	var src io.Reader = bytes.NewReader(nil)
	if p.Size > 0 {
		r, err := from.Heads.Get(ctx, staged(c.key, c.t.Op), blob.GetOptions{Range: &blob.Range{Offset: offset, Length: p.Size}})
		if err != nil {
			return heldPart{}, err
		}
		defer func() { _ = r.Close() }() // all of it was read, or it failed
		src = r
	}
	in := c.b.pace(&proven{r: src, sum: md5.New(), want: p.ETag}, cancel)
	defer in.stop()
	began := time.Now()
	got, err := m.Heads.UploadPart(ctx, staged(c.key, c.t.Op), c.t.IDs[m.ID], p.Number, in, p.Size)
	m.body.note(c.ctx, err, time.Since(began))
	if err == nil {
		err = c.b.provePart(ctx, m, c.t.Op, got, p.ETag)
	}
	return heldPart{p, got.ETag}, err
}

// proven is a part whose bytes must have the MD5 that the client named. It fails
// in place of its end where they do not.
type proven struct {
	r    io.Reader
	sum  hash.Hash
	want string
}

func (p *proven) Read(buf []byte) (int, error) {
	n, err := p.r.Read(buf)
	_, _ = p.sum.Write(buf[:n]) // a hash takes all
	if errors.Is(err, io.EOF) && hex.EncodeToString(p.sum.Sum(nil)) != p.want {
		err = errs.Wrap(errs.Unavailable, blob.ErrSuspect, "the bytes of a part are not those of its ETag %q", p.want)
	}
	return n, err
}
