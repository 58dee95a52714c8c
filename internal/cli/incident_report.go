package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/durable"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/report"
)

// lastIncident stands for the newest incident.
const lastIncident = "last"

func (e *env) incidentReportCommand() *cobra.Command {
	var form, file string
	cmd := &cobra.Command{
		Use:   "report INCIDENT",
		Short: "Write the report of one incident",
		Long: `Write the report of one incident: summary, impact, times, causes, timeline, a
chart, and what the data cannot tell. The word "last" stands for the newest
incident. It may be asked for while the incident is open.`,
		Example: "  spare incident report last\n  spare incident report 2026-03-01-7fbd2c --format html -o report.html",
		Args:    takes("INCIDENT"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{lastIncident}, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if e.json && !cmd.Flags().Changed("format") {
				form = "json"
			}
			write, err := e.writer(cmd, form)
			if err != nil {
				return err
			}
			c, err := e.client(reads)
			if err != nil {
				return err
			}
			doc, err := incidentReport(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			body, err := write(doc)
			if err != nil {
				return err
			}
			if file == "" || file == "-" {
				return flush(cmd, body)
			}
			return durable.WriteFile(file, body, 0o644)
		},
	}
	cmd.Flags().StringVar(&form, "format", "md", "md, html or json")
	cmd.Flags().StringVarP(&file, "output", "o", "", "file to write, which is replaced (default: standard output)")
	completeFlag(cmd, "format", words(apiv1.ReportFormats()...))
	return cmd
}

func incidentReport(ctx context.Context, c *apiv1.Client, id string) (apiv1.Report, error) {
	if id == lastIncident {
		list, err := c.Incidents(ctx, apiv1.IncidentQuery{Limit: 1})
		if err != nil {
			return apiv1.Report{}, err
		}
		if len(list.Incidents) == 0 {
			return apiv1.Report{}, errs.E(errs.NotFound, "there is no incident yet")
		}
		id = list.Incidents[0].ID
	}
	return c.Report(ctx, id)
}

// writer gives what writes a report in the form that is asked for.
func (e *env) writer(cmd *cobra.Command, form string) (func(apiv1.Report) ([]byte, error), error) {
	switch form {
	case "md":
		return func(r apiv1.Report) ([]byte, error) { return report.Markdown(r), nil }, nil
	case "html":
		return func(r apiv1.Report) ([]byte, error) {
			return report.HTML(r, report.Links{Journal: e.journalAddress()}), nil
		}, nil
	case "json":
		return func(r apiv1.Report) ([]byte, error) {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetIndent("", "  ")
			err := enc.Encode(r)
			return b.Bytes(), errs.Wrap(errs.Internal, err, "write the report")
		}, nil
	default:
		return nil, misused(cmd, nil, "--format %q is none of %s", form, strings.Join(apiv1.ReportFormats(), ", "))
	}
}

// journalAddress is where a saved page finds the journal: the API that the
// report came from.
func (e *env) journalAddress() string {
	base := e.api
	if base == "" {
		st, err := e.estate()
		if err != nil {
			return ""
		}
		base = address(st.Listen)
	}
	return strings.TrimSuffix(base, "/") + "/api/v1/journal"
}
