package health

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

var (
	simStart  = time.Date(2025, 10, 20, 0, 0, 0, 0, time.UTC)
	simTarget = estate.Target{Service: "shop", Site: "virginia"}
)

// world says how an attempt at offset t of the simulation ends.
type world func(t time.Duration, rng *rand.Rand) Cause

// span is a part of the simulated time during which the origin is really down.
type span struct{ from, to time.Duration }

// sim drives one detector through simulated time, as the control plane does:
// keep-alive checks with jitter, a fresh one now and then or when the detector
// wants it, and a tick a second.
type sim struct {
	every, timeout, fresh time.Duration
	length                time.Duration
	world                 world
	ejectAfter            time.Duration // the data path's delay from an outage's begin; 0 = no data path
	outages               []span        // ascending
	policy                Policy        // set by run
	seed                  uint64
}

// outcome is what came of a simulation.
type outcome struct {
	changes  []Verdict       // every change of state
	detect   []time.Duration // from an outage's begin to Down
	recover  []time.Duration // from its end to Up, or Degraded for stray losses
	missed   int             // outages that were never called Down
	falseDn  int             // Down while the origin was well
	falseDeg int             // Degraded while the origin was well
	wrongly  time.Duration   // time in Down while the origin was well, after detection
	upInDown time.Duration   // longest time in Up within an outage
	plainDn  int             // downs of a plain 3/2 counter over the same checks
}

// grace is how long after an outage a Down still belongs to it.
const grace = 10 * time.Second

// prober is one mode of checking: at most one attempt under way.
type prober struct {
	at    time.Duration // of the next event: the attempt's begin or end
	begin time.Duration
	busy  bool
	cause Cause
}

func (p *prober) start(s *sim, rng *rand.Rand) {
	p.busy, p.begin, p.cause = true, p.at, s.world(p.at, rng)
	if p.cause == CauseTimeout {
		p.at += s.timeout
	} else {
		p.at += 5*time.Millisecond + time.Duration(rng.Int64N(int64(5*time.Millisecond)))
	}
}

func (p *prober) end(fresh bool) Result {
	p.busy = false
	return Result{Target: simTarget, At: simStart.Add(p.at), OK: p.cause == CauseNone, Cause: p.cause, Fresh: fresh, Latency: p.at - p.begin}
}

func (s sim) run() outcome {
	rng := rand.New(rand.NewPCG(s.seed, 1))
	s.policy = PolicyOf(estate.Check{Every: s.every, Timeout: s.timeout})
	d := NewDetector(simTarget, s.policy, simStart)
	keep := prober{at: time.Duration(rng.Int64N(int64(s.every)))}
	fresh := prober{at: time.Duration(rng.Int64N(int64(s.fresh)))}
	tick, plain, live := time.Second, plainCounter{}, dataPath{after: s.ejectAfter, outages: s.outages}
	var out outcome
	see := func(v Verdict, changed bool) {
		if n := len(out.changes); changed && (n == 0 || out.changes[n-1].State != v.State) {
			out.changes = append(out.changes, v)
		}
	}
	for {
		at := min(keep.at, fresh.at, tick)
		if at >= s.length {
			break
		}
		if e, ok := live.event(at); ok {
			see(d.Live(e))
		}
		switch at {
		case tick:
			tick += time.Second
			see(d.Tick(simStart.Add(at)))
		case keep.at:
			if !keep.busy {
				keep.start(&s, rng)
				continue
			}
			r := keep.end(false)
			see(d.Check(r))
			out.plainDn += plain.add(r.OK)
			keep.at = max(at, keep.begin+jitter(s.every, rng))
		case fresh.at:
			if !fresh.busy {
				fresh.start(&s, rng)
				continue
			}
			see(d.Check(fresh.end(true)))
			fresh.at = at + jitter(s.fresh, rng)
		}
		if d.WantsFresh() && !fresh.busy {
			fresh.at = min(fresh.at, at+time.Millisecond)
		}
	}
	out.judge(s)
	return out
}

// dataPath ejects the target a while into each outage, and takes it back a
// second after.
type dataPath struct {
	after   time.Duration // 0 = there is no data path
	outages []span
	ejected bool
	seq     uint64
}

func (p *dataPath) event(now time.Duration) (Event, bool) {
	if p.after == 0 || len(p.outages) == 0 {
		return Event{}, false
	}
	due, kind := p.outages[0].from+p.after, Ejected
	if p.ejected {
		due, kind = p.outages[0].to+time.Second, Readmitted
	}
	if now < due {
		return Event{}, false
	}
	if p.ejected {
		p.outages = p.outages[1:]
	}
	p.ejected = !p.ejected
	p.seq++
	return Event{Source: "data", Seq: p.seq, At: simStart.Add(now), Kind: kind, Target: simTarget, Cause: CauseReset}, true
}

func jitter(d time.Duration, rng *rand.Rand) time.Duration {
	return d*9/10 + time.Duration(rng.Int64N(int64(d)/5))
}

// plainCounter is the ordinary rise 2, fall 3 counter, for comparison.
type plainCounter struct {
	n    int
	down bool
}

func (p *plainCounter) add(ok bool) (fell int) {
	if ok != p.down {
		p.n = 0
		return 0
	}
	p.n++
	switch {
	case !p.down && p.n >= 3:
		p.down, p.n = true, 0
		return 1
	case p.down && p.n >= 2:
		p.down, p.n = false, 0
	}
	return 0
}

// judge compares the changes with the outages that really were.
func (o *outcome) judge(s sim) {
	within := func(t time.Duration, slack time.Duration) bool {
		i, _ := slices.BinarySearchFunc(s.outages, t, func(sp span, t time.Duration) int {
			return int(min(max(sp.to+slack-t, -1), 1))
		})
		return i < len(s.outages) && s.outages[i].from <= t
	}
	for i, v := range o.changes {
		at := v.Since.Sub(simStart)
		end := s.length
		if i+1 < len(o.changes) {
			end = o.changes[i+1].Since.Sub(simStart)
		}
		if within(at, grace) {
			continue
		}
		switch v.State {
		case Down:
			o.falseDn++
			o.wrongly += end - at
		case Degraded:
			o.falseDeg++
		}
	}
	for _, sp := range s.outages {
		o.judgeOutage(s, sp)
	}
}

func (o *outcome) judgeOutage(s sim, sp span) {
	down := -time.Second
	back := down
	for i, v := range o.changes {
		at, end := v.Since.Sub(simStart), s.length
		if i+1 < len(o.changes) {
			end = o.changes[i+1].Since.Sub(simStart)
		}
		if v.State == Down && end > sp.from && at < sp.to && down < 0 {
			down = max(at, sp.from)
		}
		if v.State != Down && down >= 0 && back < 0 && at >= sp.to {
			back = at
		}
		if v.State == Up && at < sp.to && end > sp.from {
			o.upInDown = max(o.upInDown, min(end, sp.to)-max(at, sp.from))
		}
	}
	if down < 0 {
		o.missed++
		return
	}
	o.detect = append(o.detect, down-sp.from)
	if back >= 0 {
		o.recover = append(o.recover, back-sp.to)
	}
}

// downs counts the changes to Down, and gives the most in any hour.
func (o *outcome) downs() (total, worstHour int) {
	var at []time.Time
	for _, v := range o.changes {
		if v.State != Down {
			continue
		}
		total++
		at = append(at, v.Since)
		for at[0].Before(v.Since.Add(-time.Hour)) {
			at = at[1:]
		}
		worstHour = max(worstHour, len(at))
	}
	return total, worstHour
}

func percentile(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[min(int(p*float64(len(d))), len(d)-1)]
}

// The worlds.

// lossy loses a share of attempts and fails all within outages.
func lossy(share float64, cause Cause, outages []span) world {
	next := 0
	return func(t time.Duration, rng *rand.Rand) Cause {
		for next < len(outages) && t >= outages[next].to {
			next++
		}
		if next < len(outages) && t >= outages[next].from {
			return cause
		}
		if rng.Float64() < share {
			return CauseTimeout
		}
		return CauseNone
	}
}

// bursts loses 60 % of attempts for about a second, about every 50 s.
func bursts() world {
	var until, next time.Duration
	return func(t time.Duration, rng *rand.Rand) Cause {
		if t >= next {
			until = t + time.Duration(rng.ExpFloat64()*float64(time.Second))
			next = until + time.Duration(rng.ExpFloat64()*float64(50*time.Second))
		}
		if t < until && rng.Float64() < 0.6 {
			return CauseTimeout
		}
		return CauseNone
	}
}

// everyHour gives an outage of the length in each hour but the first, at
// moments that do not line up with the checks.
func everyHour(length, outage time.Duration, rng *rand.Rand) []span {
	var s []span
	for h := time.Hour; h+time.Hour <= length; h += time.Hour {
		from := h + time.Duration(rng.Int64N(int64(20*time.Minute)))
		s = append(s, span{from, from + outage})
	}
	return s
}

// flapping is up and down in turn.
func flapping(length, up, down time.Duration) []span {
	var s []span
	for t := time.Hour; t+down < length; t += up + down {
		s = append(s, span{t, t + down})
	}
	return s
}
