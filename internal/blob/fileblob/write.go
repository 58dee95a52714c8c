package fileblob

import (
	"context"
	"crypto/md5" // what S3 makes its tags of; nothing relies on it as a safe hash
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"maps"
	"os"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Put implements [blob.Driver].
func (d *Driver) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	f, p, err := d.ready(ctx, key)
	if err != nil {
		return blob.Object{}, err
	}
	if size < 0 || size > blob.MaxPut {
		return blob.Object{}, errs.E(errs.Invalid, "the body's size is %d bytes, it must be known and at most %d", size, int64(blob.MaxPut))
	}
	t, err := d.newTemp(f)
	if err != nil {
		return blob.Object{}, err
	}
	defer t.drop()
	sum := md5.New()
	if err := t.fill(ctx, body, size, sum); err != nil {
		return blob.Object{}, err
	}
	a := attrs{ETag: tag(sum), Header: o.Header, Meta: maps.Clone(o.Meta)}
	if o.Sums != nil {
		a.Sums = maps.Clone(o.Sums())
	}
	return d.commit(ctx, f, &change{p: p, body: t, attrs: a, on: o.If})
}

func tag(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)) }

// Copy implements [blob.Driver]. from may be any folder on this machine. The
// kernel copies the bytes where it can, which on some file systems takes no
// space. As at S3, the copy of a multipart object is an object in one piece,
// and a copy onto itself must change something.
func (d *Driver) Copy(ctx context.Context, dst string, from blob.Driver, src string, o blob.CopyOptions) (blob.Object, error) {
	source, ok := from.(*Driver)
	if !ok {
		return blob.Object{}, errs.E(errs.Unsupported, "a copy must come from a folder, not from %T", from)
	}
	if source == d && dst == src && o.Replace == nil && o.Version == "" {
		return blob.Object{}, errs.E(errs.Invalid, "a copy of an object onto itself changes nothing")
	}
	f, p, err := d.ready(ctx, dst)
	if err != nil {
		return blob.Object{}, err
	}
	sf, sp, err := source.ready(ctx, src)
	if err != nil {
		return blob.Object{}, err
	}
	s, err := source.source(ctx, sf, sp, o.Version, o.Match)
	if err != nil {
		return blob.Object{}, err
	}
	defer s.close()
	t, err := d.newTemp(f)
	if err != nil {
		return blob.Object{}, err
	}
	defer t.drop()
	c := &change{p: p, body: t, attrs: *s.attrs}
	c.attrs.Upload = ""
	if err := t.copy(ctx, &s, &c.attrs); err != nil {
		return blob.Object{}, err
	}
	if o.Replace != nil {
		c.on, c.attrs.Header, c.attrs.Meta = o.Replace.If, o.Replace.Header, maps.Clone(o.Replace.Meta)
	}
	return d.commit(ctx, f, c)
}

// copy takes the bytes of another object, and makes its attributes those of an
// object in one piece.
func (t *temp) copy(ctx context.Context, s *sight, a *attrs) error {
	if a.Parts == 0 {
		if err := t.clone(ctx, s.file, s.info.Size()); err != nil {
			return err
		}
		return unchanged(s.file, s.info)
	}
	sum := md5.New()
	if err := t.fill(ctx, io.NewSectionReader(s.file, 0, s.info.Size()), s.info.Size(), sum); err != nil {
		return err
	}
	a.ETag, a.Parts, a.Sums = tag(sum), 0, nil
	return unchanged(s.file, s.info)
}

// cloneStep is how many bytes the kernel copies before it is asked whether the
// caller still waits.
const cloneStep = 64 << 20

// clone appends the next size bytes of a file (copy_file_range where there is
// one).
func (t *temp) clone(ctx context.Context, from *os.File, size int64) error {
	if err := t.d.step("write body"); err != nil {
		return failed(err, "write the body")
	}
	for size > 0 {
		if err := ended(ctx); err != nil {
			return err
		}
		n, err := io.CopyN(t.file, from, min(size, cloneStep))
		size -= n
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return failed(err, "copy the body")
		}
	}
	return ended(ctx)
}

// Delete implements [blob.Driver].
func (d *Driver) Delete(ctx context.Context, key string, o blob.DeleteOptions) error {
	f, p, err := d.ready(ctx, key)
	if err != nil {
		return err
	}
	if err := f.writable(); err != nil {
		return err
	}
	if o.Version != "" {
		return nil // there is none
	}
	err = d.remove(ctx, f, p, o.If)
	if err == nil {
		d.prune(f, p)
	}
	return err
}

func (d *Driver) remove(ctx context.Context, f *folder, p place, on blob.Condition) error {
	unlock, err := d.lock(ctx, f, p.stripe)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.step("check"); err != nil {
		return failed(err, "delete")
	}
	s, err := d.current(ctx, f, p, on)
	if err == nil {
		err = s.holds(on)
	}
	if err != nil || s.info == nil {
		return err
	}
	if err := d.removeFiles(f, p); err != nil {
		return err
	}
	if err := d.last(f, p); err != nil {
		return err
	}
	if err := d.step("drop record"); err != nil {
		return nil //nolint:nilerr // the object is gone for good: what is left means nothing
	}
	f.dropRecord(p)
	return nil
}

// removeFiles removes an object's file. One beside a folder goes first: while
// there are both, which only others can bring about, its own name decides.
func (d *Driver) removeFiles(f *folder, p place) error {
	dir, err := f.descend(p.dirs)
	if err != nil {
		return failed(err, "delete")
	}
	defer func() { _ = dir.Close() }()
	for _, name := range []string{p.aside, p.name} {
		info, err := dir.Lstat(name)
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		if err := d.step("remove body"); err != nil {
			return failed(err, "delete")
		}
		if err := dir.Remove(name); err != nil && !gone(err) {
			return maybe(failed(err, "delete"))
		}
	}
	return nil
}

// errNoUpload is the error of an upload that is not there.
func errNoUpload(id string) error {
	return errs.Wrap(errs.NotFound, blob.ErrNoUpload, "upload %.64q", id)
}
