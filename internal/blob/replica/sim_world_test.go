package replica

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

// simWorld runs gateways over the same members, in one synctest bubble. All
// that happens is one event a step, and the seed chooses which: a call reaches
// its member, an answer comes back, a client begins, somebody fails.
type simWorld struct {
	plan    simPlan
	rng     *mrand.Rand
	members []*simMember
	gates   []*simGateway
	clients []*simClient
	history []*simOp
	pulses  []*simOp
	mutant  *simMutant // negative control; nil = the protocol as it is

	step    int
	began   time.Time
	calls   []*simCall // parked, in the order of their arrival
	zombies []*simCall // nobody waits for them any more; they may be applied yet
	ready   []simEvent // reused
	calm    bool       // faults are over: all are up and what is late arrives
	quiet   time.Duration
	lost    bool // the loss of the plan has happened
	probe   *simProbe
	over    chan struct{}
	wake    chan struct{} // something has arrived, or somebody gave up
	broken  []string      // invariants that did not hold
	counts  map[simID]int // calls that were alike
	events  []string      // the log, if logging
	logging bool

	mu      sync.Mutex // over what goroutines of the gateways touch
	arrived []*simCall
	closed  bool
}

// simMember is a provider. It stays what it is whatever becomes of gateways.
type simMember struct {
	n           int
	name        string
	heads, body *memblob.Driver // body is nil at a witness
	state       simState
	until       int // step
}

type simState int

const (
	simUp simState = iota
	simRefuses
	simSilent // requests wait, and land when it is back
)

// simGateway is a process: a bucket of its own over the members.
type simGateway struct {
	n      int
	b      *Bucket
	dead   bool
	paused int // until step
}

// simEvent is what may happen next.
type simEvent struct {
	call   *simCall
	zombie *simCall
	client *simClient
}

func newSimWorld(p simPlan, mutant *simMutant) *simWorld {
	w := emptySimWorld(p, mutant)
	for i := range p.members {
		m := &simMember{n: i, name: fmt.Sprintf("m%d", i), heads: memblob.Open(memblob.Options{Tags: p.tags[i]})}
		if i < p.data {
			m.body = memblob.Open(memblob.Options{Tags: p.tags[i]})
		}
		w.members = append(w.members, m)
	}
	for range p.gates {
		w.startGateway()
	}
	w.found()
	for n, ops := range p.ops {
		w.clients = append(w.clients, &simClient{n: n, todo: ops, ready: w.rng.IntN(40)})
	}
	return w
}

// found writes what the first Open writes: the members' record of the bucket.
// A bucket that is adopted has objects at its source, too.
func (w *simWorld) found() {
	c := w.gates[0].b.config
	data, err := json.Marshal(c)
	for _, m := range w.members {
		w.fill(m.heads, configKey, string(data), nil)
	}
	for _, key := range w.keys() {
		if w.plan.adopt {
			o := simAdopted(key)
			w.fill(w.members[0].body, key, o.body, map[string]string{"n": o.id})
		}
	}
	if err != nil {
		w.fault("found: %v", err)
	}
}

func (w *simWorld) fill(d *memblob.Driver, key, body string, meta map[string]string) {
	_, err := d.Put(context.Background(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{Meta: meta})
	if err != nil {
		w.fault("fill %s: %v", key, err)
	}
}

func emptySimWorld(p simPlan, mutant *simMutant) *simWorld {
	return &simWorld{
		plan: p, rng: mrand.New(mrand.NewPCG(p.seed, 1)), mutant: mutant, began: time.Now(),
		over: make(chan struct{}), wake: make(chan struct{}, 1), counts: map[simID]int{},
	}
}

func (w *simWorld) startGateway() *simGateway {
	g := &simGateway{n: len(w.gates)}
	var members []Member
	for _, m := range w.members {
		v := Member{ID: m.name, Where: m.name, HeadsWhere: m.name, Heads: blob.New(m.name, &simDriver{w: w, gate: g, m: m, heads: true, store: m.heads})}
		if m.body != nil {
			v.Body = blob.New(m.name, &simDriver{w: w, gate: g, m: m, store: m.body})
		}
		members = append(members, v)
	}
	first := g.n % len(members) // each has its own preference
	members = slices.Concat(members[first:], members[:first])
	p := w.plan
	if w.calm {
		p.timing = Timing{Grace: p.timing.Grace} // nothing fails now but for impatience
	}
	g.b = simBucket(members, p)
	if records := w.records(g.b); len(records) > 0 {
		newest, _ := g.b.newest(records)
		g.b.take(*newest, records)
	}
	w.gates = append(w.gates, g)
	return g
}

// records gives what the members know of the bucket at this moment, or nothing
// while it is new.
func (w *simWorld) records(b *Bucket) (all []record) {
	known := false
	for _, m := range b.members {
		i := slices.IndexFunc(w.members, func(s *simMember) bool { return s.name == m.ID })
		v := record{m: m}
		r, err := w.members[i].heads.Get(context.Background(), configKey, blob.GetOptions{})
		if err == nil {
			known, v.config = true, new(Config)
			err = json.NewDecoder(r).Decode(v.config)
		}
		if err != nil && !errs.Is(err, errs.NotFound) {
			w.fault("%s: %v", configKey, err)
		}
		all = append(all, v)
	}
	if !known {
		return nil
	}
	return all
}

// simBucket is what Open gives for a bucket that was founded.
func simBucket(members []Member, p simPlan) *Bucket {
	o := Options{Name: "sim", Members: members, Degraded: p.degraded, Timing: p.timing, Log: slog.New(slog.DiscardHandler)}
	if p.adopt {
		o.Adopt = "m0"
	}
	b, err := assemble(o)
	if err != nil {
		panic(err)
	}
	c := b.o.declared()
	c.Ready, c.Secret = true, "00"
	b.take(c, nil)
	return b
}

// readAll lets a new gateway read every key, in every way, and gives the reads.
// All gateways before it are dead then. At rest it repairs all behind that.
func (w *simWorld) readAll(why string) []*simOp {
	w.calm = true
	for _, g := range w.gates {
		g.dead = true
	}
	w.startGateway()
	c := &simClient{n: len(w.plan.ops) + 1}
	for _, key := range w.keys() {
		c.todo = append(c.todo, &simOp{verb: simGet, key: key}, &simOp{verb: simHead, key: key})
	}
	c.todo = append(c.todo, &simOp{verb: simList})
	if why == simAtRest {
		if w.plan.adopt {
			c.todo = append(c.todo, &simOp{verb: simAdopt})
		}
		c.todo = append(c.todo, &simOp{verb: simRepair})
	}
	for n, o := range c.todo {
		o.client, o.n = c.n, n
	}
	reads := c.todo
	for w.clients = []*simClient{c}; w.busy(); {
		w.turn()
	}
	for _, o := range reads {
		if o.err != nil {
			w.fault("%s: %v: %v", why, o, o.err)
		}
	}
	return reads
}

func (w *simWorld) fault(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// keys lists the keys that are written.
func (w *simWorld) keys() []string {
	var keys []string
	for _, ops := range w.plan.ops {
		for _, o := range ops {
			if o.key != "" && o.verb != simList && !slices.Contains(keys, o.key) {
				keys = append(keys, o.key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

func (w *simWorld) logf(format string, args ...any) {
	if w.logging {
		at := time.Since(w.began).Round(time.Microsecond)
		w.events = append(w.events, fmt.Sprintf("%5d %12s  ", w.step, at)+fmt.Sprintf(format, args...))
	}
}

func (w *simWorld) remove(from *[]*simCall, c *simCall) {
	i := slices.Index(*from, c)
	*from = slices.Delete(*from, i, i+1)
}

// alive lists the gateways that run.
func (w *simWorld) alive() []*simGateway {
	var up []*simGateway
	for _, g := range w.gates {
		if !g.dead {
			up = append(up, g)
		}
	}
	return up
}

var errSim = errs.E(errs.Unavailable, "no answer")

// simContext gives an operation's context: its label, and the generator of its
// operation ids.
func simContext(seed uint64, o *simOp) (context.Context, context.CancelFunc) {
	ctx := context.WithValue(context.Background(), simLabel{}, o)
	ctx = context.WithValue(ctx, randKey{}, mrand.New(mrand.NewPCG(seed, uint64(2+o.client)<<32|uint64(o.n))))
	return context.WithCancel(ctx)
}

func simKind(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errs.IsMaybeApplied(err):
		return "maybe"
	}
	return cmp.Or(errs.KindOf(err).String(), "?")
}
