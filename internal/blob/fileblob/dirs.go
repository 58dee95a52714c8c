package fileblob

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/sparecloud/spare/internal/errs"
)

// descend opens the folder that the names lead to, from the bucket's own on.
// It follows no symbolic link. gone(err): there is no such folder.
func (f *folder) descend(names []string) (*os.Root, error) {
	at, err := f.root.OpenRoot(".")
	for _, name := range names {
		if err != nil {
			break
		}
		var next *os.Root
		next, err = openDir(at, name)
		_ = at.Close() // only read
		at = next
	}
	return at, err
}

// makeDirs makes the folders above a place. An object whose name a folder
// needs is moved to its aside name first, under its own lock: the caller must
// hold no lock.
func (d *Driver) makeDirs(ctx context.Context, f *folder, p place) error {
	at, err := f.root.OpenRoot(".")
	if err != nil {
		return failed(err, "make folders")
	}
	defer func() { _ = at.Close() }()
	for i, name := range p.dirs {
		next, err := openDir(at, name)
		if gone(err) {
			if err := d.makeDir(ctx, f, at, p.segs[:i+1]); err != nil {
				return err
			}
			next, err = openDir(at, name)
		}
		if err != nil {
			return failed(err, "make folders")
		}
		_ = at.Close()
		at = next
	}
	return nil
}

// makeDir makes one folder, for the last of the segments.
func (d *Driver) makeDir(ctx context.Context, f *folder, at *os.Root, segs []string) error {
	seg := segs[len(segs)-1]
	name := fileName(seg)
	if err := d.step("make folder"); err != nil {
		return failed(err, "make folders")
	}
	if err := f.keepName(seg); err != nil {
		return failed(err, "make folders")
	}
	err := at.Mkdir(name, 0o755)
	if err == nil || !errors.Is(err, fs.ErrExist) {
		return failed(err, "make folders")
	}
	unlock, err := d.lock(ctx, f, stripeOf(strings.Join(segs, "/")))
	if err != nil {
		return err
	}
	defer unlock()
	info, err := at.Lstat(name)
	switch {
	case gone(err) || err == nil && info.IsDir():
		return nil // somebody else changed it: the caller looks again
	case err != nil:
		return failed(err, "make folders")
	case !info.Mode().IsRegular():
		return errs.E(errs.Unsupported, "%s is no regular file and no folder: the key cannot go below it", path.Join(at.Name(), name))
	}
	if err := d.step("move aside"); err != nil {
		return failed(err, "make folders")
	}
	if err := f.keepName(seg); err != nil {
		return failed(err, "make folders")
	}
	if err := at.Rename(name, asideName(seg)); err != nil {
		return failed(err, "make folders")
	}
	if err := at.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return failed(err, "make folders")
	}
	return nil
}

// keepName writes down a segment whose names are hashes, before a name is
// used.
func (f *folder) keepName(seg string) error {
	if !strings.HasPrefix(asideName(seg), asideHashed) {
		return nil // its own name is shorter than its aside name
	}
	kept := path.Join(namesDir, hashOf(seg))
	if _, err := f.meta.Lstat(kept); err == nil {
		return nil
	}
	temp := path.Join(tempDir, newID())
	if err := writeSynced(f.meta, temp, []byte(seg)); err != nil {
		return err
	}
	if err := f.meta.Rename(temp, kept); err != nil {
		return errors.Join(err, f.meta.Remove(temp))
	}
	names, err := f.meta.OpenRoot(namesDir)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(names), names.Close())
}

// keptName gives the segment of a hash.
func (f *folder) keptName(hash string) (string, error) {
	text, err := f.meta.ReadFile(path.Join(namesDir, hash))
	if err == nil && hashOf(string(text)) != hash {
		err = errs.E(errs.Internal, "%s is damaged", path.Join(metaDir, namesDir, hash))
	}
	return string(text), err
}

// synced remembers folders whose own name is known to be on the disk. Each is
// held open: as long as it is, no other folder can get its inode, so that one
// which was removed and made again is not taken for it.
type synced struct {
	mu   sync.Mutex
	held map[string]*os.File // by path
}

// maxSynced bounds the handles that are held open.
const maxSynced = 256

func (s *synced) has(name string, info fs.FileInfo) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := s.held[name]
	if file == nil {
		return false
	}
	held, err := file.Stat()
	return err == nil && os.SameFile(held, info)
}

// add takes over file.
func (s *synced) add(name string, file *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.held[name]; old != nil {
		_ = old.Close()
		delete(s.held, name)
	}
	for other, old := range s.held {
		if len(s.held) < maxSynced {
			break
		}
		_ = old.Close()
		delete(s.held, other)
	}
	if s.held == nil {
		s.held = map[string]*os.File{}
	}
	s.held[name] = file
}

func (s *synced) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, file := range s.held {
		_ = file.Close()
		delete(s.held, name)
	}
}

// syncUp flushes the folder that the names lead to, and those above it as far
// as they hold a folder that is not known to be on the disk: a file is only
// as durable as the names of all folders above it.
func (f *folder) syncUp(r *os.Root, names []string) error {
	at, err := r.OpenRoot(".")
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }()
	for i, name := range names {
		next, err := openDir(at, name)
		if err != nil {
			return err
		}
		if err := f.syncName(at, next, path.Join(r.Name(), path.Join(names[:i+1]...))); err != nil {
			return errors.Join(err, next.Close())
		}
		_ = at.Close()
		at = next
	}
	return syncDir(at)
}

// syncName flushes a folder's name in the one above it.
func (f *folder) syncName(above, dir *os.Root, name string) error {
	file, err := dir.Open(".")
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil || f.synced.has(name, info) {
		return errors.Join(err, file.Close())
	}
	if err := syncDir(above); err != nil {
		return errors.Join(err, file.Close())
	}
	f.synced.add(name, file)
	return nil
}

// prune removes the folders above a place as long as they are empty. It holds
// the lock of the object that could have the folder's name meanwhile, because
// removing a name removes a file as well. It does its best: an empty folder
// does no harm.
func (d *Driver) prune(f *folder, p place) {
	for i := len(p.dirs); i > 0; i-- {
		if !d.pruneDir(f, p, i) {
			return
		}
	}
}

func (d *Driver) pruneDir(f *folder, p place, depth int) bool {
	above, err := f.descend(p.dirs[:depth-1])
	if err != nil {
		return gone(err)
	}
	defer func() { _ = above.Close() }()
	unlock := d.tryLock(f, stripeOf(strings.Join(p.segs[:depth], "/")))
	if unlock == nil {
		return false
	}
	defer unlock()
	info, err := above.Lstat(p.dirs[depth-1])
	if err != nil {
		return gone(err)
	}
	return info.IsDir() && above.Remove(p.dirs[depth-1]) == nil
}
