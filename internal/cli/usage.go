package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// misused makes a usage error that points to the command's help, and first to
// the names in near, if any.
func misused(cmd *cobra.Command, near []string, format string, args ...any) error {
	hint := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	if len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s? %s", strings.Join(near, " or "), hint)
	}
	return errs.WithHint(&usageError{fmt.Errorf(format, args...)}, "%s", hint)
}

// group makes cmd a command that only has others below it: an unknown one
// among them is an error that names the nearest.
func group(cmd *cobra.Command, sub ...*cobra.Command) *cobra.Command {
	cmd.AddCommand(sub...)
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 0:
			return unknownCommand(cmd, args[0])
		case cmd.HasParent():
			return misused(cmd, nil, "%s needs a command: %s", cmd.CommandPath(), strings.Join(below(cmd), ", "))
		default:
			return cmd.Help()
		}
	}
	return cmd
}

func unknownCommand(cmd *cobra.Command, name string) error {
	return misused(cmd, estate.Near(name, below(cmd)), "%s has no command %q", cmd.CommandPath(), name)
}

// below lists the commands that cmd's help shows.
func below(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// flagError explains a flag that cannot be understood. An unknown command
// before it is the better explanation, since that command may have the flag.
func flagError(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return misused(cmd, nil, "%w", err)
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	near := estate.Near(unknown.GetSpecifiedName(), known)
	for i := range near {
		near[i] = "--" + near[i]
	}
	return misused(cmd, near, "%s has no flag --%s", cmd.CommandPath(), unknown.GetSpecifiedName())
}

// takes demands just these arguments; one in brackets may be left out, and
// only the last.
func takes(names ...string) cobra.PositionalArgs {
	least := len(names)
	if least > 0 && strings.HasPrefix(names[least-1], "[") {
		least--
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < least:
			return misused(cmd, nil, "%s needs %s", cmd.CommandPath(), strings.Join(names[len(args):least], " and "))
		case len(args) > len(names):
			return misused(cmd, nil, "%s does not take %q", cmd.CommandPath(), args[len(names)])
		}
		return nil
	}
}

// limited demands that --limit is one that the API takes.
func limited(cmd *cobra.Command, n int) error {
	if n < 1 || n > apiv1.MaxLimit {
		return misused(cmd, nil, "--limit %d is not a number from 1 to %d", n, apiv1.MaxLimit)
	}
	return nil
}
