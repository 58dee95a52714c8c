package failover

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/state"
)

// job is one attempt at a hard move, or at giving one up, as planned on the
// decision record rec.
type job struct {
	svc    estate.ServiceID
	hook   *estate.Fence
	rec    record
	intent Intent // with Epoch 0 when it was not begun yet
	drop   bool   // give the settled intent up
}

// record is a decision with the revision that the next swap expects.
type record struct {
	Decision
	rev state.Revision
}

// The steps of a hard move, in order.
const (
	stepLease  = "lease"
	stepIntent = "intent"
	stepFence  = "fence"
	stepCommit = "commit"
)

// attempted is how a job ended. rec is the newest record that it saw.
type attempted struct {
	rec  *state.KV
	step string // that failed
	err  error
}

// attempt does one job from lease to commit. It runs beside the loop, and
// whatever it leaves behind in the store is safe: see DESIGN.md.
func (c *Controller) attempt(ctx context.Context, j job) attempted {
	token, err := c.lease.acquire(ctx)
	if err != nil {
		return attempted{step: stepLease, err: err}
	}
	defer c.lease.done(ctx)
	if j.drop {
		return c.drop(ctx, j)
	}
	j.rec, err = c.begin(ctx, j, token)
	if err != nil {
		return c.failed(ctx, j, stepIntent, err)
	}
	in := j.rec.Pending
	err = c.runFence(ctx, j, token)
	switch {
	case err == nil:
	case errs.Is(err, errs.Stale), errs.IsMaybeApplied(err), ctx.Err() != nil:
		return c.failed(ctx, j, stepFence, err)
	default:
		return c.settle(ctx, j, err)
	}
	if err := c.lease.check(ctx, token); err != nil {
		return c.failed(ctx, j, stepCommit, err)
	}
	done := Decision{Service: j.svc, Active: in.To, Epoch: in.Epoch, At: utc(time.Now()), Reason: in.Reason, Actor: in.Actor}
	kv, err := c.swap(ctx, done, j.rec.rev)
	if err != nil {
		return c.failed(ctx, j, stepCommit, err)
	}
	return attempted{rec: &kv}
}

// begin writes down that the fence is about to run. Rewriting a found intent
// makes it ours: whoever began it can no longer commit.
func (c *Controller) begin(ctx context.Context, j job, token state.Revision) (record, error) {
	in := j.intent
	if in.Epoch == 0 {
		epoch, err := c.epochs.single(ctx)
		if err != nil {
			return j.rec, err
		}
		in.Epoch, in.At = epoch, utc(time.Now())
	}
	in.Holder, in.Token, in.Settled, in.Error = c.opt.Holder, uint64(token), false, ""
	in.Attempts++
	d := j.rec.Decision
	d.Pending = &in
	kv, err := c.swap(ctx, d, j.rec.rev)
	if err != nil {
		return j.rec, err
	}
	return record{Decision: d, rev: kv.Revision}, nil
}

func (c *Controller) runFence(ctx context.Context, j job, token state.Revision) error {
	if j.hook == nil {
		return nil
	}
	in := j.rec.Pending
	c.note(journal.KindFence, journal.Info, j.svc, in.From, in.Actor,
		fmt.Sprintf("fence of %s at %s started (attempt %d), to move its writes to %s: %s", j.svc, in.From, in.Attempts, in.To, in.Reason), in)
	c.rec.flush(ctx, time.Second)
	began := time.Now()
	err := c.lease.during(ctx, token, func(ctx context.Context) error {
		return fence(ctx, c.opt.HTTP, j.hook, fenceOrder{Service: j.svc, From: in.From, To: in.To, Epoch: in.Epoch})
	})
	if err == nil {
		c.note(journal.KindFence, journal.Info, j.svc, in.From, in.Actor,
			fmt.Sprintf("%s is fenced at %s after %s", j.svc, in.From, time.Since(began).Round(time.Millisecond)), in)
	}
	return err
}

// settle records a clear no of the hook.
func (c *Controller) settle(ctx context.Context, j job, cause error) attempted {
	d := j.rec.Decision
	in := *d.Pending
	in.Settled, in.Error = true, cause.Error()
	d.Pending = &in
	kv, err := c.swap(ctx, d, j.rec.rev)
	if err != nil {
		// Unsettled is the cautious reading: the hook runs again.
		return c.failed(ctx, j, stepFence, cause)
	}
	c.fenceFailed(j, cause)
	return attempted{rec: &kv, step: stepFence, err: cause}
}

// drop gives up a settled intent.
func (c *Controller) drop(ctx context.Context, j job) attempted {
	d := j.rec.Decision
	d.Pending = nil
	kv, err := c.swap(ctx, d, j.rec.rev)
	if err != nil {
		return c.failed(ctx, j, stepIntent, err)
	}
	in := j.rec.Pending
	c.note(journal.KindFence, journal.Warn, j.svc, in.From, "spare",
		fmt.Sprintf("the move of %s from %s to %s is given up: it is no longer needed, and %s was not fenced", j.svc, in.From, in.To, in.From), in)
	return attempted{rec: &kv}
}

// failed ends an attempt and looks what the record is now, so that the next
// one starts from what is true.
func (c *Controller) failed(ctx context.Context, j job, step string, err error) attempted {
	if ctx.Err() == nil && step != stepIntent {
		c.fenceFailed(j, err)
	}
	out := attempted{step: step, err: err}
	get, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if kv, err := c.opt.Store.Get(get, decisionKey(j.svc)); err == nil {
		out.rec = &kv
	}
	return out
}

func (c *Controller) fenceFailed(j job, err error) {
	in := j.rec.Pending
	what := "was not fenced"
	if errs.IsMaybeApplied(err) || errs.Is(err, errs.Stale) {
		what = "may be fenced or not, the hook will run again"
	}
	c.log.Error("hard move failed", "service", j.svc, "from", in.From, "to", in.To, "epoch", in.Epoch, "error", err)
	c.note(journal.KindFence, journal.Error, j.svc, in.From, in.Actor,
		fmt.Sprintf("the writes of %s stay at %s, which %s: %v", j.svc, in.From, what, err),
		struct {
			*Intent
			Error string `json:"error"`
		}{in, err.Error()})
}

// swap puts the decision if its record is still at rev.
func (c *Controller) swap(ctx context.Context, d Decision, rev state.Revision) (state.KV, error) {
	return c.put(ctx, decisionKey(d.Service), encode(d), rev)
}

// put is a compare-and-swap. When the store cannot say whether it did, it
// looks.
func (c *Controller) put(ctx context.Context, key string, value []byte, rev state.Revision) (state.KV, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	kv, err := c.opt.Store.Put(ctx, key, value, rev)
	if errs.IsMaybeApplied(err) {
		if now, e := c.opt.Store.Get(ctx, key); e == nil && bytes.Equal(now.Value, value) {
			return now, nil
		}
	}
	return kv, errs.Wrap(errs.KindOf(err), err, "put %s", key)
}

// remove deletes key if it is still at rev, and gives the deletion's revision.
func (c *Controller) remove(ctx context.Context, key string, rev state.Revision) (state.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	now, err := c.opt.Store.Txn(ctx, state.Op{Key: key, Expect: rev, Delete: true})
	return now, errs.Wrap(errs.KindOf(err), err, "delete %s", key)
}
