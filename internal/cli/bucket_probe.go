package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/qualify"
	"github.com/sparecloud/spare/internal/blob/replica"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/objects"
)

// probed is what `spare bucket probe --json` writes of one replica.
type probed struct {
	Site   string         `json:"site"`
	Where  string         `json:"where"`
	Heads  bool           `json:"heads"` // it may hold heads
	Why    string         `json:"why,omitempty"`
	Error  string         `json:"error,omitempty"`
	Report qualify.Report `json:"report"`
}

func (e *env) bucketProbeCommand() *cobra.Command {
	var makes bool
	cmd := &cobra.Command{
		Use:   "probe BUCKET",
		Short: "Try what each replica's provider really does",
		Long: `Try what each replica's provider really does, where heads are to be kept:
racing conditional writes, stale tags, reads and lists after writes. About 500
small requests each, under a prefix of their own that is removed afterwards.

Before the bucket's first start the places of the heads are mostly not there:
--make makes them, as the first start does.

A provider that ignores a condition cannot hold heads, whatever its
documentation says. The exit code is 1 unless every replica may hold them.`,
		Example:           "  spare bucket probe media\n  spare bucket probe media --make --json",
		Args:              takes("BUCKET"),
		ValidArgsFunction: e.bucketNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := e.declared(args[0])
			if err != nil {
				return err
			}
			list, err := e.probe(cmd.Context(), b, makes, e.logTo(cmd.ErrOrStderr()), func(site, step string) {
				e.progress(cmd, "%s: %s", site, step)
			})
			e.progress(cmd, "")
			if err != nil {
				return err
			}
			if err := e.print(cmd, map[string]any{"replicas": list}, func(w io.Writer) { showProbed(w, list) }); err != nil {
				return err
			}
			return unfit(list)
		},
	}
	cmd.Flags().BoolVar(&makes, "make", false, "make the replicas' places that are missing")
	return cmd
}

func (e *env) probe(ctx context.Context, b estate.Bucket, makes bool, log *slog.Logger, step func(site, name string)) ([]probed, error) {
	o, err := objects.Declared(b, e.Connect(log), log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = objects.Disconnect(o) }()
	var list []probed
	for _, m := range o.Members {
		list = append(list, probeOne(ctx, m, makes, func(name string) { step(m.ID, name) }))
	}
	return list, ctx.Err()
}

func probeOne(ctx context.Context, m replica.Member, makes bool, step func(string)) probed {
	p := probed{Site: m.ID, Where: m.HeadsWhere}
	var err error
	if makes {
		err = makePlaces(ctx, m)
	}
	if err == nil {
		p.Report, err = qualify.Run(ctx, m.Heads, qualify.Options{Step: step})
	}
	p.Heads, p.Why = err == nil && p.Report.Class.Heads(), p.Report.Why()
	if err != nil {
		p.Error = err.Error()
		hint := errs.Hint(err)
		if errors.Is(err, blob.ErrNoBucket) && !makes {
			hint = "before the first start it is not there yet: --make makes it"
		}
		if hint != "" {
			p.Error += " (" + hint + ")"
		}
	}
	return p
}

// makePlaces makes what the first start would make: the place of the heads, and
// of the objects where that is ours to make.
func makePlaces(ctx context.Context, m replica.Member) error {
	if m.MakeBody && m.Body != nil {
		if err := m.Body.Make(ctx); err != nil {
			return err
		}
	}
	return m.Heads.Make(ctx)
}

func showProbed(w io.Writer, list []probed) {
	t := newTable(w, "SITE", "CLASS", "HEADS", "VERSIONED", "PUT", "GET", "CLOCK", "WHERE", "WHY")
	for _, p := range list {
		why := p.Why
		if p.Error != "" {
			why = p.Error
		}
		t.row(p.Site, p.Report.Class, yesNo(p.Heads), yesNo(p.Report.Versioned), p.Report.PutP50.Round(100*time.Microsecond),
			p.Report.GetP50.Round(100*time.Microsecond), p.Report.ClockOffset.Round(time.Second), p.Where, why)
	}
	t.flush()
}

func unfit(list []probed) error {
	var bad []string
	for _, p := range list {
		if !p.Heads {
			bad = append(bad, p.Site)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("not fit to hold heads: %s", strings.Join(bad, ", "))
	}
	return nil
}
