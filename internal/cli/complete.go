package cli

import (
	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/estate"
)

// completer gives the words that may stand where the cursor is.
type completer func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// services completes the name of a service, and then, if sites is set, that of
// a site where it has an origin. Without a readable estate file there is
// nothing to offer, and nothing to complain of in the middle of a line.
func (e *env) services(sites bool) completer {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		st, err := e.estate()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var words []string
		switch {
		case len(args) == 0:
			for _, s := range st.Services {
				words = append(words, string(s.ID))
			}
		case len(args) == 1 && sites:
			if s, ok := st.Service(estate.ServiceID(args[0])); ok {
				for _, o := range s.Origins {
					words = append(words, string(o.Site))
				}
			}
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// sites completes the name of any site.
func (e *env) sites(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	st, err := e.estate()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, s := range st.Sites {
		words = append(words, string(s.ID))
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func none(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func words(list ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlag ties a completer to a flag that the command has.
func completeFlag(cmd *cobra.Command, flag string, c completer) {
	if err := cmd.RegisterFlagCompletionFunc(flag, c); err != nil {
		panic(err) // there is no such flag: a fault of the program's text
	}
}
