package apiv1

import (
	"errors"
	"net/http"
	"strings"

	"github.com/sparecloud/spare/internal/errs"
)

// Error is the body of every answer that is not a success.
type Error struct {
	Kind    string `json:"kind"` // an errs.Kind's name
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do about it
	// MaybeApplied: the request may have had its effect, now or later.
	MaybeApplied bool `json:"maybe_applied,omitempty"`
}

// ErrorOf gives err as a document.
func ErrorOf(err error) Error {
	return Error{
		Kind:         errs.KindOf(err).String(),
		Message:      plainMessage(err),
		Hint:         errs.Hint(err),
		MaybeApplied: errs.IsMaybeApplied(err),
	}
}

// plainMessage leaves out what the mark of unknown effect adds to the text: the
// document says it in a field, and Err puts the mark back.
func plainMessage(err error) string {
	if !errs.IsMaybeApplied(err) {
		return err.Error()
	}
	return strings.TrimSuffix(err.Error(), errs.MaybeApplied(errors.New("")).Error())
}

// Err gives the document back as an error of its kind.
func (e Error) Err() error {
	err := errs.E(errs.ParseKind(e.Kind), "%s", e.Message)
	if e.Hint != "" {
		err = errs.WithHint(err, "%s", e.Hint)
	}
	if e.MaybeApplied {
		err = errs.MaybeApplied(err)
	}
	return err
}

// kindOfStatus classifies an answer that carries no error document, as a proxy
// in between would give it.
func kindOfStatus(code int) errs.Kind {
	switch {
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return errs.Denied
	case code == http.StatusNotFound:
		return errs.NotFound
	case code == http.StatusConflict:
		return errs.Conflict
	case code == http.StatusNotImplemented:
		return errs.Unsupported
	case code == http.StatusInternalServerError:
		return errs.Internal
	case code == http.StatusTooManyRequests, code > 500:
		return errs.Unavailable
	default:
		return errs.Invalid
	}
}
