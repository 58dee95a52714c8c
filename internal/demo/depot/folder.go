package depot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sparecloud/spare/internal/errs"
)

// Folder is a cloud's folder, read from outside as an ordinary tool would read
// it: none of Spare's code is asked.
type Folder string

// Holds says whether the cloud has the object with these bytes on its disk:
// at its plain key, or staged on the way there. sum is the hex SHA-256 of the
// bytes. Keys must be plain paths.
func (f Folder) Holds(key, sum string) (bool, error) {
	paths := []string{filepath.Join(string(f), Bucket, filepath.FromSlash(key))}
	staged := filepath.Join(string(f), Companion, "b", filepath.FromSlash(key))
	list, err := os.ReadDir(staged)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, errs.Wrap(errs.Unavailable, err, "look for %s", key)
	}
	for _, e := range list {
		paths = append(paths, filepath.Join(staged, e.Name()))
	}
	for _, p := range paths {
		got, err := digest(p)
		if err != nil {
			return false, errs.Wrap(errs.Unavailable, err, "read %s", key)
		}
		if got == sum {
			return true, nil
		}
	}
	return false, nil
}

// digest gives the hex SHA-256 of a file; "" if there is none.
func digest(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
