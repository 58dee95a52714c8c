package cli

import (
	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/errs"
)

// processCommand is how `spare run` starts its processes. It is not for
// people, who would have to hand it sockets.
func (e *env) processCommand() *cobra.Command {
	var l logFlags
	cmd := &cobra.Command{
		Use:               "process ROLE",
		Short:             "Be one of the processes of spare run",
		Hidden:            true,
		Example:           "  spare process data -c spare.yaml",
		Args:              takes("ROLE"),
		ValidArgsFunction: words("data", "control"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if e.Process == nil {
				return errs.E(errs.Unsupported, "this program was built without a server")
			}
			o, err := e.runOptions(cmd, l)
			if err != nil {
				return err
			}
			return e.Process(cmd.Context(), args[0], o)
		},
	}
	l.register(cmd)
	return cmd
}
