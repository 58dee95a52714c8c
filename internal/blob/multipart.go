package blob

import (
	"context"
	"io"
	"strings"

	"github.com/sparecloud/spare/internal/errs"
)

// CreateUpload begins a multipart upload: see [Multipart].
func (b *Bucket) CreateUpload(ctx context.Context, key string, o PutOptions) (string, error) {
	k, err := b.key(key)
	if err == nil {
		err = o.check()
	}
	if err == nil && o.If.Set() {
		err = errs.E(errs.Invalid, "the condition belongs to CompleteUpload")
	}
	if err != nil {
		return "", b.refused("create_upload", key, err)
	}
	id, err := b.drv.CreateUpload(ctx, k, o)
	return id, b.done("create_upload", key, err)
}

// UploadPart sends a part: see [Multipart]. body must end after size bytes, as
// in [Bucket.Put].
func (b *Bucket) UploadPart(ctx context.Context, key, id string, number int, body io.Reader, size int64) (Part, error) {
	k, err := b.key(key)
	if err == nil {
		err = checkSize(size)
	}
	if err == nil && (number < 1 || number > MaxParts) {
		err = errs.E(errs.Invalid, "part number %d is not between 1 and %d", number, MaxParts)
	}
	if err == nil {
		body, err = b.start(body, size)
	}
	if err != nil {
		return Part{}, b.refused("upload_part", key, err)
	}
	p, err := b.drv.UploadPart(ctx, k, id, number, body, size)
	return p, b.done("upload_part", key, err)
}

// CompleteUpload makes the object: see [Multipart].
func (b *Bucket) CompleteUpload(ctx context.Context, key, id string, parts []Part, c Condition) (Object, error) {
	k, err := b.key(key)
	if err == nil {
		err = checkParts(parts)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return Object{}, b.refused("complete_upload", key, err)
	}
	obj, err := b.drv.CompleteUpload(ctx, k, id, parts, c)
	return b.object("complete_upload", key, obj, err)
}

// AbortUpload forgets an upload: see [Multipart].
func (b *Bucket) AbortUpload(ctx context.Context, key, id string) error {
	k, err := b.key(key)
	if err != nil {
		return b.refused("abort_upload", key, err)
	}
	return b.done("abort_upload", key, b.drv.AbortUpload(ctx, k, id))
}

// ListParts gives an upload's parts: see [Multipart].
func (b *Bucket) ListParts(ctx context.Context, key, id string, after, limit int) ([]Part, bool, error) {
	k, err := b.key(key)
	if err != nil {
		return nil, false, b.refused("list_parts", key, err)
	}
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	parts, more, err := b.drv.ListParts(ctx, k, id, max(after, 0), limit)
	return parts, more, b.done("list_parts", key, err)
}

// ListUploads gives the uploads that were begun: see [Multipart].
func (b *Bucket) ListUploads(ctx context.Context, prefix string) ([]Upload, error) {
	if err := b.within(prefix, ""); err != nil {
		return nil, b.refused("list_uploads", prefix, err)
	}
	all, err := b.drv.ListUploads(ctx, b.prefix+prefix)
	for i := range all {
		key, ok := strings.CutPrefix(all[i].Key, b.prefix)
		if !ok {
			err = errs.Wrap(errs.Internal, ErrSuspect, "an upload of %q came in a listing of %q", all[i].Key, b.prefix+prefix)
			break
		}
		all[i].Key = key
	}
	if err := b.done("list_uploads", prefix, err); err != nil {
		return nil, err
	}
	return all, nil
}
