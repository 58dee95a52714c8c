package replica

import (
	"bytes"
	"context"
	"io"
	mrand "math/rand/v2"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

// simFate is what becomes of a call.
type simFate struct {
	request, answer int // steps that each takes on its way, beyond its turn
	how             simHow
	hangs           bool // a failure is not told: the caller waits until it gives up
	lives           bool // when the caller gives up, the request lands all the same
	late            int  // steps until it does
	rank            float64
}

type simHow int

const (
	simFine    simHow = iota
	simLost           // the request is lost
	simUnheard        // it is applied, and the answer is lost
	simLate           // the caller is told that it failed, and then it is applied
	simCut            // the body of the answer breaks off
)

var simHows = [...]string{"fine", "lost", "unheard", "late", "cut"}

// drawFate draws always the same number of times.
func (w *simWorld) drawFate(c *simCall) simFate {
	r, f := w.rng, simFate{}
	delayed := func() int {
		a, b := r.Float64(), r.IntN(simLongest)
		if a < w.plan.delayed {
			return b
		}
		return 0
	}
	f.request, f.answer, f.late = delayed(), delayed(), r.IntN(simLongest)
	if a, b := r.Float64(), r.IntN(2*simLongest); c.putsHead() && a < w.plan.slow {
		f.request = b
	}
	f.rank = r.Float64()
	a, which := r.Float64(), r.IntN(4)
	f.hangs, f.lives = r.IntN(2) == 0, r.IntN(3) > 0
	if c.putsHead() {
		a /= 2 // what a write leaves at some members only is what readers must settle
	}
	switch {
	case w.calm:
		return simFate{}
	case a >= w.plan.failing:
	case which == 0:
		f.how = simLost
	case which == 1:
		f.how = simUnheard
	case which == 2 && c.writes:
		f.how = simLate
	case which == 3 && c.id.method == "get":
		f.how = simCut
	}
	return f
}

// simLongest is the most steps that something is delayed by.
const simLongest = 120

// advance does the next thing that happens to a call.
func (w *simWorld) advance(c *simCall) {
	switch {
	case w.hasGivenUp(c), time.Since(c.issued) > w.plan.driverLimit:
		if !c.applied && c.fate.lives {
			w.haunt(c)
		}
		w.failed(c, w.failure(c), "gives up")
	case c.applied:
		w.tell(c, "answer")
	case c.to.m.state == simRefuses:
		w.failed(c, errs.E(errs.Unavailable, "refused"), "refused")
	case c.fate.how == simLost:
		w.fail(c, "lost")
	case c.fate.how == simLate:
		w.haunt(c)
		w.failed(c, w.failure(c), "late")
	default:
		w.reach(c)
	}
}

// reach applies the call to its member.
func (w *simWorld) reach(c *simCall) {
	c.answer = w.apply(c)
	for _, t := range c.twins {
		t.answer = w.apply(t)
	}
	c.applied = true
	switch {
	case c.fate.how == simUnheard:
		w.fail(c, "applied, unheard")
	case c.fate.answer > 0:
		c.ready = w.step + c.fate.answer
		w.logf("apply %v: %s", c.id, simKind(c.answer.err))
	default:
		if c.fate.how == simCut && c.answer.reader != nil {
			c.answer.reader.Body = simBroken(c.answer.reader)
		}
		w.tell(c, "applied")
	}
}

// fail tells the caller that there was no answer, or lets it find out itself.
func (w *simWorld) fail(c *simCall, why string) {
	if c.fate.hangs {
		c.hangs = true
		w.logf("hang %v: %s", c.id, why)
		return
	}
	w.failed(c, w.failure(c), why)
}

func (w *simWorld) failure(c *simCall) error {
	if c.writes {
		return errs.MaybeApplied(errSim)
	}
	return errSim
}

// failed tells the caller, and its twins', err.
func (w *simWorld) failed(c *simCall, err error, why string) {
	c.answer = simAnswer{err: err}
	for _, t := range c.twins {
		t.answer = c.answer
	}
	w.tell(c, why)
}

// tell answers the caller.
func (w *simWorld) tell(c *simCall, why string) {
	w.remove(&w.calls, c)
	for _, t := range append([]*simCall{c}, c.twins...) {
		if w.mutant != nil && w.mutant.tell != nil {
			w.mutant.tell(t, &t.answer)
		}
		t.done <- t.answer
	}
	w.logf("tell %v: %s (%s)", c.id, simKind(c.answer.err), why)
}

// haunt keeps a request that nobody waits for. c itself stays with its caller.
func (w *simWorld) haunt(c *simCall) {
	if !c.writes {
		return
	}
	z := *c
	z.ready = w.step + c.fate.late
	w.zombies = append(w.zombies, &z)
}

// land applies a request whose caller has gone.
func (w *simWorld) land(z *simCall) {
	w.remove(&w.zombies, z)
	a := w.apply(z)
	for _, t := range z.twins {
		w.apply(t)
	}
	w.logf("land %v: %s", z.id, simKind(a.err))
}

// apply takes a request in at its member. One that is older than a provider
// takes is refused.
func (w *simWorld) apply(c *simCall) simAnswer {
	if c.writes && time.Since(c.issued) > w.plan.oldest {
		return simAnswer{err: errs.E(errs.Denied, "the request is too old")}
	}
	if w.mutant != nil && w.mutant.apply != nil {
		return w.mutant.apply(w, c)
	}
	return c.do(c)
}

func simBroken(r *blob.Reader) io.ReadCloser {
	data, _ := io.ReadAll(r.Body)
	return io.NopCloser(io.MultiReader(bytes.NewReader(data[:len(data)/2]), simError{}))
}

type simError struct{}

func (simError) Read([]byte) (int, error) { return 0, errSim }

// weather lets members fail and come back, clients leave, and gateways stand
// still or die.
func (w *simWorld) weather() {
	for _, m := range w.members {
		if m.state != simUp && w.step >= m.until {
			m.state = simUp
			w.logf("up %s", m.name)
		}
	}
	r, p := w.rng, w.plan
	if r.Float64() < p.outages {
		m := w.members[r.IntN(len(w.members))]
		m.state, m.until = simState(1+r.IntN(2)), w.step+10+r.IntN(100)
		w.logf("down %s %d until %d", m.name, m.state, m.until)
	}
	if r.Float64() < p.leaving {
		c := w.clients[r.IntN(len(w.clients))]
		if c.now != nil {
			w.logf("leave %s", c.now.label())
			c.now.cancel()
			w.settle()
		}
	}
	if up := w.alive(); r.Float64() < p.pauses {
		g := up[r.IntN(len(up))]
		g.paused = w.step + r.IntN(simLongest)
		w.logf("pause g%d until %d", g.n, g.paused)
	}
	if r.Float64() < p.deaths && len(w.gates) < p.gates+2 {
		w.kill(r)
	}
	if w.step%simPulses == 0 {
		w.pulse()
	}
	switch {
	case w.step < p.lossAt || w.lost:
	case p.wipes:
		w.wipe(w.members[r.IntN(len(w.members))])
	case !p.degraded && !p.adopt:
		w.probe = w.takeProbe()
	}
	w.lost = w.step >= p.lossAt
}

// simPulses is how many steps there are between the gateways' pulses.
const simPulses = 100

// pulse lets every gateway try the members that it takes for broken, as
// Bucket.Run does, which tries the others too.
func (w *simWorld) pulse() {
	for _, g := range w.alive() {
		o := &simOp{client: 100 + g.n, n: w.step, verb: simPulse, gate: g}
		var ctx context.Context
		ctx, o.cancel = simContext(w.plan.seed, o)
		w.pulses = append(w.pulses, o)
		go w.perform(ctx, o)
	}
	w.settle()
}

// wipe empties a member, and lets all know it that run: within a pulse of a
// loss, before it is known, what the member says may be wrong.
func (w *simWorld) wipe(m *simMember) {
	w.logf("wipe %s", m.name)
	m.heads.Restore(memblob.Open(memblob.Options{}).Snapshot())
	if m.body != nil {
		m.body.Restore(memblob.Open(memblob.Options{}).Snapshot())
	}
	if w.mutant != nil && w.mutant.deaf {
		return
	}
	for _, g := range w.gates {
		for _, known := range g.b.members {
			if known.ID == m.name {
				g.b.loses(known)
			}
		}
	}
}

// kill ends a gateway in the middle of all that it does, and starts a new one.
func (w *simWorld) kill(r *mrand.Rand) {
	up := w.alive()
	g := up[r.IntN(len(up))]
	g.dead = true
	w.logf("kill g%d", g.n)
	for _, c := range append([]*simCall(nil), w.calls...) {
		if c.to.gate != g {
			continue
		}
		w.remove(&w.calls, c)
		if !c.applied && c.fate.lives {
			w.haunt(c)
		}
	}
	for _, c := range w.clients {
		if c.now != nil && c.now.gate == g {
			c.now = nil
		}
	}
	w.startGateway()
}
