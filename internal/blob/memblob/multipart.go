package memblob

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// upload is a multipart upload under way. The lock is over it.
type upload struct {
	blob.Upload
	o     blob.PutOptions
	parts map[int]*part
}

// part is one part. It never changes.
type part struct {
	blob.Part
	body []byte
	md5  [md5.Size]byte
}

// CreateUpload implements [blob.Multipart].
func (d *Driver) CreateUpload(ctx context.Context, key string, o blob.PutOptions) (string, error) {
	if err := ready(ctx, key); err != nil {
		return "", err
	}
	if o.If.Set() {
		return "", errs.E(errs.Invalid, "the condition belongs to CompleteUpload")
	}
	o.Meta = maps.Clone(o.Meta)
	d.mu.Lock()
	defer d.mu.Unlock()
	u := &upload{Upload: blob.Upload{Key: key, ID: d.id("u"), Started: now()}, o: o, parts: map[int]*part{}}
	d.state.uploads[u.ID] = u
	return u.ID, nil
}

// UploadPart implements [blob.Multipart].
func (d *Driver) UploadPart(ctx context.Context, key, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	if err := ready(ctx, key); err != nil {
		return blob.Part{}, err
	}
	if number < 1 || number > blob.MaxParts {
		return blob.Part{}, errs.E(errs.Invalid, "part number %d is not between 1 and %d", number, blob.MaxParts)
	}
	data, err := take(ctx, body, size)
	if err != nil {
		return blob.Part{}, err
	}
	p := &part{body: data, md5: md5.Sum(data)}
	p.Part = blob.Part{Number: number, Size: size, ETag: hex.EncodeToString(p.md5[:])}
	d.mu.Lock()
	defer d.mu.Unlock()
	u, err := d.upload(key, id)
	if err != nil {
		return blob.Part{}, err
	}
	if d.o.Tags == blob.ClassUnique {
		p.ETag = d.id("t")
	}
	p.Modified = now()
	u.parts[number] = p
	return p.Part, nil
}

// upload gives an upload under way. The lock is held.
func (d *Driver) upload(key, id string) (*upload, error) {
	u := d.state.uploads[id]
	if u == nil || u.Key != key {
		return nil, errs.Wrap(errs.NotFound, blob.ErrNoUpload, "upload %.64q", id)
	}
	return u, nil
}

// CompleteUpload implements [blob.Multipart].
func (d *Driver) CompleteUpload(ctx context.Context, key, id string, parts []blob.Part, c blob.Condition) (blob.Object, error) {
	if err := d.may(ctx, key, c); err != nil {
		return blob.Object{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	u, err := d.upload(key, id)
	if err != nil {
		return blob.Object{}, err
	}
	chosen, err := d.choose(u, parts)
	if err != nil {
		return blob.Object{}, err
	}
	if err := d.holds(key, c); err != nil {
		return blob.Object{}, err
	}
	var all bytes.Buffer
	for _, p := range chosen {
		_, _ = all.Write(p.body) // a buffer takes all
	}
	delete(d.state.uploads, id)
	return d.store(&version{body: all.Bytes(), Object: blob.Object{
		Key: key, Size: int64(all.Len()), ETag: sums(chosen), Parts: len(chosen), Header: u.o.Header, Meta: u.o.Meta,
	}}), nil
}

// choose gives the upload's parts that are named.
func (d *Driver) choose(u *upload, named []blob.Part) ([]*part, error) {
	if len(named) == 0 {
		return nil, errs.Wrap(errs.Invalid, blob.ErrPart, "no part is named")
	}
	chosen := make([]*part, 0, len(named))
	for i, n := range named {
		p := u.parts[n.Number]
		switch {
		case i > 0 && n.Number <= named[i-1].Number:
			return nil, errs.E(errs.Invalid, "part %d is named behind part %d", n.Number, named[i-1].Number)
		case p == nil || p.ETag != n.ETag:
			return nil, errs.Wrap(errs.Invalid, blob.ErrPart, "part %d with ETag %q", n.Number, n.ETag)
		case i < len(named)-1 && p.Size < d.o.MinPart:
			return nil, errs.Wrap(errs.Invalid, blob.ErrTooSmall, "part %d has %d bytes", n.Number, p.Size)
		}
		chosen = append(chosen, p)
	}
	return chosen, nil
}

// AbortUpload implements [blob.Multipart].
func (d *Driver) AbortUpload(ctx context.Context, key, id string) error {
	if err := ready(ctx, key); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.upload(key, id); err != nil {
		return err
	}
	delete(d.state.uploads, id)
	return nil
}

// ListParts implements [blob.Multipart].
func (d *Driver) ListParts(ctx context.Context, key, id string, after, limit int) ([]blob.Part, bool, error) {
	if err := ready(ctx, key); err != nil {
		return nil, false, err
	}
	if limit <= 0 || limit > blob.MaxPage {
		limit = blob.MaxPage
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	u, err := d.upload(key, id)
	if err != nil {
		return nil, false, err
	}
	var found []blob.Part
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		if n <= after {
			continue
		}
		if len(found) == limit {
			return found, true, nil
		}
		found = append(found, u.parts[n].Part)
	}
	return found, false, nil
}

// ListUploads implements [blob.Multipart].
func (d *Driver) ListUploads(ctx context.Context, prefix string) ([]blob.Upload, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []blob.Upload
	for _, id := range slices.Sorted(maps.Keys(d.state.uploads)) { // ids rise with time
		if u := d.state.uploads[id]; strings.HasPrefix(u.Key, prefix) {
			found = append(found, u.Upload)
		}
	}
	slices.SortStableFunc(found, func(a, b blob.Upload) int { return strings.Compare(a.Key, b.Key) })
	return found, nil
}
