package replica

import (
	"context"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Delete writes that there is no such object. Where none is known that costs a
// read only. Errors are as of [Bucket.Put].
func (b *Bucket) Delete(ctx context.Context, key string, o blob.DeleteOptions) error {
	if err := b.checkKey(key); err != nil {
		return err
	}
	if o.If.Set() {
		return unsupported("conditional deletes")
	}
	if o.Version != "" {
		return unsupported("versions")
	}
	s, err := b.ask(ctx, key)
	if err != nil {
		return err
	}
	if s.same && !s.most.live() && (s.most != nil || b.o.Adopt == "") {
		return nil // a read found that there is nothing to delete
	}
	h := &head{
		stamp: stamp{s.most.at().Counter + 1, newOp(ctx)}, Key: key, Deleted: true,
		Modified: time.Now().UTC().Truncate(time.Millisecond),
	}
	if err := b.write(ctx, s, h); err != nil {
		return err
	}
	b.plain.wish(ctx, h)
	b.reclaim(key, s.most)
	return nil
}

// Copy writes the bytes of src under dst. The bytes pass here and are checked:
// what is copied is what a read of src gives at that moment.
func (b *Bucket) Copy(ctx context.Context, dst, src string, o blob.CopyOptions) (blob.Object, error) {
	if dst == src {
		return blob.Object{}, unsupported("copies of an object onto itself")
	}
	if o.Version != "" {
		return blob.Object{}, unsupported("versions")
	}
	r, err := b.Get(ctx, src, blob.GetOptions{Match: o.Match})
	if err != nil {
		return blob.Object{}, err
	}
	defer func() { _ = r.Close() }()
	put := blob.PutOptions{Header: r.Header, Meta: r.Meta, Sums: func() blob.Sums { return r.Sums }}
	if o.Replace != nil {
		put.Header, put.Meta, put.If = o.Replace.Header, o.Replace.Meta, o.Replace.If
	}
	if r.Size > blob.MaxPut {
		return blob.Object{}, errs.E(errs.Invalid, "copy %q: it has %d bytes, at most %d can be copied at once", src, r.Size, int64(blob.MaxPut))
	}
	return b.Put(ctx, dst, r.Body, r.Size, put)
}
