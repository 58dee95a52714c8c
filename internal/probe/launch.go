package probe

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/health"
)

// tick is how finely attempts are timed: those due within one are started
// together.
const tick = time.Millisecond

// launch starts what is due and fits, and gives the time until it should be
// called again.
func (r *Runner) launch(ctx context.Context, attempts *sync.WaitGroup) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for r.flying < r.limit {
		j := r.next(now)
		if j == nil {
			break
		}
		r.start(ctx, j, attempts)
	}
	wait := time.Hour // an attempt's end or a new target wakes us before
	if r.flying < r.limit && len(r.queue) > 0 {
		wait = max(r.queue[0].due.Sub(now), tick)
	}
	r.sleeping = now.Add(wait)
	return wait
}

// next takes the job to start: a parked one if there is room for it, else the
// first that is due. Hung jobs without room are parked on the way.
func (r *Runner) next(now time.Time) *job {
	room := max(r.limit/2, 1)
	for len(r.waiting) > 0 && r.hung < room {
		j := r.waiting[0]
		r.waiting[0] = nil
		r.waiting = r.waiting[1:]
		if !j.entry.gone {
			return j
		}
	}
	for {
		j := r.queue.ripe(now)
		if j == nil || !j.hung || r.hung < room {
			return j
		}
		j.place = parked
		r.waiting = append(r.waiting, j)
	}
}

func (r *Runner) start(ctx context.Context, j *job, attempts *sync.WaitGroup) {
	ctx, cancel := context.WithCancel(ctx)
	j.place, j.cancel = flying, cancel
	r.flying++
	counted := j.hung
	if counted {
		r.hung++
	}
	var kept net.Conn
	if !j.fresh {
		kept, j.entry.conn = j.entry.conn, nil
	}
	attempts.Go(func() {
		defer cancel()
		begin := time.Now()
		res, conn, err := r.try(ctx, j.entry.plan, kept, j.fresh)
		// An attempt that was ended from here says nothing.
		if ctx.Err() == nil && r.usable(j, res, err) {
			r.report(res)
		}
		r.finish(j, conn, counted, time.Since(begin) >= j.entry.plan.timeout*9/10)
	})
}

// usable reports whether the result is about the target.
func (r *Runner) usable(j *job, res health.Result, err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	lacking := err != nil && ours(err)
	if lacking && !r.short {
		r.log.Warn("probe could not be made", "target", res.Target.String(), "error", err)
	}
	if err == nil || lacking {
		r.short = lacking
	}
	return !lacking && !j.entry.gone
}

// finish takes back what an attempt held and schedules the next one.
func (r *Runner) finish(j *job, conn net.Conn, counted, hung bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	full := r.flying == r.limit || len(r.waiting) > 0
	r.flying--
	if counted {
		r.hung--
	}
	j.place, j.cancel, j.hung = idle, nil, hung
	if j.entry.gone {
		if conn != nil {
			_ = conn.Close()
		}
	} else {
		if !j.fresh {
			j.entry.conn = conn
		}
		r.schedule(j)
	}
	if full || j.place >= 0 && j.due.Before(r.sleeping) {
		r.rouse()
	}
}

// schedule sets the next attempt: an interval after the last one was due, or
// now if that took longer.
func (r *Runner) schedule(j *job) {
	if j.every <= 0 {
		return
	}
	now := time.Now()
	due := j.due.Add(j.every*9/10 + r.upTo(j.every/5))
	if due.Before(now) {
		due = now
	}
	r.queue.put(j, due)
}
