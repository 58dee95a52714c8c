package replica

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// RepairOptions says what to repair.
type RepairOptions struct {
	Prefix string // of the keys; "" = all, and what is beside them
	// Quick leaves out keys that the members' listings alone show to be in order.
	// It costs listings only, where little is wrong, and does not see bytes that
	// were changed behind our back.
	Quick    bool
	Progress func(Progress) // called at most four times a second, and at the end; nil = nobody listens
}

// Progress is how far a repair, or an adoption, has come.
type Progress struct {
	Keys     int    `json:"keys"`              // looked at
	Total    int    `json:"total,omitempty"`   // how many there are; 0 = unknown
	Repaired int    `json:"repaired"`          // where something was put right
	Adopted  int    `json:"adopted,omitempty"` // given a head
	Failed   int    `json:"failed"`            // where some member is still behind
	Lost     int    `json:"lost"`              // live, and no member has the body
	Foreign  int    `json:"foreign"`           // at plain keys only: nobody wrote them through Spare
	Swept    int    `json:"swept"`             // staged bodies and uploads that nobody needs, removed
	Bytes    int64  `json:"bytes"`             // of bodies copied
	Pass     int    `json:"pass,omitempty"`    // of an adoption, from 1
	At       string `json:"at,omitempty"`      // the last key
	// LostKeys names the first of the lost keys; the log has all.
	LostKeys []string `json:"lostKeys,omitempty"`
	// Unreachable names the members that could not be listed: their keys count
	// as not repaired.
	Unreachable []string `json:"unreachable,omitempty"`
	Reason      string   `json:"reason,omitempty"` // of the first failure
	Done        bool     `json:"done,omitempty"`
}

const (
	repairers     = 8 // keys repaired at once
	lostNamed     = 100
	progressEvery = 250 * time.Millisecond
)

// Repair makes all members hold the same heads, and those that hold objects
// every body, at the staged and at the plain key. It goes through every key
// that any member knows; what is right already costs reads only. It never
// deletes anything but what is provably superseded: a live key whose body no
// member has is reported as lost and stays.
//
// It may run at any time, beside writers and other repairs, and again: what it
// finds done it leaves. Memory does not depend on the number of keys.
//
// errs.Unavailable: something is not repaired; Progress says what.
func (b *Bucket) Repair(ctx context.Context, o RepairOptions) (Progress, error) {
	return newRepair(b, o).run(ctx)
}

func (r *repair) run(ctx context.Context) (Progress, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.b.ctx, cancel)()
	r.b.greet(ctx)
	err := r.keys(ctx)
	if err == nil {
		err = r.leftovers(ctx)
	}
	if err == nil && r.o.Prefix == "" {
		r.readmit(ctx)
	}
	return r.end(err)
}

// greet tries every member once, whatever its last calls came to: so that one
// that has just come back is not skipped.
func (b *Bucket) greet(ctx context.Context) {
	b.each(b.members, func(_ int, m *member) {
		began := time.Now()
		m.head.note(ctx, b.beat(ctx, m), time.Since(began))
		if m.Body != nil {
			_, _ = b.headAt(ctx, m, pulseKey, "", true) // there is no such object; that it answers is what counts
		}
	})
}

// repair is one run of Repair.
type repair struct {
	b     *Bucket
	o     RepairOptions
	began time.Time

	mu     sync.Mutex
	p      Progress
	told   time.Time
	behind map[*member]int // keys of which the member lacks something
	deaf   map[*member]bool
	causes int // failures that were logged
}

func newRepair(b *Bucket, o RepairOptions) *repair {
	return &repair{b: b, o: o, began: time.Now(), behind: map[*member]int{}, deaf: map[*member]bool{}}
}

// keys repairs every key that a member knows.
func (r *repair) keys(ctx context.Context) error {
	var lists []*listing
	for _, m := range r.b.members {
		lists = append(lists, headListing(m, r.o.Prefix))
	}
	for _, m := range r.b.data {
		lists = append(lists, r.b.plainListing(m, r.o.Prefix))
	}
	work := newPool(ctx, repairers)
	err := r.b.walk(ctx, lists, func(s seen) bool {
		return work.do(func() { r.key(ctx, s) })
	})
	work.wait()
	for _, l := range lists {
		if l.err != nil {
			r.unheard(l.m, l.err)
		}
	}
	return errors.Join(err, errs.Wrap(errs.Unavailable, ctx.Err(), "repair bucket %s", r.b.o.Name))
}

// key repairs one key and counts how it went.
func (r *repair) key(ctx context.Context, s seen) {
	known := r.b.dirty.knows(s.key) // as behind, of which a listing need not tell: bytes that are wrong
	if !known && (s.buried(len(r.b.members)) || r.o.Quick && s.settled(len(r.b.members), len(r.b.data))) {
		r.count(s.key, verdict{})
		return
	}
	if err := r.b.checkKey(s.key); err != nil {
		// It was never written through Spare, which takes no such key.
		r.count(s.key, verdict{foreign: true})
		return
	}
	v, err := r.b.repairKey(ctx, s.key)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		v.behind = map[*member]error{}
		for _, m := range r.b.members {
			v.behind[m] = err
		}
	}
	v.foreign = v.foreign && s.anyPlain()
	r.count(s.key, v)
}

// count takes in how a key was repaired.
func (r *repair) count(key string, v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.p.Keys++
	r.p.At = max(r.p.At, key)
	r.p.Bytes += v.bytes
	if v.changed {
		r.p.Repaired++
	}
	if v.adopted {
		r.p.Adopted++
	}
	if v.foreign {
		r.p.Foreign++
	}
	if v.lost {
		r.p.Lost++
		if len(r.p.LostKeys) < lostNamed {
			r.p.LostKeys = append(r.p.LostKeys, key)
		}
		r.b.log.Error("an object is lost: no member has its body", "bucket", r.b.o.Name, "key", key)
	}
	if len(v.behind) > 0 {
		r.p.Failed++
		for _, m := range r.b.members {
			if err := v.behind[m]; err != nil {
				r.behind[m]++
				r.failed(m, key, err)
			}
		}
	}
	r.tell()
}

// loggedFailures bounds the log: where a member is away, every key fails.
const loggedFailures = 20

func (r *repair) failed(m *member, what string, err error) {
	if r.p.Reason == "" {
		r.p.Reason = m.ID + ": " + err.Error()
	}
	if r.causes++; r.causes <= loggedFailures {
		r.b.log.Warn("a member is still behind", "bucket", r.b.o.Name, "site", m.ID, "key", what, "err", err)
	}
}

// unheard notes that a member could not be listed.
func (r *repair) unheard(m *member, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deaf[m] {
		return
	}
	r.deaf[m] = true
	r.p.Unreachable = append(r.p.Unreachable, m.ID)
	r.failed(m, "", err)
}

// tell shows the progress now and then. r.mu is held.
func (r *repair) tell() {
	if now := time.Now(); r.o.Progress != nil && now.Sub(r.told) >= progressEvery {
		r.told = now
		r.o.Progress(r.snapshot())
	}
}

func (r *repair) snapshot() Progress {
	p := r.p
	p.LostKeys, p.Unreachable = slices.Clone(p.LostKeys), slices.Clone(p.Unreachable)
	return p
}

// whole says whether the member lacks nothing, as far as this repair went.
func (r *repair) whole(m *member) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.behind[m] == 0 && !r.deaf[m]
}

// end gives the last word on a run that ended with err.
func (r *repair) end(err error) (Progress, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.snapshot()
	p.Done = err == nil
	if r.o.Progress != nil {
		r.o.Progress(p)
	}
	name := r.b.o.Name
	switch {
	case err != nil:
		return p, err
	case p.Lost > 0:
		return p, errs.WithHint(errs.E(errs.Unavailable, "bucket %s: no member has the bodies of %d objects, among them %q", name, p.Lost, p.LostKeys[0]),
			"write the objects again, or delete them")
	case len(p.Unreachable) > 0:
		return p, errs.WithHint(errs.E(errs.Unavailable, "bucket %s: %v could not be listed: %s", name, p.Unreachable, p.Reason), "repair again when they answer")
	case p.Failed > 0:
		return p, errs.WithHint(errs.E(errs.Unavailable, "bucket %s: %d keys are not repaired: %s", name, p.Failed, p.Reason), "repair again")
	}
	return p, nil
}

// readmit tells the members that a full repair has filled: what was remembered
// of their lack is done, and one that had lost its records gets them back and
// counts again. Who missed a change of the records gets it too.
func (r *repair) readmit(ctx context.Context) {
	all := r.b.configs(ctx)
	newest, _ := r.b.newest(all)
	for _, rec := range all {
		m := rec.m
		if r.whole(m) {
			r.b.dirty.repaired(m.ID, r.began)
		}
		lacks := rec.config == nil || newest != nil && rec.config.Epoch < newest.Epoch
		switch {
		case rec.err != nil || newest == nil:
			continue
		case lacks && rec.config == nil && !r.whole(m):
			continue // it may still say "there is none" of what there is
		case lacks:
			if err := r.b.writeConfig(ctx, m, *newest, rec.tag); err != nil {
				r.unheard(m, err)
				continue
			}
		}
		if r.whole(m) && m.amnesic.Swap(false) {
			r.b.log.Info("a member that had lost what it held is filled again and counts", "bucket", r.b.o.Name, "site", m.ID)
		}
	}
}

// pool runs functions, a bounded number at once.
type pool struct {
	ctx   context.Context
	slots chan struct{}
	wg    sync.WaitGroup
}

func newPool(ctx context.Context, n int) *pool {
	return &pool{ctx: ctx, slots: make(chan struct{}, n)}
}

// do runs f as soon as there is room. It is false when the context has ended.
func (p *pool) do(f func()) bool {
	if p.ctx.Err() != nil {
		return false // a select would choose between room and the end by chance
	}
	select {
	case p.slots <- struct{}{}:
	case <-p.ctx.Done():
		return false
	}
	p.wg.Go(func() {
		defer func() { <-p.slots }()
		f()
	})
	return p.ctx.Err() == nil
}

func (p *pool) wait() { p.wg.Wait() }

// lift takes a key off what members are known to be behind on, and gives since
// when each was. What is noted from now on comes after.
func (d *dirty) lift(key string) map[string]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	since := map[string]time.Time{}
	for id, keys := range d.byID {
		if at, known := keys[key]; known {
			since[id] = at
			delete(keys, key)
		}
	}
	return since
}

// knows says whether a member is known to be behind on the key.
func (d *dirty) knows(key string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, keys := range d.byID {
		if _, known := keys[key]; known {
			return true
		}
	}
	return false
}

// drop notes again what was lifted and is not done: for the members that left
// names, since the time that was known.
func (d *dirty) drop(key string, left map[*member]error, since map[string]time.Time) {
	for m := range maps.Keys(left) {
		d.add(key, m.ID)
		d.mu.Lock()
		if at, known := since[m.ID]; known {
			if now, there := d.byID[m.ID][key]; there && at.Before(now) {
				d.byID[m.ID][key] = at
			}
		}
		d.mu.Unlock()
	}
}
