package fileblob

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// marker is what the marker file says.
type marker struct {
	Format int       `json:"format"`
	ID     string    `json:"id"` // random
	Made   time.Time `json:"made"`
}

const markerFormat = 1

// Make implements [blob.Maker]. It makes the folder if it is missing, but not
// the one above it. Files that are there become objects.
func (d *Driver) Make(ctx context.Context) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if err := d.makeFolder(); err != nil {
		return err
	}
	_, err := d.folder()
	return err
}

func (d *Driver) makeFolder() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := os.Mkdir(d.dir, 0o755)
	if err == nil {
		err = syncPath(filepath.Dir(d.dir))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return failed(err, "make the bucket")
	}
	return mark(d.dir)
}

// mark makes a folder a bucket, unless it is one. Of several processes that do
// it at once one succeeds.
func mark(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return failed(err, "make the bucket")
	}
	defer func() { _ = root.Close() }()
	for _, sub := range []string{"", lockDir, tempDir, attrsDir, namesDir, uploadDir} {
		if err := root.Mkdir(path.Join(metaDir, sub), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return failed(err, "make the bucket in %s", dir)
		}
	}
	meta, err := openDir(root, metaDir)
	if err != nil {
		return failed(err, "make the bucket in %s", dir)
	}
	defer func() { _ = meta.Close() }()
	if _, err := readMarker(meta); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := meta.WriteFile(probeFile, nil, 0o644); err != nil {
		return failed(err, "make the bucket in %s", dir)
	}
	for i := range uint32(stripes) { // now: on a full disk none could be made, not even to delete
		if err := meta.WriteFile(path.Join(lockDir, lockName(i)), nil, 0o644); err != nil {
			return failed(err, "make the bucket in %s", dir)
		}
	}
	if err := probe(meta); err != nil {
		return err
	}
	err = writeMarker(meta)
	if err == nil {
		err = errors.Join(syncDir(meta), syncDir(root))
	}
	return failed(err, "make the bucket in %s", dir)
}

// writeMarker writes the marker. One that came first stays.
func writeMarker(meta *os.Root) error {
	text, err := json.Marshal(marker{Format: markerFormat, ID: newID(), Made: time.Now().UTC()})
	if err != nil {
		return err
	}
	temp := path.Join(tempDir, newID())
	if err := writeSynced(meta, temp, append(text, '\n')); err != nil {
		return err
	}
	err = meta.Link(temp, markerFile)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, meta.Remove(temp))
}

// readMarker gives the bucket's ID. fs.ErrNotExist: there is no marker.
func readMarker(meta *os.Root) (id string, err error) {
	text, err := meta.ReadFile(markerFile)
	if err != nil {
		return "", err
	}
	var m marker
	if err := json.Unmarshal(text, &m); err != nil || m.ID == "" {
		return "", errs.E(errs.Unavailable, "the marker %s is damaged", filepath.Join(meta.Name(), markerFile))
	}
	if m.Format != markerFormat {
		return "", errs.E(errs.Unsupported, "the bucket in %s has format %d, this version knows %d", filepath.Dir(meta.Name()), m.Format, markerFormat)
	}
	return m.ID, nil
}

// writeSynced writes a new file and flushes it to the disk. What it could not
// write whole it removes.
func writeSynced(r *os.Root, name string, data []byte) error {
	file, err := r.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err := errors.Join(err, flush(file), file.Close()); err != nil {
		return errors.Join(err, r.Remove(name))
	}
	return nil
}

func syncPath(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(flush(file), file.Close())
}

// newID gives 32 random hex digits.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// isID says whether s is of the form of newID.
func isID(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 16 && s == fmt.Sprintf("%x", b)
}
