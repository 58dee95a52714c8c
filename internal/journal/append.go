package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// Limits of what [Journal.Append] takes.
const (
	MaxEntryBytes = 256 << 10 // of all texts and Data of one entry
	MaxAppend     = 10_000    // entries in one call
)

// What shares one commit: requests are added until one of these is reached.
const (
	queueLength  = 1024 // requests that wait
	batchEntries = 1000
	batchBytes   = 4 << 20
)

// A request is waiting until the writer has taken it or its caller has given
// it up, whichever comes first.
const (
	waiting int32 = iota
	taken
	abandoned
)

type request struct {
	entries []Entry
	bytes   int
	state   atomic.Int32
	done    chan error // receives once; entries are then as they were written
}

// Append writes the entries, all or none, and gives them as they are on disk:
// with ID and Recorded, and At, Level, Certainty and Actor where they were
// empty. It returns when they would survive loss of power. An entry whose
// Dedup is in the journal already is not written again; the first one is given
// in its place.
//
// Invalid: an entry lacks Kind or Message, has an unknown Level or Certainty, a
// time that does not fit (before 1678 or after 2261), Data that is not JSON,
// or is too long. Unavailable: the disk does not take it, or ctx ended; when
// [errs.IsMaybeApplied] marks the error, the entries may be in the journal.
// Give them a Dedup to append again safely.
func (j *Journal) Append(ctx context.Context, entries ...Entry) ([]Entry, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	if len(entries) > MaxAppend {
		return nil, errs.E(errs.Invalid, "append %d entries: at most %d are taken", len(entries), MaxAppend)
	}
	r := &request{entries: make([]Entry, len(entries)), done: make(chan error, 1)}
	for i, e := range entries {
		size, err := e.check()
		if err != nil {
			return nil, err
		}
		r.bytes += size
		r.entries[i] = e.normal()
	}
	if err := j.enqueue(ctx, r); err != nil {
		return nil, err
	}
	if err := r.wait(ctx); err != nil {
		return nil, err
	}
	return r.entries, nil
}

func (j *Journal) enqueue(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return errs.Wrap(errs.Unavailable, err, "append to the journal")
	}
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.closed {
		return errClosed("append")
	}
	select {
	case j.queue <- r:
		return nil
	case <-ctx.Done():
		return errs.Wrap(errs.Unavailable, ctx.Err(), "wait to append to the journal")
	}
}

func (r *request) wait(ctx context.Context) error {
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
	}
	err := errs.Wrap(errs.Unavailable, ctx.Err(), "append to the journal")
	if r.state.CompareAndSwap(waiting, abandoned) {
		return err
	}
	select { // an answer that is there already is better than none
	case err := <-r.done:
		return err
	default:
		return errs.MaybeApplied(err)
	}
}

// check gives the size of the entry in bytes.
func (e *Entry) check() (int, error) {
	size := len(e.Kind) + len(e.Level) + len(e.Certainty) + len(e.Service) + len(e.Site) + len(e.Incident) +
		len(e.Actor) + len(e.Message) + len(e.Data) + len(e.Dedup)
	switch {
	case e.Kind == "":
		return 0, errs.E(errs.Invalid, "entry %.60q has no kind", e.Message)
	case e.Message == "":
		return 0, errs.E(errs.Invalid, "entry of kind %q has no message", e.Kind)
	case e.Level != "" && e.Level != Info && e.Level != Warn && e.Level != Error:
		return 0, errs.E(errs.Invalid, "entry of kind %q has level %q, which is not known", e.Kind, e.Level)
	case e.Certainty != "" && e.Certainty != Observed && e.Certainty != Inferred && e.Certainty != Reported:
		return 0, errs.E(errs.Invalid, "entry of kind %q has certainty %q, which is not known", e.Kind, e.Certainty)
	case !e.At.IsZero() && (e.At.Year() < 1678 || e.At.Year() > 2261):
		return 0, errs.E(errs.Invalid, "entry of kind %q has a time in the year %d", e.Kind, e.At.Year())
	case len(e.Data) > 0 && !json.Valid(e.Data):
		return 0, errs.E(errs.Invalid, "entry of kind %q has data that is not JSON", e.Kind)
	case size > MaxEntryBytes:
		return 0, errs.E(errs.Invalid, "entry of kind %q has %d bytes: at most %d are taken", e.Kind, size, MaxEntryBytes)
	}
	return size, nil
}

// normal gives the entry with its defaults, sharing nothing with e that its
// owner may change. ID and Recorded are for the writer to give.
func (e Entry) normal() Entry {
	e.ID, e.Recorded = 0, time.Time{}
	if !e.At.IsZero() {
		e.At = e.At.UTC().Round(0) // without the monotonic reading
	}
	if e.Level == "" {
		e.Level = Info
	}
	if e.Certainty == "" {
		e.Certainty = Observed
	}
	if e.Actor == "" {
		e.Actor = "spare"
	}
	if e.Data = bytes.Clone(e.Data); len(e.Data) == 0 {
		e.Data = nil
	}
	return e
}

// unixNano is t.UnixNano, and the nearest number for times that have none.
func unixNano(t time.Time) int64 {
	switch {
	case t.Year() < 1678:
		return math.MinInt64
	case t.Year() > 2261:
		return math.MaxInt64
	}
	return t.UnixNano()
}
