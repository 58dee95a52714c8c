package demo

import (
	"context"
	"os"
	"strings"

	"github.com/sparecloud/spare/internal/demo/depot"
	"github.com/sparecloud/spare/internal/demo/shop"
	"github.com/sparecloud/spare/internal/errs"
)

// CloudOptions say what one cloud of the demo is. All are needed.
type CloudOptions struct {
	shop.Options
	Bucket string // address that the cloud's bucket is served at
	Secret string // file that holds the secret key to it
}

// Cloud runs one cloud of the demo until ctx ends: its shop and its bucket, in
// one process, so that they die together.
func Cloud(ctx context.Context, o CloudOptions) error {
	if o.Bucket == "" || o.Secret == "" {
		return errs.E(errs.Invalid, "a cloud needs an address for its bucket and a file with the secret key")
	}
	secret, err := os.ReadFile(o.Secret)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "read the secret key of %s", o.Name)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stored := make(chan error, 1)
	go func() {
		defer cancel()
		stored <- depot.Run(ctx, depot.Options{Addr: o.Bucket, Dir: o.Dir, SecretKey: strings.TrimSpace(string(secret)), Log: o.Log})
	}()
	err = shop.Run(ctx, o.Options)
	cancel()
	if e := <-stored; err == nil {
		err = e
	}
	return err
}
