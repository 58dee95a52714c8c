package replica

import (
	"fmt"
	mrand "math/rand/v2"
	"time"

	"github.com/sparecloud/spare/internal/blob"
)

// simPlan is what a seed stands for: who there is, what is done, and how much
// goes wrong.
type simPlan struct {
	seed          uint64
	members, data int
	tags          []blob.Class // by member
	gates         int
	verbs         []simVerb
	repeats       float64    // share of the bodies that come again
	keys, keeps   int        // how many keys, and repairs and the like
	starve        bool       // events have ranks, and mostly the first goes
	think         int        // most steps between a client's operations
	ops           [][]*simOp // by client
	degraded      bool
	timing        Timing
	tick          time.Duration // most that passes in a step in which something happens
	driverLimit   time.Duration // after which a driver gives up by itself
	oldest        time.Duration // age at which a provider refuses a request
	adopt         bool          // the first member has objects from before
	wipes         bool          // a member loses all it has; else it is tried what the loss of f would leave
	lossAt        int           // the step of that

	// Probabilities: of a call, then of a step.
	delayed, slow, failing           float64 // slow: of a write of a head, beyond the others
	outages, leaving, pauses, deaths float64
}

// faultless says that all that happens is that things take their time, and less
// of it than anybody's patience: then nothing may fail.
func (p simPlan) faultless() bool {
	return p.failing+p.outages+p.leaving+p.deaths == 0 && p.timing.Grace == 0 && !p.wipes
}

// newSimPlan draws the plan. shape, unless it is nil, narrows it to where
// something is looked for.
func newSimPlan(seed uint64, shape func(*simPlan)) simPlan {
	r := mrand.New(mrand.NewPCG(seed, 0))
	p := simPlan{
		seed: seed, members: 3, data: 2 + r.IntN(2), gates: 2,
		tick: 24 * time.Millisecond, driverLimit: 10 * time.Second, oldest: 15 * time.Minute,
		lossAt: r.IntN(700), delayed: 0.15 + 0.2*r.Float64(),
	}
	if r.IntN(8) == 0 {
		p.members, p.data = 5, 3+r.IntN(3)
	}
	for range p.members {
		p.tags = append(p.tags, [...]blob.Class{blob.ClassContent, blob.ClassUnique}[r.IntN(2)])
	}
	p.degraded = r.IntN(20) == 0
	p.adopt = r.IntN(10) == 0
	p.wipes = r.IntN(6) == 0 && !p.degraded && !p.adopt
	p.think = 60
	p.drawTiming(r)
	if r.IntN(10) > 0 {
		p.failing = [...]float64{0, 0.03, 0.1}[r.IntN(3)]
		p.outages = [...]float64{0, 0.002, 0.006}[r.IntN(3)]
		p.leaving = [...]float64{0, 0.004, 0.01}[r.IntN(3)]
		p.deaths = [...]float64{0, 0.002, 0.004}[r.IntN(3)]
	}
	p.pauses = [...]float64{0, 0.01}[r.IntN(2)]
	if p.faultless() {
		p.timing = Timing{Attempt: 20 * time.Second, Quorum: 80 * time.Second}
		p.driverLimit = 40 * time.Second
	}
	p.repeats = 0.33
	p.keys, p.keeps = 1+r.IntN(2), r.IntN(5)
	p.verbs = []simVerb{simPut, simPut, simPut, simMulti, simDelete, simDelete, simGet, simGet, simGet, simHead, simList, simCopy}
	if p.timing.Grace > 0 {
		p.keeps = 8
	} else if r.IntN(2) == 0 {
		// Writes stay half done for long, and nobody helps them along but readers.
		p.keys, p.keeps, p.think, p.slow, p.starve = 1, 0, 1+r.IntN(60), 0.5+r.Float64()/2, r.IntN(2) == 0
		p.verbs = []simVerb{simPut, simPut, simPut, simDelete, simGet, simHead, simHead, simHead}
	}
	if shape != nil {
		shape(&p)
	}
	p.drawOps(r)
	return p
}

// drawTiming draws how patient the gateways are, and in some runs a grace that
// is over within the run.
func (p *simPlan) drawTiming(r *mrand.Rand) {
	p.timing = [...]Timing{
		{}, {}, {},
		{Attempt: 800 * time.Millisecond, Quorum: 3 * time.Second, Hedge: 100 * time.Millisecond, Stall: 5 * time.Second},
		{Attempt: 360 * time.Millisecond, Quorum: 1200 * time.Millisecond, Hedge: 10 * time.Millisecond, Stall: time.Second},
	}[r.IntN(5)]
	if r.IntN(4) > 0 {
		return
	}
	// What is said of Grace must stay true: it is longer than all the rest.
	const grace = 3600 * time.Millisecond
	p.timing = Timing{Attempt: grace / 5, Quorum: grace / 4, Hedge: grace / 100, Stall: grace / 10, Grace: grace}
	p.oldest, p.driverLimit = grace/4, grace/4
	p.think = 400
}

func (p *simPlan) drawOps(r *mrand.Rand) {
	keys := []string{"k", "kk"}[:p.keys]
	clients := 3 + r.IntN(2)
	p.ops = make([][]*simOp, clients)
	for i := range 6 * (len(keys) + 1) {
		c := i % clients
		o := &simOp{client: c, n: len(p.ops[c]), verb: p.verbs[r.IntN(len(p.verbs))]}
		which := r.IntN(len(keys))
		o.key, o.id = keys[which], fmt.Sprintf("w%d.%d", c, o.n)
		o.part = r.IntN(4) == 0
		o.src = keys[(which+1)%len(keys)]
		o.body = "body of " + o.id
		if o.src == o.key && o.verb == simCopy {
			o.verb = simGet // there is one key
		}
		if r.Float64() < p.repeats {
			o.body = [...]string{"X", "Y"}[r.IntN(2)]
		}
		p.ops[c] = append(p.ops[c], o)
	}
	var keeper []*simOp
	for n := range p.keeps {
		keeper = append(keeper, &simOp{client: clients, n: n, verb: [...]simVerb{simSweep, simSweep, simRepair}[r.IntN(3)]})
		if p.adopt && r.IntN(2) == 0 {
			keeper[n].verb = simAdopt
		}
	}
	p.ops = append(p.ops, keeper)
}

// simAdopted stands for the object that a key had before Spare, as a put.
func simAdopted(key string) *simOp {
	return &simOp{verb: simPut, key: key, id: "old " + key, body: "from before: " + key}
}
