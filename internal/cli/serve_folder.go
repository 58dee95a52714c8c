package cli

import (
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/errs"
)

// FolderOptions are what the command line says to [Options.ServeFolder].
type FolderOptions struct {
	Dir, Bucket, Listen  string
	AccessKey, SecretKey string
	Log                  *slog.Logger
	Ready                func(addr string)
}

func (e *env) serveFolderCommand() *cobra.Command {
	var o FolderOptions
	var l logFlags
	cmd := &cobra.Command{
		Use:   "serve-folder DIR",
		Short: "Serve a folder as an S3 bucket",
		Long: `Serve a folder as an S3 bucket, until SIGINT or SIGTERM, so that a disk in the
basement is a provider too. The folder stays an ordinary folder of files. Beside
it, the companion that a replica's heads go to is served: bucket NAME-spare,
folder DIR-spare. Both are made if they are missing.

The one credential comes from the environment: SPARE_ACCESS_KEY and
SPARE_SECRET_KEY. There is no TLS here: leave loopback only behind something
that has it, or on a network that you trust.`,
		Example:           "  SPARE_ACCESS_KEY=me SPARE_SECRET_KEY=... spare serve-folder /srv/media\n  spare serve-folder /srv/media --listen 127.0.0.1:9001 --bucket media",
		Args:              takes("DIR"),
		ValidArgsFunction: folders,
		RunE: func(cmd *cobra.Command, args []string) error {
			if e.ServeFolder == nil {
				return errs.E(errs.Unsupported, "this program was built without a server")
			}
			o.Dir = args[0]
			if err := o.check(); err != nil {
				return err
			}
			o.AccessKey, o.SecretKey = os.Getenv("SPARE_ACCESS_KEY"), os.Getenv("SPARE_SECRET_KEY")
			if o.AccessKey == "" || len(o.SecretKey) < 8 {
				return errs.WithHint(errs.E(errs.Invalid, "SPARE_ACCESS_KEY and SPARE_SECRET_KEY (8 characters or more) are not set"),
					"choose them, and give them to whoever uses the bucket")
			}
			var err error
			if o.Log, err = l.logger(cmd, cmd.ErrOrStderr()); err != nil {
				return err
			}
			o.Ready = func(addr string) {
				if !loopback(addr) {
					o.Log.Warn("requests and objects pass in clear beyond this machine", "addr", addr, "remedy", "listen on loopback behind something that has TLS")
				}
				o.Log.Info("serving", "bucket", o.Bucket, "folder", o.Dir, "endpoint", "http://"+addr)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return e.ServeFolder(ctx, o)
		},
	}
	cmd.Flags().StringVar(&o.Bucket, "bucket", "", "name of the bucket (default: the folder's)")
	cmd.Flags().StringVar(&o.Listen, "listen", "127.0.0.1:9000", "address to listen on")
	completeFlag(cmd, "bucket", none)
	completeFlag(cmd, "listen", none)
	l.register(cmd)
	return cmd
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// check looks at what can be wrong before anything is made or listened on, and
// names the bucket by its folder unless it has a name.
func (o *FolderOptions) check() error {
	abs, err := filepath.Abs(o.Dir)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "folder %s", o.Dir)
	}
	if info, err := os.Stat(abs); err == nil && !info.IsDir() {
		return errs.E(errs.Invalid, "%s is not a folder", o.Dir)
	}
	if o.Bucket == "" {
		o.Bucket = strings.ToLower(filepath.Base(abs))
	}
	if !bucketName.MatchString(o.Bucket) || len(o.Bucket)+len("-spare") > 63 {
		return errs.WithHint(errs.E(errs.Invalid, "%q is not the name of a bucket that can have a companion: 3 to 57 lower-case letters, digits, '-' and '.'", o.Bucket),
			"give one with --bucket")
	}
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		return errs.WithHint(errs.E(errs.Invalid, "--listen %q is not an address", o.Listen), "give one such as 127.0.0.1:9000")
	}
	return nil
}

// loopback reports an address that only this machine reaches.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
