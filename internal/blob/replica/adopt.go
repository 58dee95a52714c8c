package replica

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// AdoptAll gives heads to the objects that one member, the source that sys/config
// names, holds at its plain keys without any, and copies their bodies to the
// other members. Until it has ended, an absent head means "what the source
// has": so clients read and write the bucket from the first moment on.
//
// A head of an adopted object has the counter 0 and loses against every write
// through Spare. Its body stays at the source's plain key, known by its ETag.
//
// It remembers how far it came in sys/adopt of the members, goes on from there
// when it is called again, and may run several times at once. It goes through
// the source until a pass has found nothing new, for the sake of writers that
// still go past Spare, and then ends the adoption in sys/config. With a Prefix
// it adopts those keys alone and does not end it.
//
// errs.Invalid: there is no source. errs.Unavailable: some keys could not be
// adopted, or no majority answered.
func (b *Bucket) AdoptAll(ctx context.Context, o RepairOptions) (Progress, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	a := &adopting{repair: newRepair(b, o)}
	source, epoch, err := b.toAdopt(ctx)
	if err != nil || source == nil {
		return a.end(err)
	}
	a.from = source
	b.greet(ctx)
	if err = a.begin(ctx, epoch); err == nil {
		err = a.passes(ctx)
	}
	return a.end(err)
}

// maxPasses bounds the passes of one call: a source that is still written to
// would keep it for ever.
const maxPasses = 10

// adopting is one run of AdoptAll.
type adopting struct {
	*repair
	from   *member
	noMD5  atomic.Bool // the source's ETags are no MD5s, though they look so
	record adoption    // where the pass is, for sys/adopt
	saved  time.Time

	mu    sync.Mutex // over queue and record
	queue []*inHand
}

// inHand is a key on its way.
type inHand struct {
	key  string
	done bool
}

// toAdopt gives the source, or nil when its adoption has ended.
func (b *Bucket) toAdopt(ctx context.Context) (source *member, epoch int, err error) {
	all := b.configs(ctx)
	c, definite := b.newest(all)
	switch {
	case definite < b.majority():
		return nil, 0, b.noMajority("asked who they are", failures(all))
	case c == nil:
		return nil, 0, errs.E(errs.Unavailable, "bucket %s: no member has its record %s", b.o.Name, configKey)
	case c.Adopt == "" && c.Adopted != "":
		return nil, 0, nil
	}
	for _, m := range b.data {
		if m.ID == c.Adopt {
			return m, c.Epoch, nil
		}
	}
	return nil, 0, errs.WithHint(errs.E(errs.Invalid, "bucket %s has no member to adopt objects from", b.o.Name), "name it as the bucket's adopt: when the bucket is new")
}

// passes goes through the source until there is nothing new.
func (a *adopting) passes(ctx context.Context) error {
	for range maxPasses {
		if err := a.pass(ctx); err != nil {
			return err
		}
		open, keys := a.record.Open, a.record.Keys
		switch {
		case a.p.Failed > 0:
			if !a.hopeless() {
				a.next(ctx, keys) // else the next call goes on from here
			}
			return errs.WithHint(errs.E(errs.Unavailable, "bucket %s: %d objects could not be adopted: %s", a.b.o.Name, a.p.Failed, a.p.Reason), "adopt again")
		case a.o.Prefix != "":
			return nil
		case open == 0:
			return a.b.finishAdoption(ctx, a.from.ID)
		}
		a.next(ctx, keys)
	}
	return errs.WithHint(errs.E(errs.Unavailable, "bucket %s: objects keep coming to %s past Spare", a.b.o.Name, a.from.ID), "let all writers write through Spare, and adopt again")
}

// pass goes through the source from where the record says.
func (a *adopting) pass(ctx context.Context) error {
	b := a.b
	after := a.record.After
	lists := []*listing{b.plainListing(a.from, a.o.Prefix)}
	lists[0].o.After = after
	for _, m := range b.members {
		l := headListing(m, a.o.Prefix)
		if after != "" {
			l.o.After = headPrefix + after
		}
		lists = append(lists, l)
	}
	work := newPool(ctx, repairers)
	err := b.walk(ctx, lists, func(s seen) bool {
		if !s.anyPlain() {
			return lists[0].err == nil && (!lists[0].ended || len(lists[0].page) > 0)
		}
		if a.hopeless() {
			return false
		}
		h := a.hand(ctx, work, s.key)
		return work.do(func() { a.one(ctx, s); a.landed(h) })
	})
	work.wait()
	if e := lists[0].err; e != nil && err == nil {
		err = errs.Wrap(errs.Unavailable, e, "bucket %s: list the objects of %s", b.o.Name, a.from.ID)
	}
	a.save(ctx)
	return errors.Join(err, errs.Wrap(errs.Unavailable, ctx.Err(), "adopt bucket %s", b.o.Name))
}

// maxFailures ends a pass: where so many objects fail, the others would too.
const maxFailures = 100

func (a *adopting) hopeless() bool {
	a.repair.mu.Lock()
	defer a.repair.mu.Unlock()
	return a.p.Failed >= maxFailures
}

// maxInHand bounds how far the pass runs ahead of a key that takes long.
const maxInHand = 10_000

const saveEvery = 5 * time.Second

// hand notes that a key is begun, and saves now and then how far all are done.
func (a *adopting) hand(ctx context.Context, work *pool, key string) *inHand {
	a.mu.Lock()
	many := len(a.queue) >= maxInHand
	a.mu.Unlock()
	if many {
		work.wait()
	}
	if time.Since(a.saved) >= saveEvery {
		a.saved = time.Now()
		a.save(ctx)
	}
	h := &inHand{key: key}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append(a.queue, h)
	return h
}

// landed notes that a key is done, well or not: one that failed keeps the pass
// from being the last.
func (a *adopting) landed(h *inHand) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h.done = true
	for len(a.queue) > 0 && a.queue[0].done {
		a.record.After = a.queue[0].key
		a.record.Keys++
		a.queue = a.queue[1:]
	}
}

// one adopts one key, unless it is known.
func (a *adopting) one(ctx context.Context, s seen) {
	did := stepKnown
	var bytes int64
	var err error
	if !a.known(s) {
		did, bytes, err = a.adoptKey(ctx, s.key)
	}
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	a.mu.Lock()
	if err != nil || did == stepAdopted {
		a.record.Open++
	}
	if did == stepAdopted {
		a.record.Adopted++
	}
	a.mu.Unlock()
	v := verdict{bytes: bytes, adopted: did == stepAdopted}
	if err != nil {
		v.behind = map[*member]error{a.from: err}
	}
	a.count(s.key, v)
}

// known says whether the listings alone tell that there is nothing to do: a
// majority has a head, and the object was not written since the adoption began.
func (a *adopting) known(s seen) bool {
	n := 0
	for _, h := range s.heads {
		if !h.m.amnesic.Load() {
			n++
		}
	}
	return n >= a.b.majority() && s.plain[0].Modified.Before(a.record.Started.Add(-clockGrain))
}

// clockGrain is how coarse the times of listings may be.
const clockGrain = 2 * time.Second

// end gives the last word.
func (a *adopting) end(err error) (Progress, error) {
	a.repair.mu.Lock()
	defer a.repair.mu.Unlock()
	p := a.snapshot()
	p.Done = err == nil
	if a.o.Progress != nil {
		a.o.Progress(p)
	}
	return p, err
}
