package faultblob

import (
	"context"
	"io"
	"slices"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// play makes the call as its fault wants it. held is the bytes of memory that
// the call holds if it is made late.
func play[T any](ctx context.Context, d *Driver, f Fault, method string, held int64, call func(context.Context) (T, error)) (T, error) {
	var none T
	switch f.Kind {
	case Late:
		d.late.later(ctx, f.Delay, held, func(ctx context.Context) {
			_, _ = call(ctx) // whoever wanted to know is told already
		})
	case Lost:
		if _, err := call(ctx); err != nil && !errs.Is(err, errs.Conflict) && !errs.Is(err, errs.NotFound) {
			return none, err
		}
	default:
		return call(ctx)
	}
	return none, unknown(method, errs.E(errs.Unavailable, "no answer came (injected)"))
}

// Head implements [blob.Driver].
func (d *Driver) Head(ctx context.Context, key string) (blob.Object, error) {
	f, err := d.enter(ctx, "head", key, nil, 0)
	if err != nil {
		return blob.Object{}, err
	}
	return play(ctx, d, f, "head", 0, func(ctx context.Context) (blob.Object, error) { return d.drv.Head(ctx, key) })
}

// Get implements [blob.Driver].
func (d *Driver) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	f, err := d.enter(ctx, "get", key, nil, 0)
	if err != nil {
		return nil, err
	}
	return play(ctx, d, f, "get", 0, func(ctx context.Context) (*blob.Reader, error) {
		r, err := d.drv.Get(ctx, key, o)
		if err != nil {
			return nil, err
		}
		if f.Kind == Lost {
			return nil, r.Close()
		}
		r.Body = d.spoil(ctx, f, r)
		return r, nil
	})
}

// Put implements [blob.Driver].
func (d *Driver) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	f, err := d.enter(ctx, "put", key, body, size)
	if err == nil && f.Kind == Late {
		body, o, err = kept(ctx, body, size, o)
	}
	if err != nil {
		return blob.Object{}, err
	}
	return play(ctx, d, f, "put", size, func(ctx context.Context) (blob.Object, error) { return d.drv.Put(ctx, key, body, size, o) })
}

// Copy implements [blob.Driver]. Its source's faults do not count.
func (d *Driver) Copy(ctx context.Context, dst string, from blob.Driver, src string, o blob.CopyOptions) (blob.Object, error) {
	f, err := d.enter(ctx, "copy", dst, nil, 0)
	if err != nil {
		return blob.Object{}, err
	}
	if wrapped, ok := from.(*Driver); ok {
		from = wrapped.drv
	}
	if f.Kind == Late && o.Replace != nil {
		own := ownOptions(*o.Replace)
		o.Replace = &own
	}
	return play(ctx, d, f, "copy", 0, func(ctx context.Context) (blob.Object, error) { return d.drv.Copy(ctx, dst, from, src, o) })
}

// Delete implements [blob.Driver].
func (d *Driver) Delete(ctx context.Context, key string, o blob.DeleteOptions) error {
	return d.simple(ctx, "delete", key, func(ctx context.Context) error { return d.drv.Delete(ctx, key, o) })
}

// simple is a call that gives an error only.
func (d *Driver) simple(ctx context.Context, method, key string, call func(context.Context) error) error {
	f, err := d.enter(ctx, method, key, nil, 0)
	if err != nil {
		return err
	}
	_, err = play(ctx, d, f, method, 0, func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
	return err
}

// List implements [blob.Driver].
func (d *Driver) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	f, err := d.enter(ctx, "list", o.Prefix, nil, 0)
	if err != nil {
		return blob.Page{}, err
	}
	return play(ctx, d, f, "list", 0, func(ctx context.Context) (blob.Page, error) { return d.drv.List(ctx, o) })
}

// Make implements [blob.Maker] if the driver below does.
func (d *Driver) Make(ctx context.Context) error {
	m, ok := d.drv.(blob.Maker)
	if !ok {
		return errs.E(errs.Unsupported, "buckets cannot be made here")
	}
	return d.simple(ctx, "make", "", m.Make)
}

// CreateUpload implements [blob.Multipart].
func (d *Driver) CreateUpload(ctx context.Context, key string, o blob.PutOptions) (string, error) {
	f, err := d.enter(ctx, "create_upload", key, nil, 0)
	if err != nil {
		return "", err
	}
	if f.Kind == Late {
		o = ownOptions(o)
	}
	return play(ctx, d, f, "create_upload", 0, func(ctx context.Context) (string, error) { return d.drv.CreateUpload(ctx, key, o) })
}

// UploadPart implements [blob.Multipart].
func (d *Driver) UploadPart(ctx context.Context, key, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	f, err := d.enter(ctx, "upload_part", key, body, size)
	if err == nil && f.Kind == Late {
		body, _, err = kept(ctx, body, size, blob.PutOptions{})
	}
	if err != nil {
		return blob.Part{}, err
	}
	return play(ctx, d, f, "upload_part", size, func(ctx context.Context) (blob.Part, error) {
		return d.drv.UploadPart(ctx, key, id, number, body, size)
	})
}

// CompleteUpload implements [blob.Multipart].
func (d *Driver) CompleteUpload(ctx context.Context, key, id string, parts []blob.Part, c blob.Condition) (blob.Object, error) {
	f, err := d.enter(ctx, "complete_upload", key, nil, 0)
	if err != nil {
		return blob.Object{}, err
	}
	parts = slices.Clone(parts)
	return play(ctx, d, f, "complete_upload", 0, func(ctx context.Context) (blob.Object, error) {
		return d.drv.CompleteUpload(ctx, key, id, parts, c)
	})
}

// AbortUpload implements [blob.Multipart].
func (d *Driver) AbortUpload(ctx context.Context, key, id string) error {
	return d.simple(ctx, "abort_upload", key, func(ctx context.Context) error { return d.drv.AbortUpload(ctx, key, id) })
}

// ListParts implements [blob.Multipart].
func (d *Driver) ListParts(ctx context.Context, key, id string, after, limit int) ([]blob.Part, bool, error) {
	f, err := d.enter(ctx, "list_parts", key, nil, 0)
	if err != nil {
		return nil, false, err
	}
	var more bool
	parts, err := play(ctx, d, f, "list_parts", 0, func(ctx context.Context) (parts []blob.Part, err error) {
		parts, more, err = d.drv.ListParts(ctx, key, id, after, limit)
		return parts, err
	})
	return parts, more && err == nil, err
}

// ListUploads implements [blob.Multipart].
func (d *Driver) ListUploads(ctx context.Context, prefix string) ([]blob.Upload, error) {
	f, err := d.enter(ctx, "list_uploads", prefix, nil, 0)
	if err != nil {
		return nil, err
	}
	return play(ctx, d, f, "list_uploads", 0, func(ctx context.Context) ([]blob.Upload, error) { return d.drv.ListUploads(ctx, prefix) })
}
