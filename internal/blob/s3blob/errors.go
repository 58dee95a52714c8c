package s3blob

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// ask says what a request could have done, which decides what its error means.
type ask struct {
	writes bool // it changes something
	match  bool // it has If-Match, which an object that is not there fails
	when   bool // it has a condition
}

// writing is the ask of a write.
func writing(c blob.Condition) ask { return ask{writes: true, match: c.Match != "", when: c.Set()} }

// answer is a provider's refusal.
type answer struct {
	status  int    // 200 for one that hides in a success
	code    string // of the XML body; "" = there was none
	message string
	region  string // where the bucket is, if the answer says
}

func (r *answer) Error() string {
	s := fmt.Sprintf("the provider answered %d", r.status)
	if r.code != "" {
		s += " " + r.code
	}
	if r.message != "" {
		s += ": " + r.message
	}
	return s
}

// bare says whether the answer is a 404 that does not say what is missing.
func (r *answer) bare() bool {
	_, known := byCode[r.code]
	return r.status == http.StatusNotFound && !known
}

// verdict is what an answer means.
type verdict struct {
	kind   errs.Kind
	is     error // the blob.Err... that stands for it
	unsure bool  // a write may have been applied all the same
	hint   string
}

const (
	hintClock  = "set this machine's clock, for example with an NTP client: it and the provider's differ by more than requests allow"
	hintToken  = "the session token is over: give a new one, or keys that do not expire"
	hintKey    = "check the access key: the provider does not know it"
	hintSecret = "check the secret key, and that it belongs to this access key"
	hintRights = "the key needs the rights to read, write, delete and list in this bucket"
	hintFull   = "make room at the provider, or raise the quota"
	hintRegion = "set the region that the bucket is in"
)

var (
	absent   = verdict{kind: errs.NotFound}
	failed   = verdict{kind: errs.Conflict}
	again    = verdict{kind: errs.Unavailable} // certainly not applied
	unsure   = verdict{kind: errs.Unavailable, unsure: true}
	full     = verdict{kind: errs.Unavailable, is: blob.ErrFull, hint: hintFull}
	noBucket = verdict{kind: errs.Unavailable, is: blob.ErrNoBucket, hint: "make the bucket, or correct its name"}
	part     = verdict{kind: errs.Invalid, is: blob.ErrPart}
	skew     = verdict{kind: errs.Denied, is: blob.ErrSkew, hint: hintClock}
	token    = verdict{kind: errs.Denied, hint: hintToken}
	foreign  = verdict{kind: errs.Denied, hint: hintRegion}
	never    = verdict{kind: errs.Unsupported}
)

// byCode is what S3's error codes mean, those of its kin included.
var byCode = map[string]verdict{
	"NoSuchKey": absent, "NoSuchVersion": absent,
	"NoSuchBucket": noBucket,
	"NoSuchUpload": {kind: errs.NotFound, is: blob.ErrNoUpload},
	"InvalidPart":  part, "InvalidPartOrder": part,
	"EntityTooSmall": {kind: errs.Invalid, is: blob.ErrTooSmall},
	"InvalidRange":   {kind: errs.Invalid, is: blob.ErrRange},

	"PreconditionFailed":         failed,
	"BucketAlreadyExists":        {kind: errs.Conflict, hint: "the name belongs to somebody else: choose another"},
	"ConditionalRequestConflict": again, "OperationAborted": again,

	"RequestTimeTooSkewed": skew,
	"ExpiredToken":         token, "ExpiredTokenException": token, "TokenRefreshRequired": token, "InvalidToken": token,
	"InvalidAccessKeyId":    {kind: errs.Denied, hint: hintKey},
	"SignatureDoesNotMatch": {kind: errs.Denied, hint: hintSecret},
	"AccessDenied":          {kind: errs.Denied, hint: hintRights}, "AllAccessDisabled": {kind: errs.Denied}, "AccountProblem": {kind: errs.Denied, hint: "the account at the provider is suspended or unpaid"},
	"InvalidObjectState":           {kind: errs.Unavailable, hint: "the object is in an archive: restore it at the provider"},
	"AuthorizationHeaderMalformed": foreign, "PermanentRedirect": foreign, "IllegalLocationConstraintException": foreign,
	"TemporaryRedirect": again,

	"QuotaExceeded": full, "XMinioStorageFull": full, "XMinioAdminBucketQuotaExceeded": full, "InsufficientStorage": full,
	"InsufficientCapacity": full, "StorageCapExceeded": full, "StorageQuotaExceeded": full, "ServiceQuotaExceededException": full,

	"NotImplemented": never,

	"SlowDown": again, "SlowDownRead": again, "SlowDownWrite": again, "Throttling": again, "ThrottlingException": again,
	"TooManyRequests": again, "RequestLimitExceeded": again, "BandwidthLimitExceeded": again, "ServerBusy": again,
	// What did not arrive whole was not stored.
	"RequestTimeout": again, "IncompleteBody": again, "BadDigest": again, "XAmzContentSHA256Mismatch": again,
	"InternalError": unsure, "ServiceUnavailable": unsure,
}

// byStatus is what an answer without a code that says more means.
func byStatus(status int) verdict {
	switch {
	case status == http.StatusNotFound:
		return absent
	case status == http.StatusPreconditionFailed:
		return failed
	case status == http.StatusConflict, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return again
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return verdict{kind: errs.Denied, hint: hintRights}
	case status == http.StatusRequestedRangeNotSatisfiable:
		return byCode["InvalidRange"]
	case status == http.StatusInsufficientStorage:
		return full
	case status == http.StatusNotImplemented, status == http.StatusMethodNotAllowed:
		return never
	case status >= 300 && status < 400:
		return foreign
	case status >= 400 && status < 500:
		return verdict{kind: errs.Invalid}
	default:
		return unsure
	}
}

// judge gives a call's error its meaning for the layers above. a's request has
// ended.
func (d *Driver) judge(a *attempt, q ask, err error) error {
	if err == nil {
		return nil
	}
	if a.body != nil {
		if e := a.body.failure(); e != nil {
			return e
		}
	}
	if r := d.answerOf(err); r != nil {
		return refused(q, r)
	}
	return d.unanswered(a, q, err)
}

// answerOf gives the provider's answer in err, or nil if there was none that
// can be understood.
func (d *Driver) answerOf(err error) *answer {
	r := new(answer)
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) && re.Response != nil {
		r.status = re.HTTPStatusCode()
		r.region = re.Response.Header.Get("X-Amz-Bucket-Region")
	}
	var api smithy.APIError
	switch {
	case errors.As(err, &api):
		r.code = d.clean(api.ErrorCode(), 64)
		r.message = d.clean(api.ErrorMessage(), 200)
	case r.status < 300:
		return nil
	}
	return r
}

func refused(q ask, r *answer) error {
	v, ok := byCode[r.code]
	if !ok {
		v = byStatus(r.status)
	}
	if r.status == http.StatusConflict && !ok && !q.when && r.code != "" {
		v = verdict{kind: errs.Invalid} // against what is there, such as an object where a folder would have to be
	}
	if q.match && v == absent {
		v = failed
	}
	err := error(r)
	if v.is != nil {
		err = fmt.Errorf("%w: %w", v.is, r)
	}
	err = errs.E(v.kind, "%w", err)
	switch {
	case r.region != "" && v == foreign:
		err = errs.WithHint(err, "the bucket is in region %s: set it", r.region)
	case v.hint != "":
		err = errs.WithHint(err, "%s", v.hint)
	}
	if q.writes && v.unsure {
		err = errs.MaybeApplied(err)
	}
	return err
}

// unanswered is the error of a request that got no answer, or half of one.
func (d *Driver) unanswered(a *attempt, q ask, err error) error {
	switch {
	case a.silent():
		err = errs.E(errs.Unavailable, "%w for %v", errSilent, a.quiet)
	case a.outer.Err() != nil:
		err = errs.Wrap(errs.Unavailable, a.outer.Err(), "given up")
	default:
		err = errs.Wrap(errs.Unavailable, d.root(err), "no answer")
	}
	if q.writes && !a.unsent() {
		err = errs.MaybeApplied(err)
	}
	return err
}

// root cuts the layers of the SDK and of net/http off an error: they repeat
// the URL and say nothing more.
func (d *Driver) root(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	var broken *smithy.DeserializationError
	if errors.As(err, &broken) {
		return fmt.Errorf("the answer cannot be understood: %s", d.clean(broken.Err.Error(), 200))
	}
	var op *smithy.OperationError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// clean makes a provider's words fit for a line of a log: short, printable,
// and without our secrets.
func (d *Driver) clean(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, d.redact.Replace(s))
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return s
}

// suspect is the error of an answer that cannot be right.
func suspect(q ask, format string, args ...any) error {
	err := errs.E(errs.Internal, "%w: "+format, append([]any{blob.ErrSuspect}, args...)...)
	if q.writes {
		err = errs.MaybeApplied(err)
	}
	return err
}
