package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/apiv1"
)

func (e *env) incidentCommand() *cobra.Command {
	return group(&cobra.Command{
		Use:     "incident",
		Short:   "List incidents, show what happened in one, and report it",
		Example: "  spare incident list --state open\n  spare incident show 2026-03-01-7fbd2c\n  spare incident report last",
	}, e.incidentListCommand(), e.incidentShowCommand(), e.incidentReportCommand())
}

func (e *env) incidentListCommand() *cobra.Command {
	var q apiv1.IncidentQuery
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List incidents, newest first",
		Example:           "  spare incident list\n  spare incident list --state open --json",
		Args:              takes(),
		ValidArgsFunction: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := limited(cmd, q.Limit); err != nil {
				return err
			}
			c, err := e.client(reads)
			if err != nil {
				return err
			}
			doc, err := c.Incidents(cmd.Context(), q)
			if err != nil {
				return err
			}
			return e.print(cmd, doc, func(w io.Writer) {
				t := newTable(w, "INCIDENT", "STATE", "SEVERITY", "OPENED", "LASTED", "SERVICES", "TITLE")
				for _, i := range doc.Incidents {
					t.row(i.ID, i.State, i.Severity, stamp(i.Opened), span(fromMilliseconds(i.DurationMS)), strings.Join(i.Services, ","), i.Title)
				}
				t.flush()
				if n := len(doc.Incidents); doc.More && n > 0 {
					say(cmd.ErrOrStderr(), "there are more: --before %s", doc.Incidents[n-1].ID)
				}
			})
		},
	}
	cmd.Flags().StringVar(&q.State, "state", "", "only those that are open or closed")
	cmd.Flags().StringVar(&q.Before, "before", "", "only those that began before this one")
	cmd.Flags().IntVar(&q.Limit, "limit", apiv1.DefaultLimit, "how many at most")
	completeFlag(cmd, "state", words(apiv1.IncidentOpen, apiv1.IncidentClosed))
	return cmd
}
