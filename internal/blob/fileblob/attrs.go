package fileblob

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// attrs is what a file cannot say of itself: the attributes that one write
// gave an object. They belong to the file with this size and time of change,
// and to no other.
type attrs struct {
	Size   int64             `json:"size"`
	Stamp  int64             `json:"mtime"` // of the file, ns since 1970; each write of a key has its own
	ETag   string            `json:"etag"`
	Header blob.Header       `json:"header,omitzero"`
	Meta   map[string]string `json:"meta,omitempty"`
	Sums   blob.Sums         `json:"sums,omitempty"`
	Parts  int               `json:"parts,omitempty"`
	Upload string            `json:"upload,omitempty"` // the multipart upload that made the object
}

// record is the content of a file of attributes: those of the object that is
// being written, and those of the one that it replaces. Which of them hold is
// said by the object's file alone, so that one rename decides over bytes and
// attributes both.
type record struct {
	Key  string  `json:"key"`
	Gens []attrs `json:"gens"` // newest first, at most two
}

// match gives the attributes of a file, or nil.
func (r *record) match(info fs.FileInfo) *attrs {
	if r == nil {
		return nil
	}
	for i := range r.Gens {
		if g := &r.Gens[i]; g.Size == info.Size() && g.Stamp == info.ModTime().UnixNano() {
			return g
		}
	}
	return nil
}

const (
	recordHead = "spare-object 1 crc32c=" // and 8 hex digits, and a line break; JSON follows
	maxRecord  = 1 << 20                  // bytes; one with the largest headers and metadata twice has under 64 KiB
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *record) encode() ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	return append(fmt.Appendf(nil, "%s%08x\n", recordHead, crc32.Checksum(text, castagnoli)), text...), nil
}

var errDamaged = errors.New("the attributes are damaged")

func decodeRecord(data []byte, key string) (*record, error) {
	head, text, ok := strings.Cut(string(data), "\n")
	sum := fmt.Sprintf("%s%08x", recordHead, crc32.Checksum([]byte(text), castagnoli))
	var r record
	if !ok || head != sum || json.Unmarshal([]byte(text), &r) != nil || key != "" && r.Key != key {
		return nil, errDamaged
	}
	return &r, nil
}

// readRecord reads the attributes of a place, or nil if there are none. dir is
// the folder that p.attrs names.
func readRecord(dir *os.Root, p place) (*record, error) {
	file, err := dir.Open(p.leaf)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxRecord))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	r, err := decodeRecord(data, p.key)
	if err != nil {
		err = errs.E(errs.Internal, "%w: %w", blob.ErrSuspect, err)
		err = errs.WithHint(err, "Write the object %q again, or delete %s and it is served without them.", p.key, path.Join(dir.Name(), p.leaf))
	}
	return r, err
}

// record reads the attributes of a place, or nil if there are none.
func (f *folder) record(p place) (*record, error) {
	if f.attrs == nil {
		return nil, nil
	}
	dir, err := f.attrs.OpenRoot(p.attrs)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	return readRecord(dir, p)
}

// writeRecord replaces the attributes' file of a place, on the disk when it
// returns. The place's lock is held.
func (d *Driver) writeRecord(f *folder, p place, r *record) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	if err := d.step("write record"); err != nil {
		return err
	}
	temp := newID()
	if err := writeSynced(f.temps, temp, data); err != nil {
		return err
	}
	if err := d.placeRecord(f, p, temp); err != nil {
		_ = f.temps.Remove(temp) // else it is swept
		return err
	}
	if err := d.step("sync record"); err != nil {
		return err
	}
	return f.syncUp(f.attrs, strings.Split(p.attrs, "/"))
}

// placeRecord renames a temporary file to the attributes' file. The folder may
// be removed by others, when it is empty, until the file is in it.
func (d *Driver) placeRecord(f *folder, p place, temp string) error {
	if err := d.step("rename record"); err != nil {
		return err
	}
	from, to := path.Join(tempDir, temp), path.Join(attrsDir, p.attrs, p.leaf)
	for try := 0; ; try++ {
		err := f.meta.Rename(from, to)
		if !gone(err) || try == maxTries {
			return err
		}
		if err := f.attrs.MkdirAll(p.attrs, 0o755); err != nil {
			return err
		}
	}
}

// maxTries is how often a step is done again because another process removed
// an empty folder in between.
const maxTries = 100

// dropRecord removes the attributes of an object that is gone, as well as it
// can: without an object they mean nothing.
func (f *folder) dropRecord(p place) {
	for _, name := range []string{p.leaf, p.leaf + md5Suffix} {
		_ = f.attrs.Remove(path.Join(p.attrs, name))
	}
	_ = f.attrs.Remove(p.attrs) // if it is empty
}
