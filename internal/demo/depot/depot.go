// Package depot is the bucket that each cloud of the demo offers over S3: its
// objects in a folder, and beside it the companion that the heads of a replica
// go to. It runs in the process of the cloud's shop, so that whatever befalls
// the one befalls the other.
//
// [Run] serves; [Folder.Holds] looks at the same folder from outside, as files.
//
//	err := depot.Run(ctx, depot.Options{Addr: "127.0.0.2:8002", Dir: "cloud-a", SecretKey: secret, Log: log})
package depot

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/fileblob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/objects"
	"github.com/sparecloud/spare/internal/s3api"
)

// The names of the bucket, of its companion, and of the access key to both.
const (
	Bucket    = "archive"
	Companion = Bucket + "-spare"
	AccessKey = "cloud"
)

// Options say what one cloud's depot is. All are needed.
type Options struct {
	Addr      string // host:port
	Dir       string // the cloud's folder
	SecretKey string
	Log       *slog.Logger
}

// Run serves the bucket and its companion until ctx ends. Their folders are
// made if they are missing.
func Run(ctx context.Context, o Options) (err error) {
	table := &s3api.Table{
		Buckets:     map[string]s3api.Store{},
		Credentials: []s3api.Credential{{AccessKey: AccessKey, SecretKey: o.SecretKey, Rights: s3api.Admin}},
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return errs.Wrap(errs.Unavailable, err, "make the folder of the bucket")
	}
	for _, name := range []string{Bucket, Companion} {
		drv, err := fileblob.Open(filepath.Join(o.Dir, name), fileblob.Options{Make: true, Log: o.Log})
		if err != nil {
			return err
		}
		b := blob.New(name, drv)
		defer func() { _ = b.Close() }() // only its descriptors
		table.Buckets[name] = b
	}
	ln, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return errs.Wrap(errs.Unavailable, err, "listen on %s", o.Addr)
	}
	api := s3api.New(s3api.Options{Log: o.Log})
	api.Swap(table)
	if err = objects.ServeHTTP(ctx, ln, api, o.Log); errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
