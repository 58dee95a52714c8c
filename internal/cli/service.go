package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/apiv1"
)

func (e *env) serviceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "service",
		Short:   "List services, and move them by hand",
		Example: "  spare service list\n  spare service drain shop virginia --for 30m --reason \"disk change\"",
	}
	group(cmd, e.serviceListCommand())
	for _, a := range actions {
		cmd.AddCommand(e.actionCommand(a))
	}
	return cmd
}

// serviceList is what `spare service list --json` writes.
type serviceList struct {
	Services []apiv1.Service `json:"services"`
}

func (e *env) serviceListCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "list",
		Short:             "List the services and where they are",
		Example:           "  spare service list\n  spare service list --json",
		Args:              takes(),
		ValidArgsFunction: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := e.client(reads)
			if err != nil {
				return err
			}
			doc, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			return e.print(cmd, serviceList{doc.Services}, func(w io.Writer) {
				t := newTable(w, "SERVICE", "STATE", "POLICY", "WRITES", "ACTIVE", "ORIGINS", "HOSTS")
				for _, s := range doc.Services {
					var origins []string
					for _, o := range s.Origins {
						origins = append(origins, o.Site)
					}
					t.row(s.ID, s.State, s.Policy, s.Writes, s.Active, strings.Join(origins, ","), strings.Join(s.Hosts, ","))
				}
				t.flush()
			})
		},
	}
}
