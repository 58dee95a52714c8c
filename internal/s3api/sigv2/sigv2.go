// Package sigv2 checks URLs that were presigned by Signature Version 2, which
// boto3 and the AWS command line of version 1 still make for endpoints of their
// user's choice. Other uses of version 2 are refused.
//
// The form is that of "Signing and authenticating REST requests (AWS signature
// version 2)" in the Amazon S3 developer guide, query string authentication.
// It signs the method, the path, x-amz-* headers and some parameters: a
// parameter that it leaves out is refused, so that nobody who was given a URL
// can make more of it.
//
//	sig, err := sigv2.Parse(r)                      // nil where there is none
//	err = sig.Verify(r, bucket, secret, time.Now()) // bucket of a virtual host, or ""
package sigv2

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what version 2 is made of
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/sigv4"
)

// signed are the parameters that are part of what is signed, of those that
// objects have.
var signed = []string{
	"acl", "partNumber", "response-cache-control", "response-content-disposition", "response-content-encoding", "response-content-language",
	"response-content-type", "response-expires", "tagging", "torrent", "uploadId", "uploads", "versionId",
}

// Signature is what a presigned URL claims.
type Signature struct {
	AccessKey string
	expires   time.Time
	expiry    string // as it was sent
	value     []byte
	query     [][2]string // what is signed of it
	amz       map[string]string
}

// Parse reads a URL's signature, or gives nil where it has none.
func Parse(r *http.Request) (*Signature, error) {
	pairs, err := sigv4.Pairs(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	s, value := &Signature{amz: map[string]string{}}, ""
	for _, p := range pairs {
		lower := strings.ToLower(p[0])
		switch {
		case p[0] == "AWSAccessKeyId":
			s.AccessKey = p[1]
		case p[0] == "Signature":
			value = p[1]
		case p[0] == "Expires":
			s.expiry = p[1]
		case slices.Contains(signed, p[0]):
			s.query = append(s.query, p)
		case strings.HasPrefix(lower, "x-amz-"):
			s.amz[lower] = p[1]
		default:
			err = s3err.AccessDenied.Msg("The parameter %q cannot be part of a URL presigned by version 2, which would not sign it. Use AWS4-HMAC-SHA256.", p[0])
		}
	}
	if s.AccessKey == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return s, s.check(r, value)
}

func (s *Signature) check(r *http.Request, value string) error {
	seconds, err := strconv.ParseInt(s.expiry, 10, 64)
	if err != nil {
		return s3err.AccessDenied.Msg("Invalid date (should be seconds since epoch): %s", s.expiry)
	}
	s.expires = time.Unix(seconds, 0)
	if s.value, err = base64.StdEncoding.DecodeString(value); err != nil || len(s.value) != sha1.Size {
		return s3err.AccessDenied.Msg("The Signature is malformed.")
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete:
	default:
		return s3err.AccessDenied.Msg("URLs presigned by version 2 are for GET, HEAD, PUT and DELETE.")
	}
	for name, values := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			s.amz[lower] = strings.Join(values, ",")
		}
	}
	if hash := s.amz["x-amz-content-sha256"]; hash != "" && hash != sigv4.Unsigned {
		return s3err.InvalidRequest.Msg("A URL presigned by version 2 takes a body as it is: x-amz-content-sha256 can only be UNSIGNED-PAYLOAD.")
	}
	return nil
}

// Verify checks the signature and its time. bucket is the one that the host
// names, "" in path style. The errors are those of package s3err.
func (s *Signature) Verify(r *http.Request, bucket, secret string, now time.Time) error {
	h := hmac.New(sha1.New, []byte(secret))
	h.Write([]byte(s.text(r, bucket)))
	if subtle.ConstantTimeCompare(h.Sum(nil), s.value) != 1 {
		return s3err.SignatureDoesNotMatch.Err()
	}
	switch {
	case now.After(s.expires):
		return s3err.AccessDenied.Msg("Request has expired").With("Expires", s.expires.UTC().Format(time.RFC3339)).With("ServerTime", now.UTC().Format(time.RFC3339))
	case s.expires.Sub(now) > sigv4.MaxExpiry:
		return s3err.AccessDenied.Msg("A presigned URL can live for 7 days at most.")
	}
	return nil
}

// text gives what is signed.
func (s *Signature) text(r *http.Request, bucket string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + r.Header.Get("Content-Md5") + "\n" + r.Header.Get("Content-Type") + "\n" + s.expiry + "\n")
	for _, name := range slices.Sorted(maps.Keys(s.amz)) {
		b.WriteString(name + ":" + s.amz[name] + "\n")
	}
	if bucket != "" {
		b.WriteString("/" + bucket)
	}
	b.WriteString(r.URL.EscapedPath())
	slices.SortFunc(s.query, func(x, y [2]string) int { return strings.Compare(x[0], y[0]) })
	sep := "?"
	for _, p := range s.query {
		b.WriteString(sep + p[0])
		if p[1] != "" {
			b.WriteString("=" + p[1])
		}
		sep = "&"
	}
	return b.String()
}
