package s3api

import (
	"io"
	"net/http"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/s3api/entity"
	"github.com/sparecloud/spare/internal/s3api/payload"
	"github.com/sparecloud/spare/internal/s3api/precond"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

func (c *call) put() error {
	if precond.HasSource(c.header) {
		return s3err.InvalidRequest.Msg("Conditions on the source of a copy need x-amz-copy-source.")
	}
	o, err := entity.Options(c.header)
	if err != nil {
		return err
	}
	if o.If, err = precond.Write(c.header); err != nil {
		return err
	}
	b, err := c.body(c.header)
	if err != nil {
		return err
	}
	o.Sums = b.Sums
	obj, err := c.store.Put(c.ctx, c.Key, b, b.Size, o)
	if err := judge(b, err); err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("ETag", entity.Quote(obj.ETag))
	entity.DescribeSums(h, b.Sums())
	c.done(http.StatusOK)
	return nil
}

// body opens the request's body. Its length must be declared: that of an empty
// one too, since a body that got lost on the way is no empty object.
func (c *call) body(h http.Header) (*payload.Body, error) {
	length := c.r.ContentLength
	if length == 0 && c.r.Header.Get("Content-Length") == "" {
		length = -1
	}
	b, err := payload.Open(h, wire{c.r.Body, c.w}, length, c.sig, c.cred.SecretKey)
	if err != nil {
		return nil, err
	}
	if b.Size == 0 { // nobody needs to read what is empty: then it is judged here
		if _, err := b.Read(nil); !b.Done() {
			return nil, err
		}
	}
	return b, nil
}

// judge decides between what a store said and how the body ended. A body that
// was found wrong is why the store failed, whatever the store made of it.
func judge(b *payload.Body, err error) error {
	switch {
	case b.Err() != nil:
		return b.Err()
	case err == nil && !b.Done():
		return errs.E(errs.Internal, "the store answered before it had read all of the body")
	default:
		return err
	}
}

// done answers without a body.
func (c *call) done(status int) {
	if status != http.StatusNoContent {
		c.w.length(0)
	}
	c.w.WriteHeader(status)
}

// document reads a request's body that is an XML document of at most limit
// bytes.
func (c *call) document(h http.Header, limit int64) ([]byte, error) {
	b, err := c.body(h)
	if err != nil {
		return nil, err
	}
	if b.Size > limit {
		return nil, s3err.MalformedXML.Msg("The document has %d bytes, at most %d are allowed.", b.Size, limit)
	}
	return io.ReadAll(b)
}

// Bounds of documents, in bytes. Ten thousand parts with their checksums take
// about 1.6 MiB.
const (
	maxDocument = 1 << 20
	maxListing  = 2 << 20 // of those that name keys or parts
)

// noCondition refuses conditions on operations that have none.
func (c *call) noCondition() error {
	cond, err := precond.Write(c.header)
	if err == nil && cond != (blob.Condition{}) {
		err = s3err.NotImplemented.Msg("%s has no conditions.", c.op.Op)
	}
	return err
}
