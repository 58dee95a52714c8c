package app

import (
	"sync"

	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/durable"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

// s3Variable tells a data process which of its listeners speaks S3.
const s3Variable = "SPARE_S3"

// bucketsOf keeps a data process's buckets in step with its table: when a table
// of another estate comes into force, it reads the copy of the estate file that
// control kept, and puts the buckets in it in force. Control is not needed for
// that, and a damaged or missing copy leaves the buckets as they are.
type bucketsOf struct {
	d *data

	mu     sync.Mutex
	digest string // of the estate whose buckets are in force
}

// follow is called with the digest of the estate that a table was made from.
func (b *bucketsOf) follow(digest string) {
	if b.d.opt.Objects == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if digest == b.digest {
		return
	}
	e, err := b.read()
	if err != nil {
		b.d.opt.Log.Error("the copy of the estate file is not usable, buckets stay as they are", "err", err)
		b.d.client.Report(health.Event{Kind: health.Refused, Detail: "buckets: " + err.Error(), Epoch: b.d.epoch()})
		return
	}
	b.digest = e.Digest
	b.d.opt.Objects.Apply(e)
	if len(e.Buckets) > 0 {
		b.d.opt.Log.Info("buckets in force", "buckets", len(e.Buckets), "digest", e.Digest)
	}
}

func (b *bucketsOf) read() (*estate.Estate, error) {
	path := goodCopy(b.d.opt.DataDir)
	l, err := durable.Load(path)
	if err != nil {
		return nil, err
	}
	e, err := config.Parse(b.d.opt.Config, l.Payload, config.Options{})
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "read %s", path)
	}
	return e, nil
}
