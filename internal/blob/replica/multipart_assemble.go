package replica

import (
	"context"
	"errors"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// completion is one attempt to complete an upload.
type completion struct {
	b     *Bucket
	key   string
	t     token
	open  *marker
	marks marks
	parts []blob.Part // as named; Size is found out, -1 = not known
	etag  string
	size  int64 // of the object; -1 = not known

	held    map[*member]map[int]heldPart
	whole   []*member         // have all parts
	partial map[*member][]int // lack these
	done    []arrival         // have put them together already
	lost    int               // have neither an upload nor its object
	silent  []error           // why others are not known

	u   *upload
	ctx context.Context // of what members do: it does not end with the client
}

func (c *completion) run(ctx context.Context) (blob.Object, error) {
	all, err := c.b.holdings(ctx, c.key, c.t)
	if err != nil {
		return blob.Object{}, err
	}
	c.sort(all)
	c.lookForDone(ctx, all)
	if err := c.judge(); err != nil {
		return blob.Object{}, err
	}
	c.begin(ctx)
	h, err := c.assemble(ctx)
	if err != nil {
		c.b.wgGo(func() { // what members still put together, a repetition finds done
			c.u.drain()
			c.u.cancel()
		})
		return blob.Object{}, err
	}
	c.b.later(ctx, c.b.o.Timing.Grace/2, func(ctx context.Context) {
		c.u.gather(ctx, h)
		_ = c.b.abortAt(ctx, c.key, c.t) // those that were left out keep no parts; what stays is swept
		_ = c.b.dropProofs(ctx, c.t.Op)
	})
	return h.object(), nil
}

// sort finds the sizes of the parts, and who has what.
func (c *completion) sort(all []holding) {
	for i := range c.parts {
		p := &c.parts[i]
		p.Size = -1
		for _, h := range all {
			if got, there := h.parts[p.Number]; there && got.ETag == p.ETag {
				p.Size = got.Size
			}
		}
	}
	c.measure()
	c.held, c.partial = map[*member]map[int]heldPart{}, map[*member][]int{}
	for _, h := range all {
		c.held[h.m] = h.parts
		missing := h.lacks(c.parts)
		switch {
		case h.gone:
		case h.err != nil:
			c.silent = append(c.silent, h.err)
		case len(missing) > 0:
			c.partial[h.m] = missing
		default:
			c.whole = append(c.whole, h.m)
		}
	}
}

func (c *completion) measure() {
	c.size = 0
	for _, p := range c.parts {
		if p.Size < 0 {
			c.size = -1
			return
		}
		c.size += p.Size
	}
}

// lookForDone looks whether the members that know of no upload have put it
// together in an earlier attempt.
func (c *completion) lookForDone(ctx context.Context, all []holding) {
	ctx, cancel := context.WithTimeout(ctx, c.b.o.Timing.Attempt)
	defer cancel()
	type look struct {
		m   *member
		o   blob.Object
		err error
	}
	answers := make(chan look, len(all))
	asked := 0
	for _, h := range all {
		if h.gone {
			asked++
			c.b.wgGo(func() {
				o, err := c.finished(ctx, h.m)
				answers <- look{h.m, o, err}
			})
		}
	}
	for range asked {
		switch a := <-answers; {
		case a.err != nil && !errs.Is(a.err, errs.NotFound):
			c.silent = append(c.silent, a.err)
		case a.err != nil, c.b.expired(a.o.Modified):
			c.lost++
		default:
			c.sized(a.o.Size)
			c.done = append(c.done, arrival{m: a.m, at: a.o.Modified})
		}
	}
}

// finished gives the object that a member has put together of the parts named.
// errs.NotFound: it has none, or another.
func (c *completion) finished(ctx context.Context, m *member) (blob.Object, error) {
	o, err := m.Heads.Head(ctx, staged(c.key, c.t.Op))
	if err != nil || o.ETag == c.etag {
		return o, err
	}
	known, err := c.b.proofsAt(ctx, m, c.t.Op)
	if err == nil && known.whole() != c.etag {
		err = errs.E(errs.NotFound, "%s: the object of an upload of %q is another", m.ID, c.key)
	}
	return o, err
}

// sized takes the object's size where it is not known from the parts. It tells
// the size of a part if that is the only one not known.
func (c *completion) sized(size int64) {
	if c.size >= 0 {
		return
	}
	c.size = size
	unknown, rest := -1, size
	for i, p := range c.parts {
		switch {
		case p.Size >= 0:
			rest -= p.Size
		case unknown >= 0:
			return
		default:
			unknown = i
		}
	}
	if unknown >= 0 {
		c.parts[unknown].Size = max(rest, 0)
	}
}

// judge says why the object cannot be made, or nil.
func (c *completion) judge() error {
	able, need := len(c.whole)+len(c.done), c.b.bodies()
	switch {
	case able > 0 && able+len(c.partial) >= need:
		return c.tooSmall()
	case len(c.partial) == 0 && able+len(c.silent) < need:
		return c.b.noUpload(c.key)
	case able == 0 && len(c.partial) > 0:
		if n := c.neverSent(); n > 0 {
			return errs.Wrap(errs.Invalid, blob.ErrPart, "part %d of %q", n, c.key)
		}
	}
	return errs.E(errs.Unavailable, "bucket %s: %d of %d members have the parts of %q, %d must: %w", c.b.o.Name, able, len(c.t.IDs), c.key, need, errors.Join(c.silent...))
}

func (c *completion) tooSmall() error {
	for i, p := range c.parts {
		if p.Size >= 0 && p.Size < blob.MinPart && i < len(c.parts)-1 {
			return errs.Wrap(errs.Invalid, blob.ErrTooSmall, "part %d of %q has %d bytes, at least %d are needed", p.Number, c.key, p.Size, blob.MinPart)
		}
	}
	return nil
}

// neverSent gives the number of a part that so many members lack that it was
// never acknowledged, or, where all have answered, of any that one lacks. 0 =
// there may be a member that has all.
func (c *completion) neverSent() int {
	lack := map[int]int{}
	for _, missing := range c.partial {
		for _, n := range missing {
			lack[n]++
		}
	}
	for _, p := range c.parts {
		if lack[p.Number] > 0 && (len(c.silent) == 0 || len(c.t.IDs)-lack[p.Number] < c.b.bodies()) {
			return p.Number
		}
	}
	return 0
}

// begin prepares an upload whose body the members put together themselves, and
// reads the key's registers meanwhile.
func (c *completion) begin(ctx context.Context) {
	own, cancel := c.b.own(ctx, completeLimit)
	u := &upload{b: c.b, key: c.key, op: c.t.Op, asked: make(chan error, 1), settled: make(chan arrival, len(c.t.IDs)), cancel: cancel}
	c.b.wgGo(func() {
		var err error
		u.survey, err = c.b.ask(own, c.key)
		u.asked <- err
	})
	c.u, c.ctx = u, own
}

// assemble lets the members put the object together and commits it.
func (c *completion) assemble(ctx context.Context) (*head, error) {
	u := c.u
	for _, a := range c.done {
		c.send(a.m, func() (time.Time, error) { return a.at, nil })
	}
	for _, m := range c.whole {
		c.send(m, func() (time.Time, error) { return c.putTogether(m, c.held[m]) })
	}
	if u.sent < c.b.bodies() {
		if err := c.fill(ctx); err != nil {
			return nil, err
		}
	}
	if err := u.wait(ctx); err != nil {
		return nil, err
	}
	return c.commit(ctx)
}

// send counts a member in, and lets it do its work.
func (c *completion) send(m *member, work func() (time.Time, error)) {
	c.u.sent++
	c.b.wgGo(func() {
		at, err := work()
		c.u.settled <- arrival{m, at, err}
	})
}

// putTogether completes the upload at one member, and gives when it was done at
// the latest. Where the answer is lost, what is staged tells.
func (c *completion) putTogether(m *member, held map[int]heldPart) (time.Time, error) {
	parts := make([]blob.Part, len(c.parts))
	tells := true // the tag of the object is going to
	for i, p := range c.parts {
		parts[i] = blob.Part{Number: p.Number, Size: p.Size, ETag: held[p.Number].tag}
		tells = tells && held[p.Number].tag == p.ETag
	}
	began := time.Now()
	if !tells {
		if err := c.b.prove(c.ctx, m, c.t.Op, wholeProof, c.etag, ""); err != nil {
			return began, err
		}
	}
	_, err := m.Heads.CompleteUpload(c.ctx, staged(c.key, c.t.Op), c.t.IDs[m.ID], parts, blob.Condition{})
	m.body.note(c.ctx, err, time.Since(began))
	if err == nil {
		return began, nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.b.o.Timing.Attempt)
	defer cancel()
	o, doneErr := c.finished(ctx, m)
	if doneErr != nil || c.b.expired(o.Modified) {
		return began, err
	}
	return o.Modified, nil
}

// commit pins the head and writes it, as Put does.
func (c *completion) commit(ctx context.Context) (*head, error) {
	u := c.u
	u.arrived()
	if c.b.expired(u.first) {
		return nil, c.b.noUpload(c.key)
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	h := &head{
		stamp: stamp{u.survey.most.at().Counter + 1, u.op}, Key: c.key, Size: c.size, ETag: c.etag, Modified: now,
		Header: c.open.Header, Meta: c.open.Meta, Parts: runsOf(c.parts), Have: c.b.ordered(u.have),
	}
	if _, err := h.encode(len(c.b.data)); err != nil {
		return nil, err
	}
	want := *c.open
	want.State, want.Changed, want.Head, want.First = markPinned, now, h, u.first
	k, err := c.b.pin(ctx, c.marks, &want)
	if err != nil {
		return nil, err
	}
	if err := c.b.write(ctx, u.survey, k.Head); err != nil {
		return nil, err
	}
	c.b.acknowledged(ctx, k.Head, u.survey.most)
	return k.Head, nil
}

// arrived takes in who has the body by now.
func (u *upload) arrived() {
	for {
		select {
		case a := <-u.settled:
			u.take(a)
		default:
			return
		}
	}
}

// drain waits for all whom the body was sent to.
func (u *upload) drain() {
	for u.sent > len(u.have)+len(u.failed) {
		u.take(<-u.settled)
	}
}
