package cli

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// checkDoc is what `spare check --json` writes.
type checkDoc struct {
	OK       bool         `json:"ok"`
	File     string       `json:"file"`
	Digest   string       `json:"digest,omitempty"` // of a valid file
	Errors   []diagnostic `json:"errors"`
	Warnings []diagnostic `json:"warnings"`
}

type diagnostic struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path,omitempty"` // of the value, as in services.shop.hosts[0]
	Text    string `json:"text,omitempty"` // the offending text
	Message string `json:"message"`
	Nearest string `json:"nearest,omitempty"` // what was probably meant
}

func (e *env) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say whether an estate file is right",
		Long: `Say whether an estate file is right: all that is wrong with it at once, with
line and column. Nothing is started, and nobody is asked. References to the
environment and to files are followed, so check a file where it will run.`,
		Example: "  spare check spare.yaml\n  spare check --json spare.yaml",
		Args:    takes("[FILE]"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				e.config = args[0]
			}
			return e.check(cmd)
		},
	}
}

func (e *env) check(cmd *cobra.Command) error {
	path, err := e.path()
	if err != nil {
		return err
	}
	name := e.config // as it was given, so that messages can be clicked
	if name == "" {
		name = path
	}
	doc := checkDoc{File: name, Errors: []diagnostic{}, Warnings: []diagnostic{}}
	st, err := config.Load(name, config.Options{Warn: func(d config.Diagnostic) {
		doc.Warnings = append(doc.Warnings, diagnostic(d))
		if !e.json {
			say(cmd.ErrOrStderr(), "warning: %s", d)
		}
	}})
	var faults *config.Errors
	switch {
	case err == nil:
		doc.OK, doc.Digest = true, st.Digest
	case !errors.As(err, &faults) || !errs.Is(err, errs.Invalid):
		return err
	default:
		for _, d := range faults.List {
			doc.Errors = append(doc.Errors, diagnostic(d))
		}
	}
	if !doc.OK && !e.json {
		return said(errors.Join(err, faults.Render(cmd.ErrOrStderr())))
	}
	if perr := e.print(cmd, doc, func(w io.Writer) { summary(w, name, st) }); perr != nil {
		return perr
	}
	if err != nil {
		return said(err)
	}
	return nil
}

func summary(w io.Writer, name string, st *estate.Estate) {
	origins := 0
	for _, s := range st.Services {
		origins += len(s.Origins)
	}
	say(w, "%s is right: %s, %s with %s, %s, %s", name, counted(len(st.Sites), "site"), counted(len(st.Services), "service"),
		counted(origins, "origin"), counted(len(st.Buckets), "bucket"), counted(len(st.Dependencies), "dependency"))
}

// counted writes a number with its noun: "1 site", "2 dependencies".
func counted(n int, noun string) string {
	if n != 1 {
		if stem, ok := strings.CutSuffix(noun, "y"); ok && noun != "key" {
			noun = stem + "ie"
		}
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
