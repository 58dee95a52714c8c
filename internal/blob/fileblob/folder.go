package fileblob

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync/atomic"
	"syscall"

	"github.com/sparecloud/spare/internal/errs"
)

// Names in the bucket's folder.
const (
	metaDir    = reserved + "meta" // all below is the driver's own
	markerFile = "bucket"          // says that the folder is a bucket, and which
	lockDir    = "lock"            // a file for each stripe
	tempDir    = "tmp"             // what is being written, or removed
	attrsDir   = "attr"            // records of attributes
	namesDir   = "name"            // texts of segments that are too long for a file name
	uploadDir  = "upload"          // a folder for each multipart upload
	probeFile  = "Probe-\u00e9"    // its name tells what the file system does to names
)

// folder is an open bucket. Its handles stay with the disk that they were
// opened on, and lead nowhere outside of it (os.Root).
type folder struct {
	info   fs.FileInfo // of the bucket's folder
	id     string      // from the marker; "" = there is none, because nothing can be written
	root   *os.Root
	meta   *os.Root // nil without a marker, as are those below
	locks  *os.Root
	temps  *os.Root
	attrs  *os.Root
	synced synced
	scans  scans
}

// openFolder opens the bucket in a folder. fs.ErrNotExist: it has no marker.
func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{root: root}
	if f.info, err = root.Stat("."); err == nil {
		err = f.openMeta()
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

func (f *folder) openMeta() (err error) {
	if f.meta, err = openDir(f.root, metaDir); err != nil {
		return err
	}
	if f.id, err = readMarker(f.meta); err != nil {
		return err
	}
	for _, d := range []struct {
		name string
		to   **os.Root
	}{{lockDir, &f.locks}, {tempDir, &f.temps}, {attrsDir, &f.attrs}} {
		if *d.to, err = openDir(f.meta, d.name); err != nil {
			return err
		}
	}
	return probe(f.meta)
}

// openBare opens a folder without a marker, for reading.
func openBare(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &folder{root: root}
	if f.info, err = root.Stat("."); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return f, nil
}

func (f *folder) close() error {
	var all []error
	f.synced.forget()
	for _, r := range []*os.Root{f.attrs, f.temps, f.locks, f.meta, f.root} {
		if r != nil {
			all = append(all, r.Close())
		}
	}
	return errors.Join(all...)
}

// present says whether the bucket is still there: what is not found in a
// bucket that is gone is not known to be absent.
func (f *folder) present() error {
	if f.meta != nil {
		_, err := f.meta.Lstat(markerFile)
		return err
	}
	empty, err := isEmpty(f.root)
	if err == nil && empty {
		err = fs.ErrNotExist
	}
	return err
}

// writable says why nothing can be written.
func (f *folder) writable() error {
	if f.meta == nil {
		return errs.E(errs.Denied, "the folder has no marker and could not be given one: it is only read")
	}
	return nil
}

// openDir opens a folder, but none that a symbolic link names.
func openDir(r *os.Root, name string) (*os.Root, error) {
	info, err := r.Lstat(name)
	switch {
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOTDIR}
	}
	return r.OpenRoot(name)
}

// isEmpty says whether a folder holds nothing but what the driver, or the file
// system, made.
func isEmpty(r *os.Root) (bool, error) {
	dir, err := r.Open(".")
	if err != nil {
		return false, err
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	for _, name := range names {
		if name != metaDir && name != "lost+found" {
			return false, nil
		}
	}
	return true, nil
}

// probe refuses a file system that takes two keys for one: "A" and "a", or two
// spellings of the same letter.
func probe(meta *os.Root) error {
	for _, alias := range []string{"probe-\u00e9", "Probe-e\u0301"} {
		if _, err := meta.Lstat(alias); err == nil {
			return errs.E(errs.Unsupported, "the file system of %s does not tell %q from %q: a bucket needs one that keeps names as they are",
				path.Dir(meta.Name()), probeFile, alias)
		}
	}
	return nil
}

// flush writes a file, or the names in a folder, to the disk.
func flush(file *os.File) error {
	if f := flushes.Load(); f != nil {
		(*f)(file.Name())
	}
	return file.Sync()
}

// flushes is told of every flush. Tests only.
var flushes atomic.Pointer[func(name string)]

// syncDir flushes the names in a folder.
func syncDir(r *os.Root) error {
	dir, err := r.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(flush(dir), dir.Close())
}

// enter opens the bucket in the driver's folder, and marks a folder that is
// taken for one. The driver's lock is held.
func (d *Driver) enter() (*folder, error) {
	f, err := openFolder(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = d.adopt()
	}
	if err != nil {
		if errs.KindOf(err) == errs.Internal {
			err = failed(err, "open the bucket in %s", d.dir)
		}
		return nil, err
	}
	if d.id != "" && d.id != f.id {
		return nil, errors.Join(d.none("another bucket is in %s than was there before", d.dir), f.close())
	}
	d.id = f.id
	return f, nil
}

// adopt takes a folder without a marker for a bucket, if it may.
func (d *Driver) adopt() (*folder, error) {
	f, err := openBare(d.dir)
	if err != nil {
		return nil, err
	}
	empty, err := isEmpty(f.root)
	switch {
	case err != nil:
	case d.o.Marked || d.id != "":
		err = d.none("%s has no marker", d.dir)
	case empty:
		err = d.none("%s is empty and has no marker", d.dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	err = mark(d.dir)
	switch {
	case errs.Is(err, errs.Denied):
		d.log.Warn("folder is only read", "dir", d.dir, "err", err)
		return f, nil
	case err != nil:
		return nil, errors.Join(err, f.close())
	}
	if err := f.close(); err != nil {
		return nil, err
	}
	return openFolder(d.dir)
}
