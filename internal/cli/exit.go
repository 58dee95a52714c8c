package cli

import (
	"errors"

	"github.com/sparecloud/spare/internal/errs"
)

// The exit codes. They are a promise to scripts; the root command's help lists
// them.
const (
	exitOK           = 0
	exitFailed       = 1
	exitUsage        = 2
	exitInvalid      = 3
	exitNotFound     = 4
	exitConflict     = 5
	exitDenied       = 6
	exitUnavailable  = 7
	exitMaybeApplied = 8
)

// exitCode is the one place where an error becomes an exit code.
func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errs.IsMaybeApplied(err):
		return exitMaybeApplied
	}
	switch errs.KindOf(err) {
	case errs.Invalid:
		return exitInvalid
	case errs.NotFound:
		return exitNotFound
	case errs.Conflict, errs.Stale:
		return exitConflict
	case errs.Denied:
		return exitDenied
	case errs.Unavailable:
		return exitUnavailable
	default:
		return exitFailed
	}
}

// saidError is an error that the command itself has reported in full.
type saidError struct{ error }

func (e saidError) Unwrap() error { return e.error }

func said(err error) error { return saidError{err} }

func isSaid(err error) bool {
	var s saidError
	return errors.As(err, &s)
}
