// Command spare keeps what you run in a cloud usable when that cloud goes
// down. Run it without arguments for help.
package main

import (
	"context"
	"os"

	"github.com/sparecloud/spare/internal/app"
	"github.com/sparecloud/spare/internal/cli"
)

// version is put in by the build.
var version string

func main() {
	os.Exit(cli.Main(cli.Options{
		Version: version,
		Run:     func(ctx context.Context, o cli.RunOptions) error { return app.Run(ctx, options(o)) },
		Process: func(ctx context.Context, role string, o cli.RunOptions) error {
			return app.Process(ctx, role, options(o))
		},
		Connect: app.Connect,
		ServeFolder: func(ctx context.Context, o cli.FolderOptions) error {
			return app.ServeFolder(ctx, app.FolderOptions(o))
		},
	}))
}

// options are the command line's, for the processes.
func options(o cli.RunOptions) app.Options {
	return app.Options{
		Config: o.Config, Version: o.Version, Log: o.Log,
		Args: []string{"--log-level", o.LogLevel, "--log-format", o.LogFormat},
	}
}
