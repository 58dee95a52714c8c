package s3err

import (
	"errors"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// sentinels come before kinds: they say more.
var sentinels = []struct {
	err  error
	code Code
}{
	{blob.ErrRange, InvalidRange},
	{blob.ErrNoUpload, NoSuchUpload},
	{blob.ErrPart, InvalidPart},
	{blob.ErrTooSmall, EntityTooSmall},
	{blob.ErrShort, IncompleteBody},
	{blob.ErrDigest, BadDigest},
	{blob.ErrNoBucket, unavailable("A provider's bucket is missing.")},
	{blob.ErrFull, unavailable("There is no space left to store this.")},
	{blob.ErrSkew, unavailable("A provider's clock and the clock here differ too much.")},
}

// kinds is what stays where no sentinel is in the chain. A provider that
// denies us is no fault of the client's and may pass: it is not its 403.
var kinds = map[errs.Kind]Code{
	errs.Invalid:     InvalidArgument,
	errs.NotFound:    NoSuchKey,
	errs.Conflict:    PreconditionFailed,
	errs.Denied:      unavailable("A provider refuses the credentials that are used here."),
	errs.Unavailable: ServiceUnavailable,
	errs.Stale:       unavailable("This node works with an old configuration of the bucket."),
	errs.Unsupported: NotImplemented,
	errs.Internal:    InternalError,
}

func unavailable(message string) Code {
	c := ServiceUnavailable
	c.Message = message
	return c
}

// From gives the S3 error for any error but nil. Messages of errors that are
// the client's to mend are passed on; what went wrong behind this server is
// for its log, since it names providers.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{Code: codeOf(err), Cause: err, Maybe: errs.IsMaybeApplied(err)}
	switch e.Code {
	case InvalidArgument, NotImplemented:
		e.Detail = err.Error()
		if hint := errs.Hint(err); hint != "" {
			e.Detail += ". " + hint
		}
	}
	e.Retry = e.Name == ServiceUnavailable.Name
	return e
}

func codeOf(err error) Code {
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	return kinds[errs.KindOf(err)]
}
