package fileblob

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// sight is an object as it was found.
type sight struct {
	info   fs.FileInfo // of its file
	name   string      // of its file, in its folder
	attrs  *attrs      // nil = the file was put there by others
	record *record     // all that the attributes' file holds, or nil
	file   *os.File    // nil unless it was asked for
}

func (s *sight) close() {
	if s.file != nil {
		_ = s.file.Close() // only read
		s.file = nil
	}
}

// look finds an object and its attributes. They belong together whatever
// writes go on; but "put there by others" is certain only under the lock.
// errAbsent: there is none. An error of attributes comes with the rest of the
// sight.
func (f *folder) look(p place, open bool) (sight, error) {
	dir, err := f.descend(p.dirs)
	if gone(err) {
		return sight{}, errAbsent
	}
	if err != nil {
		return sight{}, failed(err, "look for the object")
	}
	defer func() { _ = dir.Close() }()
	s, err := find(dir, p, open)
	if err != nil {
		return sight{}, err
	}
	s.record, err = f.record(p)
	s.attrs = s.record.match(s.info)
	if err != nil && !errors.Is(err, errDamaged) {
		err = failed(err, "read the attributes")
	}
	return s, err
}

// find finds an object's file: by its own name first. It is moved from there
// to its aside name and never back, so that it is not missed.
func find(dir *os.Root, p place, open bool) (sight, error) {
	for _, name := range []string{p.name, p.aside} {
		info, err := dir.Lstat(name)
		if err == nil && info.Mode().IsRegular() {
			s := sight{info: info, name: name}
			if open {
				err = s.open(dir)
			}
			if err == nil {
				return s, nil
			}
		}
		if err != nil && !gone(err) && !errors.Is(err, syscall.ENAMETOOLONG) {
			return sight{}, failed(err, "look for the object")
		}
	}
	return sight{}, errAbsent
}

// open opens the file that was seen, or the one that replaced it.
func (s *sight) open(dir *os.Root) error {
	file, err := dir.OpenFile(s.name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would block
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	s.file, s.info = file, info
	return nil
}

// view gives an object with its ETag, as it is on the disk for good. NotFound:
// the bucket is there, and the object is not.
func (d *Driver) view(ctx context.Context, f *folder, p place, open bool) (sight, error) {
	s, err := d.viewed(ctx, f, p, open)
	if err == nil || errors.Is(err, errAbsent) {
		if err := d.settled(ctx, f, p.stripe); err != nil {
			s.close()
			return sight{}, err
		}
	}
	if errors.Is(err, errAbsent) {
		if err := d.lost(f); err != nil {
			return sight{}, err
		}
		return sight{}, errs.E(errs.NotFound, "%w", errAbsent)
	}
	if err != nil {
		s.close()
		return sight{}, err
	}
	return s, nil
}

func (d *Driver) viewed(ctx context.Context, f *folder, p place, open bool) (sight, error) {
	s, err := f.look(p, open)
	if err != nil || s.attrs != nil {
		return s, err
	}
	if sum, ok := d.knownMD5(f, p, s.info); ok {
		s.attrs = foreign(p, s.info, sum)
		return s, nil
	}
	// Either others put the file there, or writes went on between the look at
	// the file and the look at the attributes.
	s.close()
	unlock, err := d.lockShared(ctx, f, p.stripe)
	if err != nil {
		return sight{}, err
	}
	s, err = f.look(p, true)
	unlock()
	if err != nil || s.attrs != nil {
		return s, err
	}
	sum, err := d.hash(ctx, f, p, &s)
	if err != nil {
		return s, err
	}
	s.attrs = foreign(p, s.info, sum)
	if !open {
		s.close()
	}
	return s, nil
}

// object describes what was seen.
func (s *sight) object(key string) blob.Object {
	return blob.Object{
		Key: key, Size: s.info.Size(), ETag: s.attrs.ETag, Modified: s.info.ModTime().UTC(),
		Header: s.attrs.Header, Meta: s.attrs.Meta, Sums: s.attrs.Sums, Parts: s.attrs.Parts,
	}
}

// holds says why a condition does not hold for the object, which is absent
// without a file.
func (s *sight) holds(c blob.Condition) error {
	there := s.info != nil
	switch {
	case c.Absent && there:
		return errs.E(errs.Conflict, "the object exists")
	case c.Match != "" && !there:
		return errs.E(errs.Conflict, "there is no object that could have ETag %q", c.Match)
	case c.Match != "" && c.Match != "*" && c.Match != s.attrs.ETag:
		return errs.E(errs.Conflict, "the object has ETag %q, not %q", s.attrs.ETag, c.Match)
	}
	return nil
}
