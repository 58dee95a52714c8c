package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/blob/replica"
	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/objects"
)

func (e *env) bucketCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bucket",
		Short: "See how buckets stand; try, repair and adopt them",
		Long: `See how buckets stand; try, repair and adopt them.

"status" asks the running Spare. The others work on the providers' buckets
themselves, by the estate file and its secrets, whether Spare runs or not.`,
		Example: "  spare bucket status\n  spare bucket probe media",
	}
	group(cmd, e.bucketStatusCommand(), e.bucketProbeCommand(), e.bucketRepairCommand(), e.bucketAdoptCommand())
	return cmd
}

// bucketNames completes the names of buckets.
func (e *env) bucketNames(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	st, err := e.estate()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []string
	for _, b := range st.Buckets {
		ids = append(ids, string(b.ID))
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// declared reads the estate file, with its secrets, for one bucket.
func (e *env) declared(name string) (estate.Bucket, error) {
	if e.Connect == nil {
		return estate.Bucket{}, errs.E(errs.Unsupported, "this program was built without providers")
	}
	path, err := e.path()
	if err != nil {
		return estate.Bucket{}, err
	}
	st, err := config.Load(path, config.Options{})
	if err != nil {
		return estate.Bucket{}, err
	}
	b, ok := st.Bucket(estate.BucketID(name))
	if !ok {
		return estate.Bucket{}, errs.WithHint(errs.E(errs.NotFound, "there is no bucket %q in %s", name, path), "%s", knownBuckets(st))
	}
	return *b, nil
}

// knownBuckets names the first of the buckets that there are.
func knownBuckets(st *estate.Estate) string {
	if len(st.Buckets) == 0 {
		return "the file declares none, under buckets"
	}
	var ids []string
	for _, b := range st.Buckets[:min(10, len(st.Buckets))] {
		ids = append(ids, string(b.ID))
	}
	return "there are: " + strings.Join(ids, ", ")
}

func (e *env) logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func (e *env) bucketRepairCommand() *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use:   "repair BUCKET",
		Short: "Bring all replicas of a bucket to the same state",
		Long: `Bring all replicas of a bucket to the same state: every key's head, every
object at every site that is to hold it, what stock tools see at the plain keys,
and leftovers of writes that came to nothing. It may run while Spare serves,
as often as you like, and be stopped at any time.

The exit code is 1 if something could not be repaired.`,
		Example:           "  spare bucket repair media\n  spare bucket repair media --prefix photos/ --json",
		Args:              takes("BUCKET"),
		ValidArgsFunction: e.bucketNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.care(cmd, args[0], cmd.Name() == "adopt", func(ctx context.Context, b *replica.Bucket, o replica.RepairOptions) (replica.Progress, error) {
				o.Prefix = prefix
				return b.Repair(ctx, o)
			})
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with it")
	completeFlag(cmd, "prefix", none)
	return cmd
}

func (e *env) bucketAdoptCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "adopt BUCKET",
		Short: "Take over the objects that a replica's bucket already holds",
		Long: `Take over the objects that a replica's bucket already holds, as the estate file
says with "adopt: SITE": each gets its head, and is copied to the other sites.
Until it has ended, objects without a head are read from that site, so nothing
is ever missing. It may run while Spare serves, be stopped at any time, and goes
on where it was.`,
		Example:           "  spare bucket adopt media\n  spare bucket adopt media --json",
		Args:              takes("BUCKET"),
		ValidArgsFunction: e.bucketNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.care(cmd, args[0], cmd.Name() == "adopt", func(ctx context.Context, b *replica.Bucket, o replica.RepairOptions) (replica.Progress, error) {
				return b.AdoptAll(ctx, o)
			})
		},
	}
}

// care opens a bucket and runs work on it, with its progress on stderr.
func (e *env) care(cmd *cobra.Command, name string, adopts bool, work func(context.Context, *replica.Bucket, replica.RepairOptions) (replica.Progress, error)) error {
	spec, err := e.declared(name)
	if err != nil {
		return err
	}
	log := e.logTo(cmd.ErrOrStderr())
	b, closeAll, err := objects.Open(cmd.Context(), spec, e.Connect(log), log)
	if err != nil {
		return err
	}
	p, err := work(cmd.Context(), b, replica.RepairOptions{Progress: func(p replica.Progress) {
		e.progress(cmd, "%s", oneLine(p))
	}})
	e.progress(cmd, "")
	if perr := e.print(cmd, p, func(w io.Writer) { showProgress(w, name, adopts, p) }); err == nil {
		err = perr
	}
	if cerr := closeAll(); err == nil {
		err = cerr
	}
	if err == nil && (p.Failed > 0 || p.Lost > 0 || len(p.Unreachable) > 0) {
		err = fmt.Errorf("not all of bucket %s could be put right", name)
	}
	return err
}

func oneLine(p replica.Progress) string {
	s := fmt.Sprintf("%d keys, %d repaired, %s copied", p.Keys, p.Repaired+p.Adopted, sizeOf(p.Bytes))
	if p.Failed > 0 {
		s += fmt.Sprintf(", %d failed", p.Failed)
	}
	if p.At != "" {
		s += ", at " + p.At
	}
	return s
}

func showProgress(w io.Writer, name string, adopts bool, p replica.Progress) {
	say(w, "bucket %s: %s looked at, %d repaired, %d adopted, %s copied, %d left over and removed", name, counted(p.Keys, "key"), p.Repaired, p.Adopted, sizeOf(p.Bytes), p.Swept)
	if p.Keys == 0 && p.Pass == 0 && adopts && p.Done {
		say(w, "nothing is left to adopt: objects that are new at the plain keys belong to nobody")
	}
	if p.Foreign > 0 {
		say(w, "%s at plain keys only, which nobody wrote through Spare", counted(p.Foreign, "object"))
	}
	for _, site := range p.Unreachable {
		say(w, "%s could not be listed: its keys are not repaired", site)
	}
	if p.Failed > 0 {
		say(w, "%s still behind: %s", counted(p.Failed, "key"), p.Reason)
	}
	for _, key := range p.LostKeys {
		say(w, "LOST: no site has the object %q", key)
	}
}

// sizeOf gives a number of bytes for people.
func sizeOf(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
}

// progress shows a line that the next one replaces, where somebody watches; ""
// takes it away.
func (e *env) progress(cmd *cobra.Command, format string, args ...any) {
	w := cmd.ErrOrStderr()
	if e.json || !isTerminal(w) {
		return
	}
	_, _ = fmt.Fprintf(w, "\r\x1b[K%.100s", clean(fmt.Sprintf(format, args...)))
}
