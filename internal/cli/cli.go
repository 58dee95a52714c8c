// Package cli is Spare's command line: `spare <noun> <verb>`, one file a
// command.
//
// [Main] parses the arguments, runs one command and gives the exit code (see
// exit.go; they are part of the help). What the program does as a server comes
// in through [Options], so that this package knows the API and the estate file
// and nothing else of Spare.
//
//	func main() {
//		os.Exit(cli.Main(cli.Options{Version: version, Run: app.Run, Process: app.Process}))
//	}
//
// Documents go to standard output, as tables for people or with --json as the
// API's own documents; everything else goes to standard error. Nothing is said
// by colour.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/objects"
)

// Options are what main puts in.
type Options struct {
	Version string // of the program; "" = what the build recorded
	// Run is `spare run`: it serves until it is told to stop by a signal, which
	// it handles itself.
	Run func(ctx context.Context, o RunOptions) error
	// Process is one of the processes that `spare run` starts, by its role.
	Process func(ctx context.Context, role string, o RunOptions) error
	// Connect opens a replica's provider.
	Connect func(log *slog.Logger) objects.Connect
	// ServeFolder serves a folder as an S3 bucket until ctx ends.
	ServeFolder func(ctx context.Context, o FolderOptions) error
}

// RunOptions are what the command line says to [Options.Run] and
// [Options.Process].
type RunOptions struct {
	Config    string // path of the estate file, absolute
	Version   string // of the program
	Log       *slog.Logger
	LogLevel  string // as given, for processes that are started in turn
	LogFormat string // likewise
}

// Main runs the command that the process's arguments name and gives the exit
// code.
func Main(o Options) int {
	return execute(context.Background(), o, os.Args[1:], os.Stdout, os.Stderr)
}

func execute(ctx context.Context, o Options, args []string, stdout, stderr io.Writer) int {
	root := newRoot(o)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	complain(stderr, err)
	return exitCode(err)
}

// env is what the global flags say.
type env struct {
	Options
	config    string
	api       string
	tokenFile string
	json      bool
	warn      func(format string, args ...any) // to standard error
}

const about = `Spare keeps what you run in a cloud usable when that cloud goes down.

One file, spare.yaml, declares your sites and services. "spare run" serves them:
traffic goes to a healthy site, and the record of what happened is written. The
other commands talk to it through its API, whose address (listen.api) and token
(in the data folder) they take from the same file.

Exit codes:
  0  done
  1  failed; or, with --check, not all is well
  2  the command line is wrong
  3  the input or the estate file is invalid
  4  what was named does not exist
  5  another change came first, or it would do harm and needs --force
  6  denied: no token, or the wrong one
  7  not available: the API or a part behind it does not answer
  8  the outcome is unknown: it may have been applied`

func newRoot(o Options) *cobra.Command {
	e := &env{Options: o}
	root := &cobra.Command{
		Use:           "spare",
		Short:         "Keep what you run in a cloud usable when that cloud goes down",
		Long:          about,
		Example:       "  spare init\n  spare check spare.yaml\n  spare run -c spare.yaml\n  spare status",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	e.warn = func(format string, args ...any) { say(root.ErrOrStderr(), "warning: "+format, args...) }
	root.CompletionOptions.DisableDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVarP(&e.config, "config", "c", "", "estate file (default ./spare.yaml, then /etc/spare/spare.yaml)")
	flags.StringVar(&e.api, "api", "", "address of the API (default: listen.api of the estate file)")
	flags.StringVar(&e.tokenFile, "token-file", "", "file that holds the API's token (default: the file token in the data folder)")
	flags.BoolVar(&e.json, "json", false, "write a JSON document instead of a table")
	root.SetFlagErrorFunc(flagError)
	group(root,
		e.initCommand(), e.runCommand(), e.processCommand(), e.checkCommand(), e.schemaCommand(),
		e.statusCommand(), e.serviceCommand(), e.bucketCommand(), e.incidentCommand(), e.journalCommand(),
		e.serveFolderCommand(),
		newDemoCommand(&e.json), newDemoCloudCommand(),
		e.versionCommand(), e.completionCommand(),
	)
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Example = "  spare help service drain"
	}
	return root
}

// complain says on stderr what went wrong, and what to do about it.
func complain(w io.Writer, err error) {
	if err == nil || isSaid(err) {
		return
	}
	var faults *config.Errors
	if errors.As(err, &faults) { // each with its line, as spare check shows them
		_ = faults.Render(w)
		return
	}
	text := "spare: " + clean(err.Error()) + "\n"
	if hint := errs.Hint(err); hint != "" {
		text += "hint: " + clean(hint) + "\n"
	}
	_, _ = fmt.Fprint(w, text) // there is nobody else to tell
}
