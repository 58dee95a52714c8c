package replica

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"maps"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Put writes an object of size bytes. Its body is staged at every member that
// takes it and is durable at f+1 of them before the head names it; when Put
// returns without error, a majority holds the head.
//
// Errors: errs.Invalid when the body failed, was shorter or longer than size
// (nothing was written); errs.Unavailable when too few members answered,
// marked MaybeApplied once heads may have been written and the outcome could
// not be settled; errs.Unsupported for a Condition.
func (b *Bucket) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	if err := b.checkWrite(key, o); err != nil {
		return blob.Object{}, err
	}
	if size < 0 || size > blob.MaxPut {
		return blob.Object{}, errs.E(errs.Invalid, "the body's size is %d bytes, it must be known and at most %d", size, int64(blob.MaxPut))
	}
	u := b.stage(ctx, key, body, size, o)
	if u.err != nil {
		return blob.Object{}, u.err
	}
	h := &head{
		Key: key, Size: size, SHA256: hex.EncodeToString(u.sha.Sum(nil)), ETag: hex.EncodeToString(u.md5.Sum(nil)),
		Header: o.Header, Meta: u.o.Meta,
	}
	if o.Sums != nil {
		h.Sums = maps.Clone(o.Sums())
	}
	return b.commit(ctx, u, h)
}

// kept copies what the caller may change once the call has returned, while
// members that were behind are still written to.
func kept(o blob.PutOptions) blob.PutOptions {
	o.Meta = maps.Clone(o.Meta)
	return o
}

// upload is a body on its way to the members.
type upload struct {
	b       *Bucket
	key, op string
	o       blob.PutOptions
	first   time.Time // when the first member had the body
	md5     hash.Hash
	sha     hash.Hash
	count   int64
	err     error

	survey  survey
	asked   chan error   // ends the survey
	settled chan arrival // one for each member that the body was sent to
	sent    int
	have    []string
	failed  []error
	cancel  context.CancelFunc // takes the body away from members that have it not yet
}

// arrival says how sending the body to a member ended.
type arrival struct {
	m   *member
	at  time.Time
	err error
}

func (u *upload) Write(p []byte) (int, error) {
	u.md5.Write(p)
	u.sha.Write(p)
	u.count += int64(len(p))
	return len(p), nil
}

// stage sends the body to the members and reads the key's registers meanwhile.
// It returns when the body is at enough members, or with u.err.
func (b *Bucket) stage(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) *upload {
	u := &upload{b: b, key: key, op: newOp(ctx), o: kept(o), md5: md5.New(), sha: sha256.New(), asked: make(chan error, 1)}
	to := b.takers()
	// Members that are behind go on after Put has returned: so their context is
	// the bucket's. A client that leaves is seen by the pump, whose error all get.
	sctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(b.ctx, cancel)
	u.cancel = func() { stop(); cancel() }

	f := newFan(len(to), b.bodies(), b.o.Timing.Stall)
	u.settled, u.sent = make(chan arrival, len(to)), len(to)
	for i, m := range to {
		b.wgGo(func() {
			err := b.sendBody(sctx, m, u, f.readers[i], size)
			f.readers[i].leave()
			u.settled <- arrival{m, time.Now(), err}
		})
	}
	b.wgGo(func() {
		var err error
		u.survey, err = b.ask(sctx, key)
		u.asked <- err
	})
	u.err = f.pump(io.TeeReader(&whileOpen{ctx, body}, u))
	switch {
	case u.err == nil && u.count < size:
		u.err = errs.Wrap(errs.Invalid, blob.ErrShort, "put %q: %d of %d bytes came", key, u.count, size)
	case u.err == nil && u.count > size:
		u.err = errs.E(errs.Invalid, "put %q: the body is longer than the %d bytes declared", key, size)
	case u.err == nil, errors.Is(u.err, errFewTake):
		u.err = u.wait(ctx)
	}
	if u.err != nil {
		u.abandon(ctx)
	}
	return u
}

// whileOpen fails once ctx has ended: a client that left writes nothing.
type whileOpen struct {
	ctx  context.Context
	body io.Reader
}

func (w *whileOpen) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, errs.Wrap(errs.Unavailable, err, "the writer left")
	}
	return w.body.Read(p)
}

// takers gives the members that a body is sent to: those that take bodies at
// present; all of them where those would not be enough, since a refusal is certain
// and a failure is not.
func (b *Bucket) takers() []*member {
	var to []*member
	for _, m := range b.data {
		if m.body.up() && m.head.up() {
			to = append(to, m)
		}
	}
	if len(to) < b.bodies() {
		return b.data
	}
	return to
}

// tooFew is the refusal to acknowledge what would not survive. Its causes stand
// in it as text: a body that may be staged somewhere is no write that may have
// been applied, because no head names it.
func (b *Bucket) tooFew(n int, failed []error) error {
	b.stats.refused.Add(1)
	if len(failed) == 0 {
		for _, m := range b.data {
			if err := m.lastError(); err != nil {
				failed = append(failed, err)
			}
		}
	}
	if len(failed) == 0 {
		failed = []error{errFewTake}
	}
	err := errs.E(errs.Unavailable, "bucket %s: %d of %d members take objects, %d must: %w", b.o.Name, n, len(b.data), b.bodies(), certain{errors.Join(failed...)})
	if _, need := Quorum(len(b.members)); len(b.data) == need && !b.o.Degraded {
		return errs.WithHint(err, "a third member that holds objects, or degraded: allow, lets writes go on while one is down")
	}
	return err
}

// certain is the failure of a write that no head names. That some of its bodies
// may have been stored is not a doubt about the write, and is not shown.
type certain struct{ error }

func (c certain) Is(target error) bool { return errors.Is(c.error, target) }

// sendBody stages the body at one member.
func (b *Bucket) sendBody(ctx context.Context, m *member, u *upload, body io.Reader, size int64) error {
	began := time.Now()
	_, err := m.Heads.Put(ctx, staged(u.key, u.op), body, size, blob.PutOptions{Header: u.o.Header, Meta: bodyMeta(u.op, u.o.Meta)})
	m.body.note(ctx, err, time.Since(began))
	return err
}

// wait returns when the body is at enough members and a majority of registers
// was read. Members that are nearly done are waited for a little longer: what
// they have then stands in the first head, which saves a second one.
func (u *upload) wait(ctx context.Context) error {
	began := time.Now()
	for need := u.b.bodies(); len(u.have) < need; {
		if u.sent-len(u.failed) < need {
			return u.b.tooFew(u.sent-len(u.failed), u.failed)
		}
		select {
		case a := <-u.settled:
			u.take(a)
		case <-ctx.Done():
			return errs.Wrap(errs.Unavailable, ctx.Err(), "put %q: the writer left", u.key)
		}
	}
	select {
	case err := <-u.asked:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return errs.Wrap(errs.Unavailable, ctx.Err(), "put %q: the writer left", u.key)
	}
	u.linger(min(max(minLinger, time.Since(began)/2), maxLinger))
	return nil
}

const (
	minLinger = 5 * time.Millisecond
	maxLinger = 100 * time.Millisecond
)

func (u *upload) linger(d time.Duration) {
	late := time.NewTimer(d)
	defer late.Stop()
	for u.sent > len(u.have)+len(u.failed) {
		select {
		case a := <-u.settled:
			u.take(a)
		case <-late.C:
			return
		}
	}
}

func (u *upload) take(a arrival) {
	if a.err != nil {
		u.failed = append(u.failed, a.err)
		return
	}
	u.have = append(u.have, a.m.ID)
	if u.first.IsZero() || a.at.Before(u.first) {
		u.first = a.at
	}
}

// abandon gives the operation up before any head named it, and takes back what
// was staged. No head ever will: so this is safe at any time.
func (u *upload) abandon(ctx context.Context) {
	u.cancel()
	u.b.later(ctx, u.b.o.Timing.Grace, func(ctx context.Context) {
		for u.sent > len(u.have)+len(u.failed) {
			u.take(<-u.settled)
		}
		for _, m := range u.b.data {
			_ = m.Heads.Delete(ctx, staged(u.key, u.op), blob.DeleteOptions{}) // what stays is swept by repair
		}
	})
}

// commit names the body in the registers. From here on the writer's leaving
// changes nothing.
func (b *Bucket) commit(ctx context.Context, u *upload, h *head) (blob.Object, error) {
	if b.expired(u.first) {
		u.abandon(ctx)
		return blob.Object{}, errs.E(errs.Unavailable, "put %q: took so long that its staged body may have been swept", u.key)
	}
	for drained := false; !drained; { // whoever arrived meanwhile
		select {
		case a := <-u.settled:
			u.take(a)
		default:
			drained = true
		}
	}
	h.stamp = stamp{u.survey.most.at().Counter + 1, u.op}
	h.Have = b.ordered(u.have)
	h.Modified = time.Now().UTC().Truncate(time.Millisecond)
	if _, err := h.encode(len(b.data)); err != nil {
		u.abandon(ctx)
		return blob.Object{}, err
	}
	if err := b.write(ctx, u.survey, h); err != nil {
		u.cancel()
		return blob.Object{}, err
	}
	b.stats.exposed(len(u.have), b.bodiesWanted())
	b.plain.wish(ctx, h)
	b.reclaim(h.Key, u.survey.most)
	b.later(ctx, b.o.Timing.Grace/2, func(ctx context.Context) { u.gather(ctx, h) })
	return h.object(), nil
}

// bodiesWanted is the number of members that shall hold every body.
func (b *Bucket) bodiesWanted() int { return len(b.data) }

// ordered gives the members named in have in the bucket's order of preference.
func (b *Bucket) ordered(have []string) []string {
	var out []string
	for _, m := range b.data {
		for _, id := range have {
			if id == m.ID {
				out = append(out, id)
			}
		}
	}
	return out
}

// write raises a majority of registers to h. If too few confirm, it reads what
// the outcome was, so that most errors are definite by the time they are told.
func (b *Bucket) write(ctx context.Context, s survey, h *head) error {
	_, err := b.spread(ctx, s, h)
	if err == nil {
		return nil
	}
	own, cancel := b.own(ctx, b.o.Timing.Quorum)
	defer cancel()
	now, readErr := b.read(own, h.Key)
	if readErr == nil && now.at().compare(h.stamp) >= 0 {
		b.stats.settled.Add(1)
		return nil // it is there, or was and has been overwritten since
	}
	// A majority does not have it, and yet a register may: it can still take
	// effect, at whoever reads that one first.
	return err
}

// gather waits for the members that were behind when the write was
// acknowledged, and adds those that have the body to the head's hints.
func (u *upload) gather(ctx context.Context, h *head) {
	defer u.cancel()
	before := len(u.have)
	for u.sent > len(u.have)+len(u.failed) {
		select {
		case a := <-u.settled:
			u.take(a)
		case <-ctx.Done():
			return
		}
	}
	if len(u.have) > before {
		_ = u.b.addHave(ctx, h, u.have[before:]) // a hint: repair finds the body too
	}
	if len(u.have) < u.b.bodiesWanted() {
		for _, m := range u.b.data {
			u.b.dirty.addUnless(u.have, h.Key, m.ID)
		}
	}
}

// addHave adds members to the hints of h, if h is still the key's head.
func (b *Bucket) addHave(ctx context.Context, h *head, have []string) error {
	s, err := b.ask(ctx, h.Key)
	if err != nil || s.most.at() != h.stamp {
		return err
	}
	next := *s.most
	all := append(append([]string(nil), next.Have...), have...)
	if next.Have = b.ordered(all); len(next.Have) == len(s.most.Have) {
		return nil
	}
	next.Rev++
	_, err = b.spread(ctx, s, &next)
	if err == nil && next.Rev > 0 {
		b.plain.wish(ctx, &next)
	}
	return err
}
