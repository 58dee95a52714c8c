package api

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sparecloud/spare/internal/errs"
)

// TokenFile is the name of the token's file in the state folder.
const TokenFile = "token"

const (
	tokenBytes = 32
	minToken   = 32   // characters: shorter ones can be guessed
	maxToken   = 1024 // characters
)

// EnsureToken gives the token that the state folder dir holds, and makes one
// if there is none: 32 random bytes in hexadecimal, readable by the owner
// alone. Several processes may do so at once: all get the same. Denied: others
// may read the file, so its content is no secret any more. Invalid: it holds no
// token.
func EnsureToken(dir string) (string, error) {
	path := filepath.Join(dir, TokenFile)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeToken(dir, path); err != nil {
			return "", errs.Wrap(kindOf(err), err, "make the token %s", path)
		}
		return ReadToken(path)
	}
	if err != nil {
		return "", errs.Wrap(kindOf(err), err, "read the token")
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return "", errs.WithHint(errs.E(errs.Denied, "token file %s may be read or written by others (mode %#o)", path, mode),
			"remove it, so that a new one is made")
	}
	return ReadToken(path)
}

// ReadToken gives the token in a file. NotFound: there is no such file.
// Denied: it may not be read. Invalid: it holds no token.
func ReadToken(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", errs.Wrap(kindOf(err), err, "read the token")
	}
	token := strings.TrimSpace(string(b))
	if len(token) < minToken || len(token) > maxToken || !printable(token) || strings.Contains(token, " ") {
		return "", errs.E(errs.Invalid, "token file %s holds no token of %d to %d printable characters", path, minToken, maxToken)
	}
	return token, nil
}

func kindOf(err error) errs.Kind {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errs.NotFound
	case errors.Is(err, fs.ErrPermission):
		return errs.Denied
	}
	return errs.Unavailable
}

// makeToken writes a token under another name first and then links it, so that
// a reader never sees half of one, and of two makers the first wins.
func makeToken(dir, path string) (err error) {
	f, err := os.CreateTemp(dir, ".token-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	secret := make([]byte, tokenBytes)
	_, _ = rand.Read(secret) // never fails
	_, err = f.WriteString(hex.EncodeToString(secret) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
