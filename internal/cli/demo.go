package cli

import (
	"log/slog"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/demo"
	"github.com/sparecloud/spare/internal/demo/screen"
	"github.com/sparecloud/spare/internal/errs"
)

// newDemoCommand is `spare demo`. json is the global flag.
func newDemoCommand(json *bool) *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a cloud die on this machine, and nobody notice",
		Long: `Run three clouds with a small shop and a bucket each on this machine, Spare in
front of them, and customers who write down what came of every request. Then
kill one cloud with SIGKILL, freeze another with SIGSTOP, kill Spare's own
control process, repair it all, and check: no read failed, no acknowledged order
or object is lost, none arrived twice, nothing stale was read, nothing deleted
came back, and each fault really happened.

It takes less than 100 seconds (--fast: 45), listens on loopback addresses
only, and leaves nothing behind. The exit code is 1 if a promise was broken or
a fault could not be proven.`,
		Example: "  spare demo\n  spare demo --fast --json\n  spare demo --keep",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			o.JSON, o.Stdout, o.Stderr = *json, cmd.OutOrStdout(), cmd.ErrOrStderr()
			look := screen.Of(o.Stderr)
			o.TTY, o.Color, o.Width = look.TTY, look.Color, look.Width
			r, err := demo.Run(ctx, o)
			if err == nil && !r.OK {
				return said(errs.E(errs.Internal, "the demo broke %d promises", len(r.Broken)))
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&o.Fast, "fast", false, "take less than 45 seconds")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "stay up after the report, until Ctrl-C")
	cmd.Flags().Int64Var(&o.Seed, "seed", 0, "seed of the customers' requests (default: by the clock)")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "folder to play in, empty or absent, and kept (default: a temporary one)")
	_ = cmd.MarkFlagDirname("dir") // there is such a flag
	return cmd
}

// newDemoCloudCommand is one cloud of the demo. It is not for people, who
// would have to name its peers.
func newDemoCloudCommand() *cobra.Command {
	var o demo.CloudOptions
	var peers []string
	cmd := &cobra.Command{
		Use:     "demo-cloud",
		Short:   "Be one cloud of spare demo",
		Hidden:  true,
		Example: "  spare demo-cloud --name cloud-a --front 127.0.0.2:8000 --inside 127.0.0.2:8001 --bucket 127.0.0.2:8002 --dir a --secret file --peer cloud-b=127.0.0.3:8001",
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Peers = map[string]string{}
			for _, p := range peers {
				name, addr, ok := strings.Cut(p, "=")
				if !ok {
					return misused(cmd, nil, "--peer %q is not NAME=ADDRESS", p)
				}
				o.Peers[name] = addr
			}
			o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return demo.Cloud(ctx, o)
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "name of this cloud")
	cmd.Flags().StringVar(&o.Front, "front", "", "address for customers")
	cmd.Flags().StringVar(&o.Inside, "inside", "", "address for the other clouds")
	cmd.Flags().StringVar(&o.Bucket, "bucket", "", "address for clients of the cloud's bucket")
	cmd.Flags().StringVar(&o.Dir, "dir", "", "folder that holds the orders and the objects")
	cmd.Flags().StringVar(&o.Secret, "secret", "", "file that holds the secret key to the bucket")
	cmd.Flags().StringArrayVar(&peers, "peer", nil, "another cloud, NAME=ADDRESS of its inside")
	return cmd
}
