package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
)

// How long to wait before a stream that broke is asked for again.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// follow writes the last entries and then each new one, until ctx ends. It
// outlives the server: each entry is written once, whatever happens between.
func (e *env) follow(cmd *cobra.Command, q apiv1.JournalQuery) error {
	c, err := e.client(reads)
	if err != nil {
		return err
	}
	page, err := c.Journal(cmd.Context(), q)
	if err != nil {
		return err
	}
	slices.Reverse(page.Entries)
	last := int64(0)
	write := func(en apiv1.Entry) error {
		last = en.ID
		return e.writeEntry(cmd, en)
	}
	for _, en := range page.Entries {
		if err := write(en); err != nil {
			return err
		}
	}
	if last == 0 { // nothing that q selects: begin after the newest of all
		if last, err = newest(cmd.Context(), c); err != nil {
			return err
		}
	}
	q.From = time.Time{} // what is to come is later than any time that is past
	return e.stream(cmd, &last, q, write)
}

func newest(ctx context.Context, c *apiv1.Client) (int64, error) {
	page, err := c.Journal(ctx, apiv1.JournalQuery{Limit: 1})
	if err != nil || len(page.Entries) == 0 {
		return 0, err
	}
	return page.Entries[0].ID, nil
}

// stream asks for what comes after *last, again and again. Only an answer that
// would not change ends it.
func (e *env) stream(cmd *cobra.Command, last *int64, q apiv1.JournalQuery, write func(apiv1.Entry) error) error {
	c, err := e.client(follows)
	if err != nil {
		return err
	}
	wait := firstRetry
	for {
		before := *last
		q.After = *last
		var failed error
		err := c.Events(cmd.Context(), q, func(en apiv1.Entry) error {
			failed = write(en)
			return failed
		})
		switch {
		case failed != nil:
			return failed
		case cmd.Context().Err() != nil:
			return nil
		case !errs.Is(err, errs.Unavailable):
			return err
		}
		if *last > before {
			wait = firstRetry
		}
		say(cmd.ErrOrStderr(), "the connection was lost (%v); asking again", err)
		select {
		case <-cmd.Context().Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, lastRetry)
	}
}

func (e *env) writeEntry(cmd *cobra.Command, en apiv1.Entry) error {
	var b bytes.Buffer
	if !e.json {
		say(&b, "%s", line(en))
		return flush(cmd, b.Bytes())
	}
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(en); err != nil {
		return errs.Wrap(errs.Internal, err, "write the entry")
	}
	return flush(cmd, b.Bytes())
}
