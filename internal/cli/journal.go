package cli

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/journal"
)

var kinds = []string{
	string(journal.KindStart), string(journal.KindStop), string(journal.KindReload), string(journal.KindVerdict),
	string(journal.KindEject), string(journal.KindReadmit), string(journal.KindSwitch), string(journal.KindTable),
	string(journal.KindOperator), string(journal.KindOverride), string(journal.KindFence), string(journal.KindIncident),
	string(journal.KindNotify), string(journal.KindLink), string(journal.KindTelemetry),
}

func (e *env) journalCommand() *cobra.Command {
	var q apiv1.JournalQuery
	var from, to string
	var follow bool
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "Read the record of what happened",
		Long: `Read the record of what happened: the newest entries, or with --oldest the first
ones. For people they stand in the order of time; with --json a page is the
API's document, newest first unless --oldest is given, and its "next" goes to
--cursor for the page behind it. With --follow new entries are shown as they are
written, with --json one document a line.`,
		Example: `  spare journal
  spare journal --service shop --kind verdict,switch --from 2h
  spare journal --follow --json`,
		Args:              takes(),
		ValidArgsFunction: none,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := limited(cmd, q.Limit); err != nil {
				return err
			}
			now := time.Now()
			if q.From, err = moment(cmd, "from", from, now); err != nil {
				return err
			}
			if q.To, err = moment(cmd, "to", to, now); err != nil {
				return err
			}
			if !follow {
				return e.page(cmd, q)
			}
			if q.Oldest || q.Cursor != 0 || !q.To.IsZero() {
				return misused(cmd, nil, "--follow does not go with --oldest, --cursor or --to")
			}
			return e.follow(cmd, q)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&q.Kinds, "kind", nil, "only these kinds, separated by commas")
	flags.StringVar(&q.Service, "service", "", "only about this service")
	flags.StringVar(&q.Site, "site", "", "only about this site")
	flags.StringVar(&q.Incident, "incident", "", "only of this incident")
	flags.StringVar(&q.Text, "text", "", "only messages that hold this text")
	flags.StringVar(&from, "from", "", "not before: a time such as 2026-03-01T12:00:00Z, or 2h for two hours ago")
	flags.StringVar(&to, "to", "", "before: likewise")
	flags.IntVar(&q.Limit, "limit", apiv1.DefaultLimit, "how many at most (with --follow: how many old ones first)")
	flags.BoolVar(&q.Oldest, "oldest", false, "the oldest first")
	flags.Int64Var(&q.Cursor, "cursor", 0, "the page behind this: next of the page before")
	flags.BoolVarP(&follow, "follow", "f", false, "go on with new entries as they are written")
	completeFlag(cmd, "kind", words(kinds...))
	completeFlag(cmd, "service", e.services(false))
	completeFlag(cmd, "site", e.sites)
	return cmd
}

// moment reads a time, or a time span before now.
func moment(cmd *cobra.Command, flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, misused(cmd, nil, "--%s %q is neither a time such as 2026-03-01T12:00:00Z nor a span such as 2h", flag, s)
}

func (e *env) page(cmd *cobra.Command, q apiv1.JournalQuery) error {
	c, err := e.client(reads)
	if err != nil {
		return err
	}
	doc, err := c.Journal(cmd.Context(), q)
	if err != nil {
		return err
	}
	return e.print(cmd, doc, func(w io.Writer) {
		list := slices.Clone(doc.Entries)
		if !q.Oldest {
			slices.Reverse(list)
		}
		for _, en := range list {
			say(w, "%s", line(en))
		}
		if doc.More {
			say(cmd.ErrOrStderr(), "there are more: --cursor %d", doc.Next)
		}
	})
}

// line gives an entry as one line for people. Columns are as wide as their
// usual content, so that lines that come one by one stand under each other.
func line(e apiv1.Entry) string {
	about := e.Service
	if e.Site != "" {
		about += "@" + e.Site
	}
	return fmt.Sprintf("%s  %-5s  %-9s  %-20s  %s (%s, %s)", stamp(e.At), e.Level, e.Kind, about, e.Message, e.Actor, e.Certainty)
}
