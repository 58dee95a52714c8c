package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"unsafe"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/durable"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/setup"
)

// initFlags are what the command line of `spare init` says.
type initFlags struct {
	answers setup.Answers
	primary string
	spares  []string
	file    string
	force   bool
}

func (e *env) initCommand() *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first spare.yaml",
		Long: `Write a first spare.yaml, with comments, for one service at one site or more.

With --service and --primary it asks nothing. Without them, on a terminal, it
asks for what the flags do not say. What it writes passes "spare check". A file
that exists is left alone unless --force is given.`,
		Example: `  spare init
  spare init --service shop --host shop.example.com --primary aws:us-east-1=https://shop-aws.example.com --spare gcp:europe-west1=https://shop-gcp.example.com`,
		Args:              takes(),
		ValidArgsFunction: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if e.config != "" && !cmd.Flags().Changed("output") {
				f.file = e.config
			}
			return f.run(cmd, cmd.InOrStdin(), isTerminal(cmd.InOrStdin()))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.answers.Service, "service", "", "name of the service")
	flags.StringVar(&f.answers.Host, "host", "", "host name that users ask for (default any)")
	flags.StringVar(&f.primary, "primary", "", "where it runs: PROVIDER:REGION=URL")
	flags.StringArrayVar(&f.spares, "spare", nil, "where a spare of it runs: PROVIDER:REGION=URL; may be repeated")
	flags.StringVar(&f.answers.Check, "check", "", "path of its health check (default /healthz)")
	flags.StringVar(&f.answers.Listen, "listen", "", "address to listen on for users (default :80)")
	flags.StringVar(&f.answers.Data, "data", "", "folder that keeps state (default /var/lib/spare)")
	flags.StringVarP(&f.file, "output", "o", "spare.yaml", "file to write; - is standard output")
	flags.BoolVar(&f.force, "force", false, "replace the file if it exists")
	return cmd
}

// run writes the file. in is asked when it is a terminal and the flags do not
// say enough.
func (f *initFlags) run(cmd *cobra.Command, in io.Reader, terminal bool) error {
	if err := f.places(cmd); err != nil {
		return err
	}
	if err := f.free(); err != nil {
		return err
	}
	a := f.answers
	if a.Service == "" || len(a.Places) == 0 {
		if !terminal {
			return misused(cmd, nil, "%s needs --service and --primary: there is no terminal to ask on", cmd.CommandPath())
		}
		var err error
		if a, err = setup.Ask(in, cmd.ErrOrStderr(), a); err != nil {
			return err
		}
	}
	content, err := a.File()
	if err != nil {
		return errs.Wrap(errs.KindOf(err), err, "make the estate file")
	}
	for _, w := range a.Warnings() {
		say(cmd.ErrOrStderr(), "warning: %s", w)
	}
	if f.file == "-" {
		return flush(cmd, content)
	}
	if err := f.write(content); err != nil {
		return err
	}
	say(cmd.ErrOrStderr(), "wrote %s: %s at %s", f.file, a.Service, counted(len(a.Places), "site"))
	say(cmd.ErrOrStderr(), "next:")
	say(cmd.ErrOrStderr(), "  spare check %s", word(f.file))
	say(cmd.ErrOrStderr(), "  spare run -c %s", word(f.file))
	return nil
}

func (f *initFlags) places(cmd *cobra.Command) error {
	if f.primary == "" && len(f.spares) > 0 {
		return misused(cmd, nil, "--spare needs --primary")
	}
	if f.primary == "" {
		return nil
	}
	for i, s := range append([]string{f.primary}, f.spares...) {
		p, err := setup.ParsePlace(s)
		if err != nil {
			name := "--primary"
			if i > 0 {
				name = "--spare"
			}
			return misused(cmd, nil, "%s: %w", name, err)
		}
		f.answers.Places = append(f.answers.Places, p)
	}
	return nil
}

// free reports a file that is there already, before anybody is asked.
func (f *initFlags) free() error {
	if f.file == "-" || f.force {
		return nil
	}
	if _, err := os.Lstat(f.file); err == nil {
		return errs.WithHint(errs.E(errs.Conflict, "%s exists", f.file), "name another with -o, or replace it with --force")
	}
	return nil
}

// write makes the file. Without force one that came up in the meantime stays.
func (f *initFlags) write(content []byte) (err error) {
	if f.force {
		return durable.WriteFile(f.file, content, 0o644)
	}
	file, err := os.OpenFile(f.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return f.free()
	}
	if err != nil {
		return errs.Wrap(errs.Unavailable, err, "write the estate file")
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		_ = os.Remove(f.file) // half a file is worse than none
	}
	return errs.Wrap(errs.Unavailable, err, "write %s", f.file)
}

// word quotes a file name for a shell where it needs that.
func word(s string) string {
	plain := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") == ""
	if plain && s != "" && s[0] != '-' {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// isTerminal reports whether a person can be asked on r.
func isTerminal(r any) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	var t syscall.Termios
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TCGETS, uintptr(unsafe.Pointer(&t)))
	return errno == 0
}
