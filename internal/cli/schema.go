package cli

import (
	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/config"
)

func (e *env) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Write the JSON Schema of the estate file",
		Long: `Write the JSON Schema of the estate file, for editors. With the YAML language
server, begin the file with
  # yaml-language-server: $schema=spare.schema.json`,
		Example:           "  spare schema > spare.schema.json",
		Args:              takes(),
		ValidArgsFunction: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := config.Schema()
			if len(b) > 0 && b[len(b)-1] != '\n' {
				b = append(b, '\n')
			}
			return flush(cmd, b)
		},
	}
}
