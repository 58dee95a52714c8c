package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/run"
	"github.com/sparecloud/spare/internal/state"
)

// MaxAge is how old a notice may grow before it is given up.
const MaxAge = 24 * time.Hour

const (
	prefix   = "notify/outbox/"
	retryMin = time.Second
	retryMax = 5 * time.Minute
	sweep    = time.Minute // looks again at the store, in case a change was missed
)

// Journal is where the outbox records what became of a notice.
type Journal interface {
	Append(ctx context.Context, entries ...journal.Entry) ([]journal.Entry, error)
}

// Options are an outbox's parts. Journal may be nil.
type Options struct {
	Store   state.Store
	Journal Journal
	Sender  Sender
	Log     *slog.Logger
	Rand    func() float64 // in [0,1), spreads retries; nil = the runtime's source
}

// Outbox delivers notices at least once, those about one incident in the order
// in which they were added. A crash between a delivery and its note repeats
// the delivery with the same ID.
type Outbox struct {
	opt      Options
	wake     chan struct{}
	attempts map[string]*attempt // by notice ID; Run's goroutine alone
}

// letter is a notice as the store keeps it.
type letter struct {
	Notice Notice    `json:"notice"`
	Added  time.Time `json:"added"`
}

// queued is a letter and where it came from.
type queued struct {
	letter
	key string
	rev state.Revision
}

// attempt is what the process remembers of a notice's deliveries. After a
// restart the first attempt is made at once.
type attempt struct {
	backoff run.Backoff
	next    time.Time
	tries   int
}

// NewOutbox gives an outbox. Run delivers.
func NewOutbox(o Options) *Outbox {
	return &Outbox{opt: o, wake: make(chan struct{}, 1), attempts: map[string]*attempt{}}
}

// Add puts the notice into the outbox. After nil it is durable. Adding a
// notice whose ID is waiting already changes nothing. The context's end, or an
// unavailable store, is an error of kind Unavailable.
func (o *Outbox) Add(ctx context.Context, n Notice) error {
	n.Version = Version
	b, err := json.Marshal(letter{Notice: n, Added: time.Now().UTC()})
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "encode notice %s", n.ID)
	}
	_, err = o.opt.Store.Put(ctx, prefix+n.ID, b, state.Absent)
	if err != nil && !errs.Is(err, errs.Conflict) {
		return errs.Wrap(errs.KindOf(err), err, "queue notice %s", n.ID)
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return nil
}

// Run delivers until ctx ends.
func (o *Outbox) Run(ctx context.Context) error {
	for {
		wait := o.pass(ctx)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-o.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// pass tries everything that is due and gives the time until the next is.
func (o *Outbox) pass(ctx context.Context) time.Duration {
	letters, err := o.list(ctx)
	if err != nil {
		if ctx.Err() == nil {
			o.opt.Log.Warn("cannot read the notices to deliver", "err", err)
		}
		return retryMin
	}
	wait := sweep
	waiting := map[string]bool{} // subjects with an earlier notice on its way
	for _, l := range letters {
		if ctx.Err() != nil {
			return wait
		}
		if waiting[l.Notice.Subject] && time.Since(l.Added) < MaxAge {
			continue
		}
		if next, done := o.try(ctx, l); !done {
			waiting[l.Notice.Subject] = true
			wait = min(wait, max(next, 0))
		}
	}
	return wait
}

// list gives the notices by age.
func (o *Outbox) list(ctx context.Context) ([]queued, error) {
	kvs, err := o.opt.Store.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var letters []queued
	for _, kv := range kvs {
		q := queued{key: kv.Key, rev: kv.Revision}
		if err := json.Unmarshal(kv.Value, &q.letter); err != nil {
			o.opt.Log.Error("a notice in the store cannot be read", "key", kv.Key, "err", err)
			continue
		}
		letters = append(letters, q)
	}
	slices.SortStableFunc(letters, func(a, b queued) int {
		return cmp.Or(a.Added.Compare(b.Added), cmp.Compare(a.key, b.key))
	})
	return letters, nil
}

// try makes one attempt if it is due. It reports whether the notice is done
// with, and else the time until the next attempt.
func (o *Outbox) try(ctx context.Context, q queued) (time.Duration, bool) {
	id := q.Notice.ID
	a := o.attempts[id]
	if a == nil {
		a = &attempt{backoff: run.Backoff{Min: retryMin, Max: retryMax, Jitter: 0.5, Rand: o.opt.Rand}}
		o.attempts[id] = a
	}
	if d := time.Until(a.next); d > 0 && time.Since(q.Added) < MaxAge {
		return d, false
	}
	if a.tries > 0 && time.Since(q.Added) >= MaxAge {
		o.record(ctx, q, "expired", journal.Error, "gave up telling of "+q.Notice.Event+" after a day")
		return o.remove(ctx, q)
	}
	a.tries++
	err := o.opt.Sender.Send(ctx, q.Notice)
	switch {
	case err == nil:
		o.record(ctx, q, "delivered", journal.Info, "told of "+q.Notice.Event)
		return o.remove(ctx, q)
	case ctx.Err() != nil:
		return 0, false
	case errs.Is(err, errs.Invalid):
		o.opt.Log.Error("a notice was turned down", "notice", id, "err", err)
		o.record(ctx, q, "refused", journal.Error, "gave up telling of "+q.Notice.Event+": "+err.Error())
		return o.remove(ctx, q)
	}
	if a.tries == 1 {
		o.opt.Log.Warn("a notice was not delivered yet", "notice", id, "err", err)
		o.record(ctx, q, "delayed", journal.Warn, "could not tell of "+q.Notice.Event+" yet: "+err.Error())
	}
	d := a.backoff.Next()
	a.next = time.Now().Add(d)
	return d, false
}

func (o *Outbox) remove(ctx context.Context, q queued) (time.Duration, bool) {
	if err := o.opt.Store.Delete(ctx, q.key, state.Any); err != nil {
		// It will be delivered again; the receiver knows it by its ID.
		o.opt.Log.Warn("cannot remove a notice that is done with", "notice", q.Notice.ID, "err", err)
		if a := o.attempts[q.Notice.ID]; a != nil {
			a.next = time.Now().Add(a.backoff.Next())
			return time.Until(a.next), false
		}
	}
	delete(o.attempts, q.Notice.ID)
	return 0, true
}

func (o *Outbox) record(ctx context.Context, q queued, what string, level journal.Level, message string) {
	if o.opt.Journal == nil {
		return
	}
	_, err := o.opt.Journal.Append(ctx, journal.Entry{
		At: time.Now().UTC(), Kind: journal.KindNotify, Level: level, Certainty: journal.Observed,
		Incident: q.Notice.Subject, Actor: "spare", Message: message,
		Dedup: "notify/" + q.Notice.ID + "/" + what,
	})
	if err != nil {
		o.opt.Log.Warn("cannot record what became of a notice", "notice", q.Notice.ID, "err", err)
	}
}
