package replica

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

// step is what came of a key.
type step int

const (
	stepKnown   step = iota // it has a head, or it is no longer there
	stepAdopted             // it has been given one
)

// errChanged says that the object changed while it was copied.
var errChanged = errs.E(errs.Conflict, "the object changed while it was copied")

// adoptTries bounds how often a key is tried in one pass, that changes or whose
// members do not answer for a moment.
const adoptTries = 3

// adoptKey gives the source's object at key a head, if it has none.
func (a *adopting) adoptKey(ctx context.Context, key string) (did step, bytes int64, err error) {
	if err := a.b.checkKey(key); err != nil {
		return stepKnown, 0, errs.WithHint(err, "copy the object to a shorter key, or take it out of the bucket")
	}
	backoff := run.Backoff{Min: time.Second, Max: 4 * time.Second}
	for tries := 1; ; tries++ {
		var n int64
		did, n, err = a.try(ctx, key)
		bytes += n
		changed := errors.Is(err, errChanged)
		switch {
		case !changed && !errs.Is(err, errs.Unavailable):
			return did, bytes, err
		case tries == adoptTries:
			return stepKnown, bytes, errs.Wrap(errs.Unavailable, err, "adopt %q", key)
		case !changed && run.Sleep(ctx, backoff.Next()) != nil:
			return stepKnown, bytes, err
		}
	}
}

// try adopts the object as it is now. The order is the point: what the registers
// hold is read before the object, the body is at enough members before any
// register names it, and registers are only raised from where they were read.
// Whatever a client writes through Spare meanwhile has a higher counter.
func (a *adopting) try(ctx context.Context, key string) (did step, bytes int64, err error) {
	b := a.b
	s, err := b.ask(ctx, key)
	if err != nil {
		return stepKnown, 0, err
	}
	if s.most != nil && s.most.Counter > 0 {
		return stepKnown, 0, nil // it was written through Spare
	}
	obj, err := b.headAt(ctx, a.from, key, "", true)
	switch {
	case errs.Is(err, errs.NotFound):
		return stepKnown, 0, nil
	case err != nil:
		return stepKnown, 0, err
	case obj.Meta[metaOp] != "":
		return stepKnown, 0, nil // ours: its head is on its way, or was lost
	case s.most != nil && s.most.Plain[a.from.ID] == obj.ETag && s.most.Size == obj.Size:
		_, err := b.read(ctx, key) // a majority shall hold it
		return stepKnown, 0, err
	}
	h := newAdopted(key, a.from.ID, obj, s.most)
	if err := b.checkWrite(key, blob.PutOptions{Header: h.Header, Meta: h.Meta}); err != nil {
		return stepKnown, 0, err
	}
	have, err := a.copyOut(ctx, h)
	if err != nil {
		return stepKnown, 0, err
	}
	bytes = h.Size * int64(len(have))
	if err := a.unchanged(ctx, h); err != nil {
		return stepKnown, bytes, err
	}
	h.Have = b.ordered(append(have, a.from.ID))
	return stepAdopted, bytes, a.name(ctx, s, h)
}

// name raises the registers to the head of an adopted object, and makes the
// other members' plain keys follow.
func (a *adopting) name(ctx context.Context, s survey, h *head) error {
	b := a.b
	now, err := b.spread(ctx, s, h)
	if err != nil {
		return err
	}
	b.reclaim(h.Key, h)
	if now.newer(h) {
		return nil // a client wrote meanwhile: repair takes the staged copies back
	}
	for _, m := range b.data {
		b.dirty.addUnless(h.Have, h.Key, m.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, b.allow(h.Size))
	defer cancel()
	if err := b.publish(ctx, h); err != nil {
		b.log.Debug("plain keys do not follow yet", "bucket", b.o.Name, "key", h.Key, "err", err)
	}
	return nil
}

// newAdopted gives the head of an object that was there before Spare: the same
// for all who see the same object. Its operation begins with zeros and with how
// often the key was adopted, so that an object that was overwritten past Spare
// after it had been adopted comes behind the one before, and before every write
// through Spare.
func newAdopted(key, source string, o blob.Object, before *head) *head {
	generation := uint64(0)
	if before != nil {
		generation, _ = strconv.ParseUint(before.Op[:8], 16, 32)
		generation = min(generation+1, 0xffff)
	}
	what, _ := json.Marshal([]any{key, o.ETag, o.Version, o.Size, o.Modified.UTC(), o.Header, o.Meta}) // plain values: it cannot fail
	sum := sha256.Sum256(what)
	return &head{
		stamp: stamp{0, fmt.Sprintf("%08x", generation) + hex.EncodeToString(sum[:12])},
		Key:   key, Size: o.Size, ETag: o.ETag, Modified: o.Modified.UTC(), Header: o.Header, Meta: o.Meta, Sums: o.Sums,
		Plain: map[string]string{source: o.ETag},
	}
}

// isAdoption says whether an operation may be one of an adoption.
func isAdoption(op string) bool { return strings.HasPrefix(op, "0000") }

// unchanged makes sure that the source still has the object.
func (a *adopting) unchanged(ctx context.Context, h *head) error {
	o, err := a.b.headAt(ctx, a.from, h.Key, "", true)
	if errs.Is(err, errs.NotFound) || err == nil && o.ETag != h.ETag {
		return errChanged
	}
	return err
}

// copyOut stages the object at the other members that take bodies, gives those
// that did, and puts its SHA-256 into h.
func (a *adopting) copyOut(ctx context.Context, h *head) (have []string, err error) {
	b := a.b
	var to []*member
	for _, m := range b.data {
		if m != a.from && m.body.ready() && m.head.up() {
			to = append(to, m)
		}
	}
	need := b.bodies() - 1
	if len(to) < need {
		return nil, b.tooFew(len(to)+1, nil)
	}
	fails := make([]error, len(to))
	sum := sums{md5: md5.New(), sha: sha256.New()}
	if err := a.stream(ctx, h, to, need, fails, &sum); err != nil {
		return nil, err
	}
	var failed []error
	for i, m := range to {
		if fails[i] == nil {
			have = append(have, m.ID)
		} else {
			failed = append(failed, fails[i])
		}
	}
	if len(have) < need {
		return nil, b.tooFew(len(have)+1, failed)
	}
	h.SHA256 = hex.EncodeToString(sum.sha.Sum(nil))
	return have, a.confirm(ctx, h, hex.EncodeToString(sum.md5.Sum(nil)))
}

// sums hashes what passes.
type sums struct {
	md5, sha hash.Hash
	n        int64
}

func (s *sums) Write(p []byte) (int, error) {
	s.md5.Write(p)
	s.sha.Write(p)
	s.n += int64(len(p))
	return len(p), nil
}

// stream reads the object once and stages it at all of to. What each ended with
// comes in fails.
func (a *adopting) stream(ctx context.Context, h *head, to []*member, need int, fails []error, sum *sums) error {
	return a.source(ctx, h, func(body io.Reader) error {
		body = io.TeeReader(body, sum)
		if len(to) == 0 {
			_, err := io.Copy(io.Discard, body)
			return err
		}
		f := newFan(len(to), need, a.b.o.Timing.Stall)
		var wg sync.WaitGroup
		for i, m := range to {
			wg.Go(func() {
				fails[i] = a.b.stageCopy(ctx, m, h, f.readers[i])
				f.readers[i].leave()
			})
		}
		err := f.pump(body)
		wg.Wait()
		if errors.Is(err, errFewTake) {
			return errs.Wrap(errs.Unavailable, errors.Join(fails...), "%v", err)
		}
		return err
	}, sum)
}

// source reads the source's object, which must be the one that h is of.
func (a *adopting) source(ctx context.Context, h *head, read func(io.Reader) error, sum *sums) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	began := time.Now()
	r, err := a.from.Body.Get(ctx, h.Key, blob.GetOptions{Match: h.ETag})
	a.from.body.note(ctx, err, time.Since(began))
	switch {
	case errs.Is(err, errs.Conflict), errs.Is(err, errs.NotFound):
		return errChanged
	case err != nil:
		return err
	}
	defer func() { _ = r.Close() }() // nothing of it is used any more
	in := a.b.pace(r, cancel)
	defer in.stop()
	if err := read(in); err != nil {
		return errs.Wrap(errs.Unavailable, err, "copy %q of %s", h.Key, a.from.ID)
	}
	if sum.n != h.Size {
		return errs.Wrap(errs.Unavailable, blob.ErrShort, "%q of %s: %d of %d bytes came", h.Key, a.from.ID, sum.n, h.Size)
	}
	return nil
}

// confirm makes sure that what was copied is what the source holds. Where the
// ETag is the MD5, that says so. Where it looks like one and is none, as with
// some kinds of encryption, the object is read once more, and for the first
// such object only.
func (a *adopting) confirm(ctx context.Context, h *head, got string) error {
	if len(h.ETag) != 2*md5.Size || strings.Trim(h.ETag, "0123456789abcdef") != "" || h.ETag == got || a.noMD5.Load() {
		return nil
	}
	again := sums{md5: md5.New(), sha: sha256.New()}
	err := a.source(ctx, h, func(body io.Reader) error {
		_, err := io.Copy(&again, body)
		return err
	}, &again)
	if err != nil {
		return err
	}
	if hex.EncodeToString(again.sha.Sum(nil)) != h.SHA256 {
		return errs.Wrap(errs.Unavailable, blob.ErrSuspect, "%q of %s was read twice and came differently", h.Key, a.from.ID)
	}
	a.noMD5.Store(true)
	return nil
}
