// Package s3err holds the errors that S3 clients know, and the one table from
// this program's errors to them.
//
// An [Error] is a code of the S3 API with the message of this one occasion.
// Code that speaks S3 makes one with [Code.Msg]; whatever else goes wrong
// below, [From] translates.
//
//	return s3err.InvalidArgument.Msg("max-keys is not a number")
//	e := s3err.From(err)
//	w.WriteHeader(e.Code.Status)
package s3err

import (
	"errors"
	"fmt"
	"net/http"
)

// Code is an error code of the S3 API. Codes and statuses are those of the
// "Error responses" page of the Amazon S3 API reference.
type Code struct {
	Name    string
	Status  int
	Message string // what is said where nothing better is known
}

// The codes that this program answers.
var (
	AccessDenied             = Code{"AccessDenied", http.StatusForbidden, "Access Denied."}
	MalformedAuth            = Code{"AuthorizationHeaderMalformed", http.StatusBadRequest, "The authorization header is malformed."}
	MalformedQueryAuth       = Code{"AuthorizationQueryParametersError", http.StatusBadRequest, "The authentication parameters of the query are wrong."}
	BadDigest                = Code{"BadDigest", http.StatusBadRequest, "The checksum that was declared does not match what was received."}
	BucketAlreadyOwnedByYou  = Code{"BucketAlreadyOwnedByYou", http.StatusConflict, "The bucket exists and you may use it."}
	EntityTooLarge           = Code{"EntityTooLarge", http.StatusBadRequest, "The body is larger than what may be sent at once."}
	EntityTooSmall           = Code{"EntityTooSmall", http.StatusBadRequest, "A part other than the last is smaller than 5 MiB."}
	IncompleteBody           = Code{"IncompleteBody", http.StatusBadRequest, "The body is not as long as was declared."}
	InternalError            = Code{"InternalError", http.StatusInternalServerError, "Something went wrong here. The log has it under this request's id."}
	InvalidAccessKeyID       = Code{"InvalidAccessKeyId", http.StatusForbidden, "The access key is not known here."}
	InvalidArgument          = Code{"InvalidArgument", http.StatusBadRequest, "An argument is invalid."}
	InvalidDigest            = Code{"InvalidDigest", http.StatusBadRequest, "The Content-MD5 is not the base64 form of an MD5 sum."}
	InvalidPart              = Code{"InvalidPart", http.StatusBadRequest, "A part is missing, or it is not the one that was uploaded."}
	InvalidPartOrder         = Code{"InvalidPartOrder", http.StatusBadRequest, "The parts are not listed in rising order."}
	InvalidRange             = Code{"InvalidRange", http.StatusRequestedRangeNotSatisfiable, "No byte of the range exists."}
	InvalidRequest           = Code{"InvalidRequest", http.StatusBadRequest, "The request is invalid."}
	InvalidToken             = Code{"InvalidToken", http.StatusBadRequest, "Session tokens are not issued here: use an access key and its secret alone."}
	InvalidURI               = Code{"InvalidURI", http.StatusBadRequest, "The URI could not be read."}
	KeyTooLong               = Code{"KeyTooLongError", http.StatusBadRequest, "The key is longer than 1,024 bytes."}
	MalformedTrailer         = Code{"MalformedTrailerError", http.StatusBadRequest, "The trailer is malformed, or not the one that was declared."}
	MalformedXML             = Code{"MalformedXML", http.StatusBadRequest, "The XML document is malformed or too large."}
	MetadataTooLarge         = Code{"MetadataTooLarge", http.StatusBadRequest, "The user metadata is larger than 2 KiB."}
	MethodNotAllowed         = Code{"MethodNotAllowed", http.StatusMethodNotAllowed, "The method is not allowed on this resource."}
	MissingContentLength     = Code{"MissingContentLength", http.StatusLengthRequired, "The length of the body must be declared."}
	MissingSecurityHeader    = Code{"MissingSecurityHeader", http.StatusBadRequest, "A header that the signature needs is missing."}
	NoSuchBucket             = Code{"NoSuchBucket", http.StatusNotFound, "There is no such bucket."}
	NoSuchKey                = Code{"NoSuchKey", http.StatusNotFound, "There is no object under this key."}
	NoSuchUpload             = Code{"NoSuchUpload", http.StatusNotFound, "There is no such multipart upload: it was completed or aborted, or it never was."}
	NotImplemented           = Code{"NotImplemented", http.StatusNotImplemented, "This is not offered here."}
	NotModified              = Code{"NotModified", http.StatusNotModified, ""}
	PreconditionFailed       = Code{"PreconditionFailed", http.StatusPreconditionFailed, "A condition of the request does not hold."}
	HeaderTooLarge           = Code{"RequestHeaderSectionTooLarge", http.StatusBadRequest, "The header is larger than 64 KiB."}
	RequestTimeout           = Code{"RequestTimeout", http.StatusBadRequest, "The body did not go on in time."}
	RequestTimeTooSkewed     = Code{"RequestTimeTooSkewed", http.StatusForbidden, "The request's time is more than 15 minutes from the time here."}
	ServiceUnavailable       = Code{"ServiceUnavailable", http.StatusServiceUnavailable, "Too few providers answer. Try again."}
	SignatureDoesNotMatch    = Code{"SignatureDoesNotMatch", http.StatusForbidden, "The signature that was sent is not the one that the request has. Check the secret key."}
	ContentSHA256Mismatch    = Code{"XAmzContentSHA256Mismatch", http.StatusBadRequest, "The x-amz-content-sha256 that was sent is not the body's."}
	InvalidLocation          = Code{"IllegalLocationConstraintException", http.StatusBadRequest, "The location is not the one of this endpoint."}
	UnsupportedAuthorization = Code{"InvalidRequest", http.StatusBadRequest, "The authorization mechanism is not supported. Use AWS4-HMAC-SHA256."}
)

// Error is one occasion of a [Code].
type Error struct {
	Code
	Detail string  // what happened; "" = Code.Message
	Fields []Field // further elements of the document
	Retry  bool    // trying again may help
	Maybe  bool    // a write that may have been applied
	Cause  error   // for the log alone
}

// Field is a further element of an error document.
type Field struct{ Name, Value string }

// Error gives the code and the message.
func (e *Error) Error() string { return e.Name + ": " + e.Text() }

// Unwrap gives what lies below.
func (e *Error) Unwrap() error { return e.Cause }

// Text gives the message for the client.
func (e *Error) Text() string {
	if e.Detail != "" {
		return e.Detail
	}
	return e.Message
}

// With adds an element to the document.
func (e *Error) With(name, value string) *Error {
	e.Fields = append(e.Fields, Field{name, value})
	return e
}

// Msg makes an error of the code with a message of its own.
func (c Code) Msg(format string, args ...any) *Error {
	return &Error{Code: c, Detail: fmt.Sprintf(format, args...)}
}

// Err makes an error of the code with the code's message.
func (c Code) Err() *Error { return &Error{Code: c} }

// Is reports whether err is, or wraps, an error of the code.
func Is(err error, c Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == c
}
