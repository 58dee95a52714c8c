package fileblob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// errAbsent says that there is no such object, before it is certain that the
// bucket itself is there.
var errAbsent = errors.New("there is no such object")

// failed gives an error of the file system its kind. What was attempted stands
// before it. One that has a kind keeps it.
func failed(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	is := func(codes ...syscall.Errno) bool {
		for _, code := range codes {
			if errors.Is(err, code) {
				return true
			}
		}
		return false
	}
	switch {
	case err == nil:
		return nil
	case errs.KindOf(err) != errs.Internal:
		return errs.Wrap(errs.KindOf(err), err, "%s", what)
	case is(syscall.ENOSPC, syscall.EDQUOT):
		err = errs.E(errs.Unavailable, "%s: %w: %w", what, blob.ErrFull, err)
		return errs.WithHint(err, "Free space on the disk of the folder, or raise its quota.")
	case is(syscall.EACCES, syscall.EPERM, syscall.EROFS):
		err = errs.Wrap(errs.Denied, err, "%s", what)
		return errs.WithHint(err, "The folder must be writable by the user that Spare runs as; a disk with faults is often mounted again read-only.")
	case is(syscall.ENAMETOOLONG, syscall.EILSEQ, syscall.EINVAL):
		return errs.Wrap(errs.Unsupported, err, "%s: the file system does not take this name", what)
	case is(syscall.EXDEV):
		err = errs.Wrap(errs.Unsupported, err, "%s", what)
		return errs.WithHint(err, "Another file system is mounted inside the folder. Serve it as a bucket of its own.")
	}
	return errs.Wrap(errs.Unavailable, err, "%s", what)
}

// ended gives the error of a call whose ctx is over before anything was
// applied.
func ended(ctx context.Context) error {
	return errs.Wrap(errs.Unavailable, ctx.Err(), "use the folder")
}

// gone says whether err means that a name, or a folder above it, is not there.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// taken says whether err means that a folder has the name.
func taken(err error) bool {
	return errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTEMPTY)
}

// classified gives err its kind unless it has one.
func classified(err error, what string) error {
	if err == nil || errs.KindOf(err) != errs.Internal || errors.Is(err, blob.ErrSuspect) {
		return err
	}
	return failed(err, "%s", what)
}
