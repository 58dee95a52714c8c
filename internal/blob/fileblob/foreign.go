package fileblob

import (
	"context"
	"crypto/md5" // what S3 makes its tags of; nothing relies on it as a safe hash
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"mime"
	"os"
	"path"
	"sync"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// A file that others put into the folder has no attributes: its type is
// guessed by its name, and its ETag is the MD5 of its bytes. That is computed
// when it is first asked for and kept, beside where attributes would be, for
// the very file and state that it was computed of.

const md5Suffix = ".md5"

// kept is an MD5 with the file that it belongs to.
type kept struct {
	Key string `json:"key"`
	identity
	MD5 string `json:"md5"`
}

// identity is what changes when a file's bytes do.
type identity struct {
	Dev     uint64 `json:"dev"`
	Inode   uint64 `json:"inode"`
	Size    int64  `json:"size"`
	Mtime   int64  `json:"mtime"` // ns since 1970, as is the next
	Changed int64  `json:"ctime"` // which nobody can set back
}

func identify(info fs.FileInfo) identity {
	dev, ino, changed := statOf(info)
	return identity{Dev: dev, Inode: ino, Size: info.Size(), Mtime: info.ModTime().UnixNano(), Changed: changed}
}

// foreign gives the attributes of a file that others put into the folder.
func foreign(p place, info fs.FileInfo, sum string) *attrs {
	kind := mime.TypeByExtension(path.Ext(p.segs[len(p.segs)-1]))
	if kind == "" {
		kind = "application/octet-stream"
	}
	return &attrs{Size: info.Size(), Stamp: info.ModTime().UnixNano(), ETag: sum, Header: blob.Header{Type: kind}}
}

// md5s are the sums that were computed last, for folders that nothing can be
// written to.
type md5s struct {
	mu sync.Mutex
	m  map[identity]string
}

const maxMD5s = 8192

func newMD5s() *md5s { return &md5s{m: map[identity]string{}} }

func (s *md5s) get(id identity) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum, ok := s.m[id]
	return sum, ok
}

func (s *md5s) put(id identity, sum string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.m) >= maxMD5s {
		clear(s.m)
	}
	s.m[id] = sum
}

// knownMD5 gives the MD5 of a file's bytes if it was computed before.
func (d *Driver) knownMD5(f *folder, p place, info fs.FileInfo) (string, bool) {
	id := identify(info)
	if sum, ok := d.md5s.get(id); ok {
		return sum, true
	}
	if f.attrs == nil {
		return "", false
	}
	text, err := f.attrs.ReadFile(path.Join(p.attrs, p.leaf+md5Suffix))
	var k kept
	if err != nil || json.Unmarshal(text, &k) != nil || k.identity != id {
		return "", false
	}
	return k.MD5, true
}

// hash computes the MD5 of the bytes of the file that was seen, which is open,
// and keeps it. The file is at its beginning again afterwards.
func (d *Driver) hash(ctx context.Context, f *folder, p place, s *sight) (string, error) {
	h := md5.New()
	if _, err := copyBytes(ctx, h, io.NewSectionReader(s.file, 0, s.info.Size()), make([]byte, copyBuffer)); err != nil {
		return "", failed(err, "compute the ETag")
	}
	if err := unchanged(s.file, s.info); err != nil {
		return "", err
	}
	sum := hex.EncodeToString(h.Sum(nil))
	d.md5s.put(identify(s.info), sum)
	if f.attrs != nil {
		// It can be computed again: neither must it last, nor must it succeed.
		if err := f.keepMD5(p, kept{p.key, identify(s.info), sum}); err != nil {
			d.log.Debug("computed ETag not kept", "key", p.key, "err", err)
		}
	}
	return sum, nil
}

func (f *folder) keepMD5(p place, k kept) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	temp := path.Join(tempDir, newID())
	if err := f.meta.WriteFile(temp, text, 0o644); err != nil {
		return err
	}
	if err = f.attrs.MkdirAll(p.attrs, 0o755); err == nil {
		err = f.meta.Rename(temp, path.Join(attrsDir, p.attrs, p.leaf+md5Suffix))
	}
	if err != nil {
		return errors.Join(err, f.meta.Remove(temp))
	}
	return nil
}

// unchanged says whether an open file is still as it was: another program may
// write to it in place, which the driver itself never does.
func unchanged(file *os.File, info fs.FileInfo) error {
	now, err := file.Stat()
	if err == nil && (now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime())) {
		return errs.E(errs.Unavailable, "another program changed the file while it was read")
	}
	return failed(err, "read the object")
}
