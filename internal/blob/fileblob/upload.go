package fileblob

import (
	"context"
	"crypto/md5" // what S3 makes its tags of; nothing relies on it as a safe hash
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// An upload is a folder with a file that says for what, and a file for each
// part: its bytes, and behind them their MD5 as 16 bytes, so that one rename
// replaces a part.

const uploadFile = "upload"

// upload is the content of an upload's file.
type upload struct {
	Key     string            `json:"key"`
	Started time.Time         `json:"started"`
	Header  blob.Header       `json:"header,omitzero"`
	Meta    map[string]string `json:"meta,omitempty"`
}

func uploadPath(id string, name ...string) string {
	return path.Join(append([]string{uploadDir, id}, name...)...)
}

func partName(number int) string { return fmt.Sprintf("%05d", number) }

// CreateUpload implements [blob.Multipart]. An upload to which nothing was
// added for seven days is removed.
func (d *Driver) CreateUpload(ctx context.Context, key string, o blob.PutOptions) (string, error) {
	f, _, err := d.ready(ctx, key)
	if err != nil {
		return "", err
	}
	if o.If.Set() {
		return "", errs.E(errs.Invalid, "the condition belongs to CompleteUpload")
	}
	if err := f.writable(); err != nil {
		return "", err
	}
	d.sweepDaily(f)
	text, err := json.Marshal(upload{Key: key, Started: time.Now().UTC(), Header: o.Header, Meta: o.Meta})
	if err != nil {
		return "", errs.Wrap(errs.Invalid, err, "begin an upload")
	}
	id := newID()
	if err := f.beginUpload(id, text); err != nil {
		return "", failed(err, "begin an upload")
	}
	return id, nil
}

// beginUpload makes an upload's folder, whole or not at all.
func (f *folder) beginUpload(id string, text []byte) error {
	temp := path.Join(tempDir, id)
	if err := f.meta.Mkdir(temp, 0o755); err != nil {
		return err
	}
	dir, err := f.meta.OpenRoot(temp)
	if err != nil {
		return err
	}
	err = writeSynced(dir, uploadFile, text)
	if err == nil {
		err = syncDir(dir)
	}
	if err = errors.Join(err, dir.Close()); err == nil {
		err = f.meta.Rename(temp, uploadPath(id))
	}
	if err != nil {
		return errors.Join(err, f.meta.RemoveAll(temp))
	}
	return f.syncMeta(uploadDir)
}

func (f *folder) syncMeta(name string) error {
	dir, err := f.meta.OpenRoot(name)
	if err != nil {
		return err
	}
	return errors.Join(syncDir(dir), dir.Close())
}

// upload reads what an upload is for.
func (d *Driver) upload(f *folder, key, id string) (upload, error) {
	var u upload
	if !isID(id) || f.meta == nil {
		return u, errNoUpload(id)
	}
	text, err := f.meta.ReadFile(uploadPath(id, uploadFile))
	if gone(err) {
		if err := d.lost(f); err != nil {
			return u, err
		}
		return u, errNoUpload(id)
	}
	if err != nil {
		return u, failed(err, "read the upload")
	}
	if err := json.Unmarshal(text, &u); err != nil {
		return u, errs.E(errs.Internal, "%w: the record of upload %s is damaged", blob.ErrSuspect, id)
	}
	if key != "" && u.Key != key {
		return u, errNoUpload(id)
	}
	return u, nil
}

// UploadPart implements [blob.Multipart].
func (d *Driver) UploadPart(ctx context.Context, key, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	f, _, err := d.ready(ctx, key)
	if err != nil {
		return blob.Part{}, err
	}
	if number < 1 || number > blob.MaxParts || size < 0 || size > blob.MaxPut {
		return blob.Part{}, errs.E(errs.Invalid, "part number %d is not between 1 and %d, or its size %d not at most %d", number, blob.MaxParts, size, int64(blob.MaxPut))
	}
	if _, err := d.upload(f, key, id); err != nil {
		return blob.Part{}, err
	}
	t, err := d.newTemp(f)
	if err != nil {
		return blob.Part{}, err
	}
	defer t.drop()
	sum := md5.New()
	if err := t.fill(ctx, body, size, sum); err != nil {
		return blob.Part{}, err
	}
	if _, err := t.file.Write(sum.Sum(nil)); err != nil {
		return blob.Part{}, failed(err, "write the part")
	}
	if err := t.finish(nil); err != nil {
		return blob.Part{}, err
	}
	if err := d.keepPart(f, t, id, number); err != nil {
		return blob.Part{}, err
	}
	return blob.Part{Number: number, Size: size, ETag: tag(sum), Modified: t.info.ModTime().UTC()}, nil
}

func (d *Driver) keepPart(f *folder, t *temp, id string, number int) error {
	if err := d.step("rename part"); err != nil {
		return failed(err, "write the part")
	}
	err := f.root.Rename(t.path(), path.Join(metaDir, uploadPath(id, partName(number))))
	if gone(err) {
		if err := d.lost(f); err != nil {
			return err
		}
		return errNoUpload(id)
	}
	if err != nil {
		return failed(err, "write the part")
	}
	if err := f.syncMeta(uploadPath(id)); err != nil && !gone(err) {
		return errs.MaybeApplied(failed(err, "flush the upload"))
	}
	return nil
}

// part opens a part: its bytes from the beginning on. The caller closes file.
func (f *folder) part(id string, number int) (p blob.Part, file *os.File, err error) {
	file, err = f.meta.Open(uploadPath(id, partName(number)))
	if err != nil {
		return p, nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() < md5.Size {
		err = io.ErrUnexpectedEOF
	}
	var sum [md5.Size]byte
	if err == nil {
		p = blob.Part{Number: number, Size: info.Size() - md5.Size, Modified: info.ModTime().UTC()}
		_, err = file.ReadAt(sum[:], p.Size)
	}
	if err != nil {
		return p, nil, errors.Join(err, file.Close())
	}
	p.ETag = hex.EncodeToString(sum[:])
	return p, file, nil
}

// AbortUpload implements [blob.Multipart].
func (d *Driver) AbortUpload(ctx context.Context, key, id string) error {
	f, p, err := d.ready(ctx, key)
	if err != nil {
		return err
	}
	if _, err := d.upload(f, key, id); err != nil {
		return err
	}
	unlock, err := d.lock(ctx, f, p.stripe) // a completion is over, or has not begun to commit
	if err != nil {
		return err
	}
	defer unlock()
	return d.endUpload(f, id)
}

// endUpload makes an upload's folder disappear at once, and then removes it.
func (d *Driver) endUpload(f *folder, id string) error {
	if err := d.step("end upload"); err != nil {
		return failed(err, "end the upload")
	}
	temp := path.Join(tempDir, newID())
	err := f.meta.Rename(uploadPath(id), temp)
	if gone(err) {
		return errNoUpload(id)
	}
	if err != nil {
		return failed(err, "end the upload")
	}
	if err := f.syncMeta(uploadDir); err != nil {
		return errs.MaybeApplied(failed(err, "end the upload"))
	}
	if err := f.meta.RemoveAll(temp); err != nil {
		d.log.Warn("parts of an upload that ended are not removed yet", "upload", id, "err", err)
	}
	return nil
}

// ListParts implements [blob.Multipart].
func (d *Driver) ListParts(ctx context.Context, key, id string, after, limit int) ([]blob.Part, bool, error) {
	f, _, err := d.ready(ctx, key)
	if err != nil {
		return nil, false, err
	}
	if _, err := d.upload(f, key, id); err != nil {
		return nil, false, err
	}
	if limit <= 0 || limit > blob.MaxPage {
		limit = blob.MaxPage
	}
	numbers, err := f.partNumbers(id)
	if gone(err) {
		return nil, false, errNoUpload(id)
	}
	if err != nil {
		return nil, false, failed(err, "list the parts")
	}
	var found []blob.Part
	for _, n := range numbers {
		if n <= after {
			continue
		}
		if len(found) == limit {
			return found, true, nil
		}
		p, file, err := f.part(id, n)
		if gone(err) {
			return nil, false, errNoUpload(id)
		}
		if err != nil {
			return nil, false, failed(err, "read part %d", n)
		}
		_ = file.Close() // only read
		found = append(found, p)
	}
	return found, false, nil
}

func (f *folder) partNumbers(id string) ([]int, error) {
	names, err := readNames(f.meta, uploadPath(id))
	var numbers []int
	for _, name := range names {
		var n int
		if _, err := fmt.Sscanf(name, "%05d", &n); err == nil && name == partName(n) {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, err
}

func readNames(r *os.Root, name string) ([]string, error) {
	dir, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	return dir.Readdirnames(-1)
}

// ListUploads implements [blob.Multipart].
func (d *Driver) ListUploads(ctx context.Context, prefix string) ([]blob.Upload, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	f, err := d.folder()
	if err != nil || f.meta == nil {
		return nil, err
	}
	ids, err := readNames(f.meta, uploadDir)
	if err != nil {
		return nil, errors.Join(d.lost(f), failed(err, "list the uploads"))
	}
	var found []blob.Upload
	for _, id := range ids {
		if err := ended(ctx); err != nil {
			return nil, err
		}
		u, err := d.upload(f, "", id)
		if errors.Is(err, blob.ErrNoUpload) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(u.Key, prefix) {
			found = append(found, blob.Upload{Key: u.Key, ID: id, Started: u.Started})
		}
	}
	slices.SortFunc(found, func(a, b blob.Upload) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		if c := a.Started.Compare(b.Started); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return found, nil
}
