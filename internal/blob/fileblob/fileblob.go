// Package fileblob is a [blob.Driver] over a folder of a local disk: a basement
// disk is a provider too.
//
// The object "a/b.jpg" is the file a/b.jpg in the folder, so that any tool can
// read it, and a file that any tool puts there is an object. What a file cannot
// say (headers, metadata, the ETag of parts) stands in the folder .spare-meta
// beside it, tied to the file by its size and time of change: bytes and
// attributes of different writes are never seen together. Several processes on
// one machine may use the folder at once. A write that was acknowledged
// survives kill -9 and the loss of power.
//
//	drv, err := fileblob.Open("/srv/media", fileblob.Options{Log: log})
//	b := blob.New("basement", drv)
//
// DESIGN.md, beside this file, has the layout of the folder, the names of keys
// that are no file names, the order of every write with what each crash leaves,
// and the limits.
package fileblob

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Options says what [Open] does with a folder that is not a bucket yet. A
// folder is one when it has the marker that Make writes.
//
// Without options Open takes a folder that holds files, and marks it; but an
// empty or a missing one is refused with blob.ErrNoBucket, because the mount
// point of a disk that is not mounted looks like that, and a replica that is
// taken for empty loses what was acknowledged.
type Options struct {
	Make   bool // make the bucket if it is missing, as Make does
	Marked bool // take only a folder with the marker, whatever files another holds: for replicas
	// Later makes Open succeed without a bucket. Every call fails with
	// blob.ErrNoBucket until the disk is mounted or Make is called.
	Later bool
	Log   *slog.Logger // nil = no log
}

// Driver is a folder as a bucket. It keeps no versions; its class is
// blob.ClassContent.
type Driver struct {
	dir   string
	o     Options
	log   *slog.Logger
	turns *turns
	md5s  *md5s

	mu     sync.Mutex
	at     *folder // nil = not there when it was last asked for
	id     string  // of the bucket that was there first; "" = none yet
	closed bool

	swept atomic.Int64 // when leftovers were swept, ns since 1970

	fault func(step string) error // tests only: called before each step of a write
}

var (
	_ blob.Driver = (*Driver)(nil)
	_ blob.Maker  = (*Driver)(nil)
)

// Open opens the bucket in a folder, and removes what writes of more than
// seven days ago left behind.
//
// blob.ErrNoBucket: the folder is missing, or not a bucket (see [Options]).
// Unsupported: its file system cannot hold a bucket.
func Open(dir string, o Options) (*Driver, error) {
	path, err := filepath.Abs(dir)
	if err != nil || dir == "" {
		return nil, errs.E(errs.Invalid, "%q does not name a folder", dir)
	}
	d := &Driver{dir: path, o: o, log: o.Log, turns: newTurns(), md5s: newMD5s()}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if o.Make {
		err = d.Make(context.Background())
	} else {
		_, err = d.folder()
	}
	if err != nil && (!o.Later || !errors.Is(err, blob.ErrNoBucket)) {
		return nil, err
	}
	return d, nil
}

// Close implements [blob.Driver].
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.at == nil {
		return nil
	}
	f := d.at
	d.at = nil
	return f.close()
}

// folder gives the bucket that the path names now. A disk that was unmounted,
// mounted again or changed for another since the last call is seen.
func (d *Driver) folder() (*folder, error) {
	info, err := os.Stat(d.dir)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errs.E(errs.Invalid, "the folder %s was closed", d.dir)
	}
	if d.at != nil && err == nil && os.SameFile(info, d.at.info) {
		return d.at, nil
	}
	d.leave()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, d.none("there is no folder %s", d.dir)
	}
	if err != nil {
		return nil, failed(err, "open the folder")
	}
	f, err := d.enter()
	if err != nil {
		return nil, err
	}
	d.at = f
	d.sweepTemps(f)
	return f, nil
}

// leave gives up the folder that was open. The lock is held.
func (d *Driver) leave() {
	if d.at == nil {
		return
	}
	if err := d.at.close(); err != nil {
		d.log.Warn("folder not closed", "dir", d.dir, "err", err)
	}
	d.at = nil
}

// lost makes sure that the bucket is still there, because something in it was
// not found. It gives nil or blob.ErrNoBucket.
func (d *Driver) lost(f *folder) error {
	err := f.present()
	if err == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at == f {
		d.leave()
	}
	return d.none("the bucket's marker is gone from %s: %v", d.dir, err)
}

func (d *Driver) none(format string, args ...any) error {
	err := errs.Wrap(errs.Unavailable, blob.ErrNoBucket, format, args...)
	return errs.WithHint(err, "Mount the disk of %s. If it shall become a new, empty bucket, make the bucket there.", d.dir)
}

// step is called before each step of a write; a test makes it fail or die
// there.
func (d *Driver) step(name string) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(name)
}
