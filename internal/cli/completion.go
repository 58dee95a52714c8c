package cli

import (
	"bytes"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/errs"
)

func (e *env) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Write the completion script of a shell",
		Long: `Write the completion script of a shell: bash, zsh, fish or powershell. It
completes commands, flags, and the names of services and sites in the estate
file.`,
		Example: `  source <(spare completion bash)
  spare completion zsh > "${fpath[1]}/_spare"
  spare completion fish > ~/.config/fish/completions/spare.fish`,
		Args:              takes("SHELL"),
		ValidArgsFunction: words(shells...),
		RunE: func(cmd *cobra.Command, args []string) error {
			var b bytes.Buffer
			var err error
			switch root := cmd.Root(); args[0] {
			case "bash":
				err = root.GenBashCompletionV2(&b, true)
			case "zsh":
				err = root.GenZshCompletion(&b)
			case "fish":
				err = root.GenFishCompletion(&b, true)
			case "powershell":
				err = root.GenPowerShellCompletionWithDesc(&b)
			default:
				return misused(cmd, nil, "there is no completion for %q: the shells are bash, zsh, fish, powershell", args[0])
			}
			if err != nil {
				return errs.Wrap(errs.Internal, err, "make the completion script")
			}
			return flush(cmd, b.Bytes())
		},
	}
}
