// Package durable keeps small files that survive loss of power, full disks and
// bit rot.
//
// [WriteFile] replaces a file at once or not at all. [Save] and [Load] do the
// same for a payload under a checksum, and keep the generation before beside
// it, so that a damaged file costs one generation and not the whole. [Lock]
// gives a folder one owner.
//
//	lock, err := durable.Lock(filepath.Join(dir, "lock"))
//	err = durable.Save(filepath.Join(dir, "table.json"), doc)
//	l, err := durable.Load(filepath.Join(dir, "table.json"))
//	if l.Fallback != nil { log.Warn("older table used", "err", l.Fallback) }
//
// All of it presumes a local file system on which rename is atomic.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// leftoverAge is how old a temporary file must be before it counts as left
// behind by a crash. A write takes seconds at most.
const leftoverAge = time.Hour

// WriteFile makes path hold data. It writes a temporary file in the same
// folder, flushes it to the disk, renames it over path and flushes the folder.
// Whoever reads path sees the old content or the new, never a mixture, also
// after a loss of power at any moment.
//
// An error of kind Unavailable means that path is as it was. An error that
// [errs.IsMaybeApplied] marks means that the new content is in place, but may
// be lost with the power.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	temp, err := writeTemp(path, data, perm)
	if err != nil {
		return err
	}
	return replace(temp, path)
}

// writeTemp writes a flushed temporary file beside path and gives its name.
func writeTemp(path string, data []byte, perm fs.FileMode) (string, error) {
	sweep(path)
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix(path)+"*")
	if err != nil {
		return "", errs.Wrap(errs.Unavailable, err, "write %s", path)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(perm), f.Sync(), f.Close())
	if err != nil {
		// The write has failed already: a temporary file that stays is swept later.
		_ = os.Remove(f.Name())
		return "", errs.Wrap(errs.Unavailable, err, "write %s", path)
	}
	return f.Name(), nil
}

// replace renames temp to path and makes that last.
func replace(temp, path string) error {
	if err := os.Rename(temp, path); err != nil {
		_ = os.Remove(temp)
		return errs.Wrap(errs.Unavailable, err, "replace %s", path)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return errs.MaybeApplied(errs.Wrap(errs.Unavailable, err, "flush the folder of %s", path))
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func tempPrefix(path string) string { return "." + filepath.Base(path) + ".tmp-" }

// sweep removes the temporary files that crashes left beside path. It does its
// best: what it cannot remove does no harm.
func sweep(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), tempPrefix(path)) {
			continue
		}
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > leftoverAge {
			_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
}
