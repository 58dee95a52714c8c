package durable

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sparecloud/spare/internal/errs"
)

// A saved file is one header line and the payload as it is:
//
//	spare-durable 1 sha256=<64 hex digits> bytes=<length of the payload>
//	<payload>
//
// so that "tail -n +2" shows a JSON payload to a person.
const headerFormat = "spare-durable 1 sha256=%x bytes=%d\n"

// Loaded is what [Load] found.
type Loaded struct {
	Payload []byte
	// Fallback says why the current generation could not be used, when Payload
	// is the one before; otherwise it is nil.
	Fallback error
}

// Previous gives the name under which the generation before path is kept.
func Previous(path string) string { return path + ".1" }

// Save makes path hold payload under a checksum, readable by its owner only,
// and keeps what was there before as [Previous]. A damaged current generation
// is replaced and never kept, so that it cannot push out a sound one.
//
// Save is atomic for [Load], also when it is cut short at any moment. Errors
// are those of [WriteFile].
func Save(path string, payload []byte) error {
	temp, err := writeTemp(path, encode(payload), 0o600)
	if err != nil {
		return err
	}
	if _, err := read(path); err == nil {
		// Between the two renames there is no current generation. Load takes
		// the previous one then, which is right: this Save has not returned.
		if err := os.Rename(path, Previous(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			_ = os.Remove(temp)
			return errs.Wrap(errs.Unavailable, err, "keep the previous %s", path)
		}
	}
	return replace(temp, path)
}

// Load gives the payload last saved under path, or the one before when the
// current generation is damaged, unreadable or missing, and says so in
// [Loaded.Fallback].
//
// NotFound: nothing was ever saved there. Invalid: there are files, and none
// of them is sound.
func Load(path string) (Loaded, error) {
	payload, err := read(path)
	if err == nil {
		return Loaded{Payload: payload}, nil
	}
	previous, perr := read(Previous(path))
	switch {
	case perr == nil:
		return Loaded{Payload: previous, Fallback: err}, nil
	case errors.Is(err, fs.ErrNotExist) && errors.Is(perr, fs.ErrNotExist):
		return Loaded{}, errs.Wrap(errs.NotFound, err, "load")
	default:
		return Loaded{}, errs.Wrap(errs.Invalid, errors.Join(err, perr), "load %s: no sound generation", path)
	}
}

func encode(payload []byte) []byte {
	b := fmt.Appendf(nil, headerFormat, sha256.Sum256(payload), len(payload))
	return append(b, payload...)
}

// read gives the payload of one file whose checksum holds.
func read(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	_, payload, found := bytes.Cut(b, []byte("\n"))
	// The header is a function of the payload: comparing whole files checks
	// every byte of both.
	if !found || !bytes.Equal(b, encode(payload)) {
		return nil, errs.E(errs.Invalid, "%s is damaged (%d bytes)", filepath.Clean(path), len(b))
	}
	return payload, nil
}
