package fileblob

import (
	"context"
	"io"
	"io/fs"
	"os"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Head implements [blob.Driver].
func (d *Driver) Head(ctx context.Context, key string) (blob.Object, error) {
	f, p, err := d.ready(ctx, key)
	if err != nil {
		return blob.Object{}, err
	}
	s, err := d.view(ctx, f, p, false)
	if err != nil {
		return blob.Object{}, err
	}
	return s.object(key), nil
}

// ready gives the bucket and the place of a key.
func (d *Driver) ready(ctx context.Context, key string) (*folder, place, error) {
	if err := ended(ctx); err != nil {
		return nil, place{}, err
	}
	p, err := locate(key)
	if err != nil {
		return nil, place{}, err
	}
	f, err := d.folder()
	return f, p, err
}

// Get implements [blob.Driver]. Body gives the bytes of one write, however
// often the object is overwritten meanwhile. It fails once ctx has ended, and
// if another program changes the file in place.
func (d *Driver) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	f, p, err := d.ready(ctx, key)
	if err != nil {
		return nil, err
	}
	s, err := d.source(ctx, f, p, o.Version, o.Match)
	if err != nil {
		return nil, err
	}
	size := s.info.Size()
	offset, length, ok := int64(0), size, true
	if o.Range != nil {
		offset, length, ok = o.Range.Resolve(size)
	}
	if !ok {
		s.close()
		return nil, errs.Wrap(errs.Invalid, blob.ErrRange, "the object has %d bytes", size)
	}
	return &blob.Reader{
		Object: s.object(key), Offset: offset, Length: length, Partial: o.Range != nil,
		Body: &body{ctx: ctx, file: s.file, info: s.info, at: offset, left: length},
	}, nil
}

// source opens an object for reading.
func (d *Driver) source(ctx context.Context, f *folder, p place, version, match string) (sight, error) {
	s, err := d.view(ctx, f, p, true)
	switch {
	case err != nil:
		return sight{}, err
	case version != "":
		err = errs.E(errs.NotFound, "there is no version %q of the object: a folder keeps none", version)
	case match != "" && s.attrs.ETag != match:
		err = errs.E(errs.Conflict, "the object has ETag %q, not %q", s.attrs.ETag, match)
	}
	if err != nil {
		s.close()
		return sight{}, err
	}
	return s, nil
}

// body reads a part of a file. The file stays the same when the object is
// overwritten or deleted, because both only change the name.
type body struct {
	ctx  context.Context
	file *os.File
	info fs.FileInfo // when it was opened
	at   int64
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	if err := ended(b.ctx); err != nil {
		return 0, err
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.file.ReadAt(p, b.at)
	if n < len(p) {
		if err == io.EOF {
			return n, io.ErrUnexpectedEOF
		}
		return n, failed(err, "read the object")
	}
	if int64(n) == b.left { // before the last bytes are given: is it still one write's?
		if err := unchanged(b.file, b.info); err != nil {
			return 0, err
		}
	}
	b.at += int64(n)
	b.left -= int64(n)
	return n, nil
}

func (b *body) Close() error {
	_ = b.file.Close() // only read; closed twice is closed
	return nil
}
