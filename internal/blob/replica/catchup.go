package replica

import (
	"context"
	"sync"
	"time"
)

// catching is what a bucket remembers of its members from one look to the next,
// and of the work that is under way.
type catching struct {
	mu      sync.Mutex
	away    map[*member]bool // did not answer at a look since the last full repair
	full    bool             // a full repair is due
	notYet  time.Time        // no full repair before, because one has just failed
	pause   time.Duration    // how long the last one was put off
	keys    bool             // keys are being worked off
	repairs bool             // a full repair is under way
}

const (
	// catchKeys bounds the keys of a member that one look takes on.
	catchKeys = 10_000
	// fullLimit bounds a full repair, which comes back if it was not enough.
	fullLimit = 7 * 24 * time.Hour
	// A full repair that failed is put off for five times Sweep, and for twice
	// as long each time after, up to an hour.
	fullPause, mostPause = 5, time.Hour
)

// catchUp brings members that answer again up to what they missed: the keys
// that are remembered, and everything by a full repair where not all could be
// remembered, because the member was away for long or lost what it held. It
// starts the work, bounded in time and number, and returns at once; what it did
// not manage comes with the next call. The work ends with ctx.
func (b *Bucket) catchUp(ctx context.Context) {
	here := b.notice()
	c := &b.catch
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(here) > 0 && !c.keys {
		c.keys = true
		b.later(ctx, b.o.Timing.Sweep, func(own context.Context) {
			defer c.ended(&c.keys)
			defer b.withRun(ctx, &own)()
			b.catchKeys(own, here)
		})
	}
	if c.full && !c.repairs && !time.Now().Before(c.notYet) && len(here) >= b.majority() {
		c.repairs = true
		b.later(ctx, fullLimit, func(own context.Context) {
			defer c.ended(&c.repairs)
			defer b.withRun(ctx, &own)()
			b.repairFull(own, here)
		})
	}
}

// withRun makes own end with ctx too.
func (b *Bucket) withRun(ctx context.Context, own *context.Context) func() {
	c, cancel := context.WithCancel(*own)
	stop := context.AfterFunc(ctx, cancel)
	*own = c
	return func() { stop(); cancel() }
}

// begin asks for a look at all keys: what another process knew to be behind, or
// this one before it was started again, is not known here.
func (c *catching) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full = true
}

func (c *catching) ended(what *bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*what = false
}

// notice looks which members answer, and whether one has come back that was
// away.
func (b *Bucket) notice() (here []*member) {
	c := &b.catch
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away == nil {
		c.away = map[*member]bool{}
	}
	for _, m := range b.members {
		_, _, spilt := b.dirty.behind(m.ID)
		if !m.head.up() || m.Body != nil && !m.body.up() {
			c.away[m] = true
			continue
		}
		here = append(here, m)
		c.full = c.full || c.away[m] || spilt || m.amnesic.Load()
	}
	return here
}

// catchKeys repairs the keys that the members are known to be behind on.
func (b *Bucket) catchKeys(ctx context.Context, here []*member) {
	work := newPool(ctx, repairers)
	defer work.wait()
	done := map[string]bool{}
	for _, m := range here {
		for _, key := range b.dirty.some(m.ID, catchKeys) {
			if done[key] {
				continue
			}
			done[key] = true
			more := work.do(func() {
				if v, err := b.repairKey(ctx, key); err != nil && ctx.Err() == nil {
					b.log.Debug("a key is not repaired yet", "bucket", b.o.Name, "key", key, "err", err)
				} else if v.lost {
					b.log.Error("an object is lost: no member has its body", "bucket", b.o.Name, "key", key)
				}
			})
			if !more {
				return
			}
		}
	}
}

// repairFull goes through all keys because members were away. It comes again if
// one of those that answer is not whole then; who is still away brings its own
// when it answers.
func (b *Bucket) repairFull(ctx context.Context, here []*member) {
	c := &b.catch
	c.mu.Lock()
	c.full = false
	clear(c.away)
	c.mu.Unlock()
	b.log.Info("all keys are gone through", "bucket", b.o.Name)
	r := newRepair(b, RepairOptions{Quick: true})
	p, err := r.run(ctx)
	log := b.log.Info
	if err != nil {
		log = b.log.Warn
	}
	log("all keys were gone through", "bucket", b.o.Name, "keys", p.Keys, "repaired", p.Repaired, "bytes", p.Bytes,
		"failed", p.Failed, "lost", p.Lost, "unreachable", p.Unreachable, "err", err)
	again := !p.Done
	for _, m := range here {
		again = again || !r.whole(m)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !again {
		c.pause = 0
		return
	}
	c.full = true
	c.pause = min(max(fullPause*b.o.Timing.Sweep, 2*c.pause), mostPause)
	c.notYet = time.Now().Add(c.pause)
}
