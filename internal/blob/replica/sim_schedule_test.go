package replica

import (
	"cmp"
	"slices"
	"testing/synctest"
	"time"
)

// arrive parks a call. The gateway's goroutine runs it.
func (w *simWorld) arrive(c *simCall) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrived = append(w.arrived, c)
	w.stir()
}

func (w *simWorld) stir() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *simWorld) giveUp(c *simCall) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.gaveUp = true
	w.stir()
}

func (w *simWorld) hasGivenUp(c *simCall) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return c.gaveUp || slices.ContainsFunc(c.twins, func(t *simCall) bool { return t.gaveUp })
}

// settle waits until nothing moves any more and takes in what has arrived, in
// an order that no scheduling of goroutines changes.
func (w *simWorld) settle() {
	synctest.Wait()
	w.mu.Lock()
	arrived := w.arrived
	w.arrived = nil
	w.mu.Unlock()
	slices.SortFunc(arrived, func(a, b *simCall) int { return a.id.compare(b.id) })
	for i, c := range arrived {
		if c.to.gate.dead {
			continue // parked for good
		}
		if n := len(w.calls); i > 0 && arrived[i-1].id == c.id {
			w.calls[n-1].twins = append(w.calls[n-1].twins, c)
			continue
		}
		w.calls = append(w.calls, c)
	}
	for _, c := range w.calls[len(w.calls)-w.fresh(arrived):] {
		id := c.id
		c.id.n = w.counts[id]
		w.counts[id]++
		c.fate = w.drawFate(c)
		c.ready = w.step + c.fate.request
		w.logf("park %v (%d, %s)", c.id, 1+len(c.twins), simHows[c.fate.how])
	}
}

// fresh counts the calls that differ among those that have arrived and are not
// parked for good.
func (w *simWorld) fresh(arrived []*simCall) (n int) {
	for i, c := range arrived {
		if !c.to.gate.dead && (i == 0 || arrived[i-1].id != c.id) {
			n++
		}
	}
	return n
}

// run lets the clients do what they have to do and then all that is under way
// come to its end.
func (w *simWorld) run() {
	for w.busy() {
		w.turn()
		if w.step > simMostSteps {
			w.fault("the run does not end: %d calls are parked", len(w.calls))
			break
		}
	}
	w.calm = true
	for _, m := range w.members {
		m.state = simUp
	}
	for w.quiet = 0; w.quiet < simQuiet && w.step <= 2*simMostSteps; {
		w.turn()
	}
}

const (
	simAtRest    = "at rest"
	simMostSteps = 50_000
	simQuiet     = time.Minute // longer than any timer of the protocol that matters
)

func (w *simWorld) busy() bool {
	for _, c := range w.clients {
		if c.now != nil || len(c.todo) > 0 {
			return true
		}
	}
	return false
}

// turn makes one step.
func (w *simWorld) turn() {
	w.settle()
	if w.rng.IntN(3) == 0 {
		time.Sleep(time.Duration(w.rng.Int64N(int64(w.plan.tick))))
		w.settle()
	}
	w.step++
	w.end()
	if !w.calm {
		w.weather()
	}
	e, ok := w.choose()
	if !ok {
		w.idle()
		return
	}
	w.quiet = 0
	switch {
	case e.client != nil:
		w.begin(e.client)
	case e.zombie != nil:
		w.land(e.zombie)
	default:
		w.advance(e.call)
	}
}

// idle lets time pass while nothing can happen: little while something comes
// with the next steps, else until something arrives or is given up.
func (w *simWorld) idle() {
	d := w.plan.tick / 2
	if !w.coming() {
		d = simQuiet
		for _, c := range w.calls {
			d = min(d, w.plan.driverLimit-time.Since(c.issued)+1)
		}
	}
	select {
	case <-w.wake:
	default:
	}
	began, t := time.Now(), time.NewTimer(d)
	select {
	case <-t.C:
	case <-w.wake:
	}
	t.Stop()
	w.settle()
	if w.quiet += time.Since(began); len(w.zombies)+len(w.calls) > 0 {
		w.quiet = 0
	}
}

// coming says whether the next steps alone make something possible.
func (w *simWorld) coming() bool {
	soon := func(c *simCall) bool { return c.ready > w.step && !c.hangs }
	waits := func(c *simCall) bool { return c.to.m.state == simSilent }
	return slices.ContainsFunc(w.calls, soon) || slices.ContainsFunc(w.zombies, soon) ||
		slices.ContainsFunc(w.calls, waits) || slices.ContainsFunc(w.zombies, waits) ||
		slices.ContainsFunc(w.clients, func(c *simClient) bool { return c.now == nil && len(c.todo) > 0 }) ||
		slices.ContainsFunc(w.gates, func(g *simGateway) bool { return g.paused > w.step }) && !w.calm
}

// choose picks what happens next from all that can.
func (w *simWorld) choose() (simEvent, bool) {
	w.ready = w.ready[:0]
	for _, c := range w.calls {
		if w.canGo(c) {
			w.ready = append(w.ready, simEvent{call: c})
		}
	}
	for _, c := range w.zombies {
		if c.ready <= w.step && c.to.m.state == simUp {
			w.ready = append(w.ready, simEvent{zombie: c})
		}
	}
	for _, c := range w.clients {
		if c.now == nil && len(c.todo) > 0 && c.ready <= w.step {
			w.ready = append(w.ready, simEvent{client: c})
		}
	}
	if len(w.ready) == 0 {
		return simEvent{}, false
	}
	if w.plan.starve && w.rng.IntN(20) > 0 {
		return slices.MaxFunc(w.ready, func(a, b simEvent) int { return cmp.Compare(a.rank(), b.rank()) }), true
	}
	return w.ready[w.rng.IntN(len(w.ready))], true
}

// rank gives the rank of an event in a plan that lets some of them starve.
func (e simEvent) rank() float64 {
	switch {
	case e.call != nil:
		return e.call.fate.rank
	case e.zombie != nil:
		return e.zombie.fate.rank
	}
	return 0.5
}

func (w *simWorld) canGo(c *simCall) bool {
	switch {
	case c.to.gate.paused > w.step && !w.calm:
		return false
	case w.hasGivenUp(c), time.Since(c.issued) > w.plan.driverLimit:
		return true
	case c.hangs, c.ready > w.step:
		return false
	}
	return c.to.m.state != simSilent || c.applied
}

// shut ends all gateways. Whatever they still wait for fails.
func (w *simWorld) shut() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	close(w.over)
	for _, o := range slices.Concat(w.history, w.pulses) {
		o.cancel()
	}
	for _, g := range w.gates {
		_ = g.b.Close()
	}
}
