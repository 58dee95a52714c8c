package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/fileblob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/objects"
	"github.com/sparecloud/spare/internal/s3api"
)

// FolderOptions say what [ServeFolder] serves. All but Ready are required.
type FolderOptions struct {
	Dir       string // the objects
	Bucket    string // name that clients use
	Listen    string // "host:port"
	AccessKey string
	SecretKey string
	Log       *slog.Logger
	Ready     func(addr string) // called once when connections are accepted; nil = nobody
}

// ServeFolder serves a folder as an S3 bucket until ctx ends, and beside it the
// companion that a replica's heads go to: bucket "NAME-spare", folder
// "DIR-spare". Both are made if they are missing.
func ServeFolder(ctx context.Context, o FolderOptions) error {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "folder %s", o.Dir)
	}
	table := &s3api.Table{
		Buckets:     map[string]s3api.Store{},
		Credentials: []s3api.Credential{{AccessKey: o.AccessKey, SecretKey: o.SecretKey, Rights: s3api.Admin}},
	}
	var open []*blob.Bucket
	defer func() {
		for _, b := range open {
			_ = b.Close()
		}
	}()
	const companion = "-spare"
	for name, path := range map[string]string{o.Bucket: dir, o.Bucket + companion: dir + companion} {
		drv, err := fileblob.Open(path, fileblob.Options{Make: true, Log: o.Log})
		if err != nil {
			return err
		}
		b := blob.New(name, drv)
		open = append(open, b)
		table.Buckets[name] = b
	}
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return errs.Wrap(errs.Unavailable, err, "listen on %s", o.Listen)
	}
	if o.Ready != nil {
		o.Ready(ln.Addr().String())
	}
	api := s3api.New(s3api.Options{Log: o.Log})
	api.Swap(table)
	err = objects.ServeHTTP(ctx, ln, api, o.Log)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
