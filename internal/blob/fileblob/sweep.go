package fileblob

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"strings"
	"time"
)

// leftoverAge is how old what is unfinished must be before it counts as left
// behind: an upload that goes on for days is no leftover.
const leftoverAge = 7 * 24 * time.Hour

// sweepTemps removes temporary files and uploads that were left behind. It
// does its best: what it cannot remove does no harm but taking space.
func (d *Driver) sweepTemps(f *folder) {
	if f.meta == nil {
		return
	}
	d.swept.Store(time.Now().UnixNano())
	for _, dir := range []string{tempDir, uploadDir} {
		names, err := readNames(f.meta, dir)
		if err != nil {
			d.log.Warn("leftovers not swept", "dir", d.dir, "err", err)
			continue
		}
		for _, name := range names {
			d.sweepOne(f, dir, name)
		}
	}
}

func (d *Driver) sweepOne(f *folder, dir, name string) {
	info, err := f.meta.Lstat(path.Join(dir, name))
	if err != nil || time.Since(info.ModTime()) < leftoverAge {
		return
	}
	if dir == uploadDir {
		err = d.endUpload(f, name)
	} else {
		err = f.meta.RemoveAll(path.Join(dir, name))
	}
	d.log.Info("leftover removed", "dir", d.dir, "kind", dir, "name", name, "err", err)
}

// sweepDaily sweeps if it was not done for a day.
func (d *Driver) sweepDaily(f *folder) {
	last := d.swept.Load()
	if now := time.Now().UnixNano(); time.Duration(now-last) > 24*time.Hour && d.swept.CompareAndSwap(last, now) {
		d.sweepTemps(f)
	}
}

// Sweep removes what crashes and other programs left behind more than seven
// days ago: temporary files, uploads, and the attributes of objects that are
// gone. It reads the attributes of the whole bucket. Open and CreateUpload
// sweep the first two by themselves.
func (d *Driver) Sweep(ctx context.Context) error {
	f, err := d.folder()
	if err != nil {
		return err
	}
	if err := f.writable(); err != nil {
		return err
	}
	d.sweepTemps(f)
	err = fs.WalkDir(f.attrs.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case gone(err):
			return nil
		case err != nil:
			return err
		case e.IsDir():
			return ended(ctx)
		}
		info, err := e.Info()
		if err != nil || time.Since(info.ModTime()) < leftoverAge {
			return nil //nolint:nilerr // gone already, or in use
		}
		return d.sweepRecord(ctx, f, name)
	})
	return classified(err, "sweep")
}

// sweepRecord removes attributes, or a computed MD5, whose object is gone.
func (d *Driver) sweepRecord(ctx context.Context, f *folder, name string) error {
	key, err := f.keyOf(name)
	if err != nil {
		return nil //nolint:nilerr // gone already, or damaged: reading the object says so
	}
	p, err := locate(key)
	if err != nil {
		return nil //nolint:nilerr // not one of ours
	}
	unlock, err := d.lock(ctx, f, p.stripe)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := f.look(p, false); errors.Is(err, errAbsent) {
		if err := d.lost(f); err != nil {
			return err
		}
		f.dropRecord(p)
	}
	return nil
}

// keyOf gives the key that a file of attributes is for.
func (f *folder) keyOf(name string) (string, error) {
	data, err := f.attrs.ReadFile(name)
	if err != nil {
		return "", err
	}
	if strings.HasSuffix(name, md5Suffix) {
		var k kept
		err := json.Unmarshal(data, &k)
		return k.Key, err
	}
	r, err := decodeRecord(data, "")
	if err != nil {
		return "", err
	}
	return r.Key, nil
}
