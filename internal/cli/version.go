package cli

import (
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionDoc is what `spare version --json` writes.
type versionDoc struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func (e *env) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Say which version this is",
		Example:           "  spare version\n  spare version --json",
		Args:              takes(),
		ValidArgsFunction: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			doc := versionDoc{Version: e.version(), Revision: revision(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
			return e.print(cmd, doc, func(w io.Writer) {
				say(w, "spare %s (%s, %s/%s)", doc.Version, doc.Go, doc.OS, doc.Arch)
			})
		},
	}
}

// version is the one that was put in, or else the one that the build recorded.
func (e *env) version() string {
	if e.Version != "" {
		return e.Version
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "devel"
}

func revision() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
}
