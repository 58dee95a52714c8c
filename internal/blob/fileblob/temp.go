package fileblob

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// temp is a body that is being written, in the folder of temporary files.
type temp struct {
	d    *Driver
	f    *folder
	name string
	file *os.File
	info fs.FileInfo // of the finished file
}

func (d *Driver) newTemp(f *folder) (*temp, error) {
	if err := f.writable(); err != nil {
		return nil, err
	}
	if err := d.step("create body"); err != nil {
		return nil, failed(err, "write the body")
	}
	t := &temp{d: d, f: f, name: newID()}
	file, err := f.temps.OpenFile(t.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if gone(err) {
		return nil, errors.Join(d.lost(f), failed(err, "write the body"))
	}
	if err != nil {
		return nil, failed(err, "write the body")
	}
	t.file = file
	return t, nil
}

// path gives the name from the bucket's folder on.
func (t *temp) path() string { return path.Join(metaDir, tempDir, t.name) }

// drop closes the file, and removes it unless it was renamed.
func (t *temp) drop() {
	_ = t.file.Close()           // what matters was flushed
	_ = t.f.temps.Remove(t.name) // what stays is swept
}

// finish flushes the bytes to the disk under a time of change that no other
// write of the key has: newer than all that are given, in ns.
func (t *temp) finish(used []int64) error {
	if err := t.d.step("stamp body"); err != nil {
		return failed(err, "write the body")
	}
	if err := t.setStamp(used); err != nil {
		return failed(err, "write the body")
	}
	if err := t.d.step("sync body"); err != nil {
		return failed(err, "write the body")
	}
	if err := flush(t.file); err != nil {
		return failed(err, "write the body")
	}
	return nil
}

// farFuture is how far ahead a time of change may be and still be followed: a
// clock that was set back must not make all later writes look new for years.
const farFuture = 24 * time.Hour

// setStamp sets the time of change and reads back what the file system made of
// it, because not all keep nanoseconds.
func (t *temp) setStamp(used []int64) error {
	at := time.Now()
	for _, ns := range used {
		if u := time.Unix(0, ns); !u.Before(at) && u.Sub(at) < farFuture {
			at = u.Add(1)
		}
	}
	for step := time.Microsecond; ; step *= 10 {
		if err := t.f.temps.Chtimes(t.name, at, at); err != nil {
			return err
		}
		info, err := t.file.Stat()
		if err != nil {
			return err
		}
		if t.info = info; t.fresh(used) {
			return nil
		}
		if step > time.Hour {
			return errs.E(errs.Internal, "the file system gives all files one time of change")
		}
		at = at.Add(step)
	}
}

// fresh says whether the time of change is one that no other write has.
func (t *temp) fresh(used []int64) bool {
	for _, ns := range used {
		if ahead := time.Unix(0, ns).Sub(t.info.ModTime()); ahead >= 0 && ahead < farFuture {
			return false
		}
	}
	return true
}

const copyBuffer = 256 << 10

// fill writes size bytes of body, and gives them to w as well.
func (t *temp) fill(ctx context.Context, body io.Reader, size int64, w io.Writer) error {
	if err := t.d.step("write body"); err != nil {
		return failed(err, "write the body")
	}
	buf := make([]byte, min(copyBuffer, max(size, 1)))
	n, err := copyBytes(ctx, io.MultiWriter(&diskWriter{t.file}, w), io.LimitReader(body, size), buf)
	var disk *diskError
	switch {
	case errors.As(err, &disk):
		return failed(disk.err, "write the body")
	case err != nil:
		return errs.Wrap(errs.KindOf(err), err, "read the body")
	case n < size:
		return errs.Wrap(errs.Invalid, blob.ErrShort, "%d bytes are missing", size-n)
	}
	return ended(ctx)
}

// diskWriter tells failures of the disk from those of the body.
type diskWriter struct{ w io.Writer }

type diskError struct{ err error }

func (e *diskError) Error() string { return e.err.Error() }
func (e *diskError) Unwrap() error { return e.err }

func (w *diskWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if err != nil {
		err = &diskError{err}
	}
	return n, err
}

// copyBytes is io.CopyBuffer that stops when ctx ends.
func copyBytes(ctx context.Context, dst io.Writer, src io.Reader, buf []byte) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{dst}, &alive{ctx, src}, buf)
}

type alive struct {
	ctx context.Context
	r   io.Reader
}

func (a *alive) Read(p []byte) (int, error) {
	if err := ended(a.ctx); err != nil {
		return 0, err
	}
	return a.r.Read(p)
}
