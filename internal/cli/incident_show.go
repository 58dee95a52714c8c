package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/apiv1"
)

func (e *env) incidentShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show INCIDENT",
		Short:             "Show one incident: causes, impact, timeline",
		Example:           "  spare incident show 2026-03-01-7fbd2c\n  spare incident show 2026-03-01-7fbd2c --json",
		Args:              takes("INCIDENT"),
		ValidArgsFunction: none,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := e.client(reads)
			if err != nil {
				return err
			}
			doc, err := c.Timeline(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return e.print(cmd, doc, func(w io.Writer) { showIncident(w, doc) })
		},
	}
}

func showIncident(w io.Writer, doc apiv1.Timeline) {
	i := doc.Incident
	say(w, "%s  %s", i.ID, i.Title)
	t := newTable(w, "state", i.State+", "+i.Severity)
	t.row("site", i.Site)
	t.row("services", strings.Join(i.Services, ", "))
	t.row("opened", stamp(i.Opened))
	t.row("detected", stamp(i.Times.Detected))
	t.row("ejected", stamp(i.Times.Ejected))
	t.row("switched", stamp(i.Times.Switched))
	t.row("recovered", stamp(i.Times.Recovered))
	t.row("closed", stamp(i.Closed))
	t.row("lasted", span(fromMilliseconds(i.DurationMS)))
	t.flush()

	say(w, "")
	t = newTable(w, "CAUSE", "EXPLAINS", "KNOWN HOW", "WHAT")
	for _, c := range i.Causes {
		t.row(c.Kind, percent(c.Score), c.Certainty, c.Text)
	}
	t.flush()

	say(w, "")
	t = newTable(w, "SERVICE", "REQUESTS", "FAILED", "RETRIED", "HEDGED", "RESUMED", "CUT", "MAYBE APPLIED", "ERRORS", "LONGEST")
	for _, s := range i.Impact.Services {
		t.row(s.Service, s.Requests, s.Failed, s.Retried, s.Hedged, s.Resumed, s.Truncated, s.MaybeApplied, s.ServerErrors, milliseconds(s.LongestMS))
	}
	m := i.Impact
	t.row("all", m.Requests, m.Failed, m.Retried, m.Hedged, m.Resumed, m.Truncated, m.MaybeApplied, m.ServerErrors, milliseconds(m.LongestMS))
	t.flush()

	say(w, "")
	for _, en := range doc.Entries {
		say(w, "%s", line(en))
	}
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }
