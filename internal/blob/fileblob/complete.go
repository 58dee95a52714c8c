package fileblob

import (
	"context"
	"crypto/md5" // what S3 makes its tags of; nothing relies on it as a safe hash
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// CompleteUpload implements [blob.Multipart]. The parts are copied into one
// file, by the kernel where it can, so that the disk must have room for the
// object once more. Checksums that the parts declare are checked, which takes
// reading them. When the answer to a completion was lost and the object is
// still the one that it made, completing again succeeds.
func (d *Driver) CompleteUpload(ctx context.Context, key, id string, parts []blob.Part, on blob.Condition) (blob.Object, error) {
	f, p, err := d.ready(ctx, key)
	if err != nil {
		return blob.Object{}, err
	}
	u, err := d.upload(f, key, id)
	if err != nil {
		return d.completed(ctx, f, p, id, err)
	}
	if err := f.choose(id, parts); err != nil {
		return blob.Object{}, err
	}
	t, err := d.newTemp(f)
	if err != nil {
		return blob.Object{}, err
	}
	defer t.drop()
	c := &change{p: p, body: t, on: on}
	c.attrs = attrs{Header: u.Header, Meta: u.Meta, Parts: len(parts), Upload: id}
	if err := t.join(ctx, id, parts, &c.attrs); err != nil {
		return d.completed(ctx, f, p, id, err)
	}
	c.still = func() error {
		_, err := d.upload(f, key, id)
		return err
	}
	c.after = func() {
		if err := d.endUpload(f, id); err != nil { // it is swept
			d.log.Warn("upload that is complete not removed", "key", key, "upload", id, "err", err)
		}
	}
	obj, err := d.commit(ctx, f, c)
	if err != nil {
		return d.completed(ctx, f, p, id, err)
	}
	return obj, nil
}

// completed gives the object if the upload is gone because it made it.
func (d *Driver) completed(ctx context.Context, f *folder, p place, id string, err error) (blob.Object, error) {
	if !errors.Is(err, blob.ErrNoUpload) || !isID(id) {
		return blob.Object{}, err
	}
	s, viewErr := d.view(ctx, f, p, false)
	if errs.Is(viewErr, errs.NotFound) || viewErr == nil && s.attrs.Upload != id {
		return blob.Object{}, err
	}
	if viewErr != nil {
		return blob.Object{}, viewErr
	}
	return s.object(p.key), nil
}

// choose says whether the parts that are named are there, before any is
// copied.
func (f *folder) choose(id string, named []blob.Part) error {
	if len(named) == 0 {
		return errs.Wrap(errs.Invalid, blob.ErrPart, "no part is named")
	}
	for i, n := range named {
		if i > 0 && n.Number <= named[i-1].Number {
			return errs.E(errs.Invalid, "part %d is named behind part %d", n.Number, named[i-1].Number)
		}
		file, _, err := f.chosen(id, n)
		if err != nil {
			return err
		}
		_ = file.Close() // only read
	}
	return nil
}

// chosen opens a part if it is the one that is named.
func (f *folder) chosen(id string, n blob.Part) (*os.File, int64, error) {
	if n.Number < 1 || n.Number > blob.MaxParts {
		return nil, 0, errs.Wrap(errs.Invalid, blob.ErrPart, "part %d", n.Number)
	}
	p, file, err := f.part(id, n.Number)
	switch {
	case gone(err):
		return nil, 0, errs.Wrap(errs.Invalid, blob.ErrPart, "part %d was not uploaded", n.Number)
	case err != nil:
		return nil, 0, failed(err, "read part %d", n.Number)
	case p.ETag != n.ETag:
		_ = file.Close() // only read
		return nil, 0, errs.Wrap(errs.Invalid, blob.ErrPart, "part %d has ETag %q, not %q", n.Number, p.ETag, n.ETag)
	}
	return file, p.Size, nil
}

// join writes the parts behind each other, and gives the ETag that S3 gives:
// the MD5 of the parts' MD5s, and how many they are.
func (t *temp) join(ctx context.Context, id string, parts []blob.Part, a *attrs) error {
	tags := md5.New()
	sums := newComposite(parts)
	for _, n := range parts {
		file, size, err := t.f.chosen(id, n)
		if err != nil {
			if _, gone := t.d.upload(t.f, "", id); gone != nil {
				return gone
			}
			return err
		}
		err = t.part(ctx, file, size, n, sums)
		_ = file.Close() // only read
		if err != nil {
			return err
		}
		raw, err := hex.DecodeString(n.ETag)
		if err != nil {
			return errs.Wrap(errs.Invalid, blob.ErrPart, "part %d", n.Number)
		}
		_, _ = tags.Write(raw) // a hash takes all
	}
	a.ETag = fmt.Sprintf("%x-%d", tags.Sum(nil), len(parts))
	a.Sums = sums.result(len(parts))
	return nil
}

// part appends a part, and checks the checksums that it declares.
func (t *temp) part(ctx context.Context, file *os.File, size int64, n blob.Part, sums composite) error {
	check := newCheck(n.Sums)
	if len(check) == 0 {
		return t.clone(ctx, file, size)
	}
	if err := t.fill(ctx, file, size, check); err != nil {
		return err
	}
	if err := check.compare(n); err != nil {
		return err
	}
	sums.add(check)
	return nil
}
