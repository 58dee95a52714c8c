// Package errs holds the few kinds of error that code in Spare branches on.
//
// Everything else about an error is its message. A package boundary gives an
// error a kind once, with [E] or [Wrap]; a surface turns the kind into an HTTP
// status ([HTTPStatus]) or an exit code once. A write whose outcome nobody
// knows is marked with [MaybeApplied]: it is never a plain failure.
//
//	return errs.E(errs.NotFound, "service %q is not in the estate", id)
//	return errs.Wrap(errs.Unavailable, err, "open journal %s", path)
package errs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Kind classifies an error by what the caller can do about it.
type Kind int

// The kinds. The zero kind is Internal: an error that nobody classified is a
// fault of ours until shown otherwise.
const (
	Internal    Kind = iota // a fault of ours
	Invalid                 // the input is wrong; do not repeat it unchanged
	NotFound                // what was named does not exist
	Conflict                // it exists already, or another change came first
	Denied                  // the caller may not do this
	Unavailable             // a part that is needed does not answer; repeating may help
	Stale                   // the caller's lease or epoch is over; never retry blindly
	Unsupported             // understood, and not offered
)

var names = [...]string{"internal", "invalid", "not_found", "conflict", "denied", "unavailable", "stale", "unsupported"}

// String gives the kind's wire name, as in the API's error documents.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(names) {
		return names[Internal]
	}
	return names[k]
}

// ParseKind is the inverse of [Kind.String]; an unknown name is Internal.
func ParseKind(s string) Kind {
	for i, n := range names {
		if n == s {
			return Kind(i)
		}
	}
	return Internal
}

type kindError struct {
	kind Kind
	err  error
}

func (e *kindError) Error() string { return e.err.Error() }
func (e *kindError) Unwrap() error { return e.err }

// E makes an error of the kind. The format may wrap with %w.
func E(kind Kind, format string, args ...any) error {
	return &kindError{kind: kind, err: fmt.Errorf(format, args...)}
}

// Wrap puts what was attempted before err and gives it the kind. Wrapping nil
// gives nil.
func Wrap(kind Kind, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &kindError{kind: kind, err: fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)}
}

// KindOf gives the kind of the outermost classified error in err's chain. A
// context that ended is Unavailable.
func KindOf(err error) Kind {
	var k *kindError
	switch {
	case errors.As(err, &k):
		return k.kind
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	default:
		return Internal
	}
}

// Is reports whether err is of the kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// WithHint adds a sentence that says what to do about err. Surfaces print it
// on a line of its own.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hintError{err: err, hint: fmt.Sprintf(format, args...)}
}

// Hint gives the outermost hint in err's chain, or "".
func Hint(err error) string {
	var h *hintError
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}

type maybeError struct{ err error }

func (e *maybeError) Error() string { return e.err.Error() + " (it may have been applied)" }
func (e *maybeError) Unwrap() error { return e.err }

// MaybeApplied marks err as the error of a write whose effect is not known: it
// may have been applied, now or later.
func MaybeApplied(err error) error {
	if err == nil {
		return nil
	}
	return &maybeError{err: err}
}

// IsMaybeApplied reports whether err marks a write of unknown effect.
func IsMaybeApplied(err error) bool {
	var m *maybeError
	return errors.As(err, &m)
}

// HTTPStatus gives the status code that answers a request which failed with
// err.
func HTTPStatus(err error) int {
	switch KindOf(err) {
	case Invalid:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case Conflict, Stale:
		return http.StatusConflict
	case Denied:
		return http.StatusForbidden
	case Unavailable:
		return http.StatusServiceUnavailable
	case Unsupported:
		return http.StatusNotImplemented
	default:
		return http.StatusInternalServerError
	}
}
