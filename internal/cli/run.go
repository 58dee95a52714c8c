package cli

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/errs"
)

func (e *env) runCommand() *cobra.Command {
	var l logFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Serve what the estate file declares",
		Long: `Serve what the estate file declares, until SIGINT or SIGTERM.

SIGHUP, or a change of the file, puts the file in force; a file that is wrong
leaves the one in force as it is. SIGUSR2 replaces the process that serves
traffic without dropping a request.`,
		Example: "  spare run -c /etc/spare/spare.yaml\n  spare run -c spare.yaml --log-format json",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if e.Run == nil {
				return errs.E(errs.Unsupported, "this program was built without a server")
			}
			o, err := e.runOptions(cmd, l)
			if err != nil {
				return err
			}
			return e.Run(cmd.Context(), o)
		},
	}
	l.register(cmd)
	return cmd
}

// logFlags say how a server logs.
type logFlags struct{ level, format string }

func (l *logFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&l.level, "log-level", "info", "least level that is logged: debug, info, warn, error")
	cmd.Flags().StringVar(&l.format, "log-format", "text", "form of the log: text, json")
	completeFlag(cmd, "log-level", words("debug", "info", "warn", "error"))
	completeFlag(cmd, "log-format", words("text", "json"))
}

func (l *logFlags) logger(cmd *cobra.Command, w io.Writer) (*slog.Logger, error) {
	var o slog.HandlerOptions
	switch l.level {
	case "debug":
		o.Level = slog.LevelDebug
	case "info":
		o.Level = slog.LevelInfo
	case "warn":
		o.Level = slog.LevelWarn
	case "error":
		o.Level = slog.LevelError
	default:
		return nil, misused(cmd, nil, "--log-level %q is none of debug, info, warn, error", l.level)
	}
	switch l.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &o)), nil
	default:
		return nil, misused(cmd, nil, "--log-format %q is neither text nor json", l.format)
	}
}

func (e *env) runOptions(cmd *cobra.Command, l logFlags) (RunOptions, error) {
	log, err := l.logger(cmd, cmd.ErrOrStderr())
	if err != nil {
		return RunOptions{}, err
	}
	path, err := e.path()
	return RunOptions{Config: path, Version: e.version(), Log: log, LogLevel: l.level, LogFormat: l.format}, err
}
