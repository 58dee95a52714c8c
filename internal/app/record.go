package app

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/link"
	"github.com/sparecloud/spare/internal/run"
)

// recorder writes entries that nobody waits for.
type recorder struct {
	j    *journal.Journal
	log  *slog.Logger
	wait chan journal.Entry
}

func newRecorder(j *journal.Journal, log *slog.Logger) *recorder {
	return &recorder{j: j, log: log, wait: make(chan journal.Entry, 1000)}
}

// add hands an entry in. It never blocks; what does not fit is logged.
func (r *recorder) add(e journal.Entry) {
	if e.At.IsZero() {
		e.At = time.Now().UTC()
	}
	select {
	case r.wait <- e:
	default:
		r.log.Error("journal entry dropped, too many wait", "kind", string(e.Kind), "message", e.Message)
	}
}

// run writes until ctx ends, and then what is left.
func (r *recorder) run(ctx context.Context) error {
	for {
		select {
		case e := <-r.wait:
			r.write(ctx, e)
		case <-ctx.Done():
			for len(r.wait) > 0 {
				r.write(ctx, <-r.wait)
			}
			return nil
		}
	}
}

func (r *recorder) write(ctx context.Context, e journal.Entry) {
	pause := run.Backoff{Min: 100 * time.Millisecond, Max: 5 * time.Second}
	for {
		_, err := r.j.Append(context.WithoutCancel(ctx), e)
		if err == nil {
			return
		}
		r.log.Error("journal entry not written", "err", err, "message", e.Message)
		if run.Sleep(ctx, pause.Next()) != nil {
			return
		}
	}
}

// hello greets a data process. The tables that follow are newer than what it
// serves.
func (c *control) hello(h link.Hello) {
	c.failover.AtLeast(h.Epoch)
	c.record.add(journal.Entry{
		Kind: journal.KindLink, Actor: "data", Level: journal.Info,
		Message: fmt.Sprintf("data process %d connected, serving table %d", h.PID, h.Epoch),
	})
}

func (c *control) gone(src string, err error) {
	c.record.add(journal.Entry{
		Kind: journal.KindLink, Actor: "data", Level: journal.Warn, Message: fmt.Sprintf("data process %s disconnected: %v", src, err),
	})
}

// events records what a data process did on its own, and only then acts on it:
// what was acknowledged is in the journal.
func (c *control) events(ctx context.Context, src string, list []health.Event) error {
	entries := make([]journal.Entry, 0, len(list))
	for _, ev := range list {
		if e, ok := entryOf(ev); ok {
			e.Dedup = fmt.Sprintf("data/%s/%d", src, ev.Seq)
			entries = append(entries, e)
		}
	}
	if len(entries) > 0 {
		if _, err := c.journal.Append(ctx, entries...); err != nil {
			return err
		}
	}
	for _, ev := range list {
		c.failover.Event(ev)
		c.desk.Event(ev)
	}
	return nil
}

// entryOf is the journal's word for an event. That a table came into force is
// no news beside the entry of its publication.
func entryOf(ev health.Event) (journal.Entry, bool) {
	e := journal.Entry{At: ev.At, Actor: "data", Level: journal.Info, Certainty: journal.Observed, Service: ev.Target.Service, Site: ev.Target.Site}
	switch ev.Kind {
	case health.Ejected:
		e.Kind, e.Level = journal.KindEject, journal.Warn
		e.Message = fmt.Sprintf("%s taken out of rotation: %s (%s)", ev.Target, ev.Detail, ev.Cause)
	case health.Readmitted:
		e.Kind, e.Message = journal.KindReadmit, fmt.Sprintf("%s back in rotation: %s", ev.Target, ev.Detail)
	case health.Refused:
		e.Kind, e.Level = journal.KindTable, journal.Error
		e.Message = fmt.Sprintf("data process refused a table: %s", ev.Detail)
	case health.Started:
		e.Kind, e.Message = journal.KindStart, fmt.Sprintf("data process started, version %s, serving table %d", ev.Detail, ev.Epoch)
	default:
		return e, false
	}
	return e, true
}
