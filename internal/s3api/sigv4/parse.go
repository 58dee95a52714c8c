package sigv4

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// Parse reads what the request claims. It gives nil where the request carries
// no credentials at all.
func Parse(r *http.Request) (*Signature, error) {
	header := r.Header.Get("Authorization")
	query, err := authQuery(r.URL.RawQuery)
	switch {
	case err != nil:
		return nil, err
	case header != "" && query != nil:
		return nil, s3err.InvalidArgument.Msg("Only one way to authenticate is allowed: a header or the query.")
	case header != "":
		return parseHeader(r, header)
	case query != nil:
		return parseQuery(r, query)
	default:
		return nil, nil
	}
}

// AuthParameter says whether a query parameter belongs to the signature of a
// presigned URL.
func AuthParameter(name string) bool {
	switch strings.ToLower(name) {
	case "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature", "x-amz-security-token":
		return true
	}
	return false
}

// authQuery gives the parameters of a presigned URL by their names in lower
// case, or nil where there are none.
func authQuery(raw string) (map[string]string, error) {
	pairs, err := Pairs(raw)
	if err != nil {
		return nil, err
	}
	q, signed := map[string]string{}, false
	for _, p := range pairs {
		name := strings.ToLower(p[0])
		if !AuthParameter(name) && name != "x-amz-content-sha256" {
			continue
		}
		if _, twice := q[name]; twice {
			return nil, s3err.MalformedQueryAuth.Msg("The parameter %s is given twice.", p[0])
		}
		q[name] = p[1]
		signed = signed || name != "x-amz-content-sha256"
	}
	if !signed {
		return nil, nil
	}
	return q, nil
}

func parseHeader(r *http.Request, header string) (*Signature, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if scheme != algorithm {
		return nil, s3err.UnsupportedAuthorization.Err()
	}
	fields := map[string]string{}
	for f := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(f), "=")
		if _, twice := fields[name]; !ok || twice {
			return nil, s3err.MalformedAuth.Err()
		}
		fields[name] = value
	}
	s := &Signature{Payload: r.Header.Get("X-Amz-Content-Sha256")}
	if s.Payload == "" {
		return nil, s3err.InvalidRequest.Msg("Missing required header for this request: x-amz-content-sha256")
	}
	if len(r.Header["X-Amz-Security-Token"]) > 0 {
		return nil, s3err.InvalidToken.Err()
	}
	date := r.Header.Get("X-Amz-Date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	return s.fill(fields["Credential"], fields["SignedHeaders"], fields["Signature"], date, s3err.MalformedAuth)
}

func parseQuery(r *http.Request, q map[string]string) (*Signature, error) {
	bad := s3err.MalformedQueryAuth
	if a := q["x-amz-algorithm"]; a != algorithm {
		return nil, bad.Msg("X-Amz-Algorithm only supports %q.", algorithm)
	}
	if _, ok := q["x-amz-security-token"]; ok {
		return nil, s3err.InvalidToken.Err()
	}
	seconds, err := strconv.ParseInt(q["x-amz-expires"], 10, 64)
	switch {
	case err != nil:
		return nil, bad.Msg("X-Amz-Expires should be a number.")
	case seconds < 0:
		return nil, bad.Msg("X-Amz-Expires must be non-negative.")
	case seconds > int64(MaxExpiry/time.Second):
		return nil, bad.Msg("X-Amz-Expires must be less than a week (in seconds); that is, it must be less than 604800.")
	}
	s := &Signature{Presigned: true, Expires: time.Duration(seconds) * time.Second, Payload: Unsigned}
	for _, declared := range []string{q["x-amz-content-sha256"], r.Header.Get("X-Amz-Content-Sha256")} {
		if declared != "" {
			s.Payload = declared
		}
	}
	return s.fill(q["x-amz-credential"], q["x-amz-signedheaders"], q["x-amz-signature"], q["x-amz-date"], bad)
}

// fill checks the form of what both ways have in common. bad is the code of
// what is malformed.
func (s *Signature) fill(credential, signed, value, date string, bad s3err.Code) (*Signature, error) {
	if raw, err := hex.DecodeString(value); err != nil || len(raw) != 32 || strings.ToLower(value) != value {
		return nil, bad.Msg("The Signature is not one of %s.", algorithm)
	}
	s.value = value
	s.signed = strings.Split(signed, ";")
	if signed == "" || !slices.IsSorted(s.signed) || signed != strings.ToLower(signed) || len(slices.Compact(slices.Clone(s.signed))) != len(s.signed) {
		return nil, bad.Msg("SignedHeaders must name headers in lower case, in order and once each.")
	}
	if !knownPayload(s.Payload) {
		return nil, s3err.InvalidArgument.Msg("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.")
	}
	t, err := parseTime(date)
	if err != nil {
		return nil, err
	}
	s.Time = t
	return s, s.scoped(credential, bad)
}

// scoped reads ACCESSKEY/YYYYMMDD/region/s3/aws4_request. An access key may
// hold slashes.
func (s *Signature) scoped(credential string, bad s3err.Code) error {
	parts := strings.Split(credential, "/")
	n := len(parts)
	if n < 5 {
		return bad.Msg("The Credential is malformed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
	}
	s.AccessKey, s.day, s.Region = strings.Join(parts[:n-4], "/"), parts[n-4], parts[n-3]
	switch {
	case s.AccessKey == "":
		return bad.Msg("The Credential has no access key.")
	case parts[n-2] != "s3":
		return bad.Msg("The Credential's service %q is wrong; expecting \"s3\".", parts[n-2])
	case parts[n-1] != "aws4_request":
		return bad.Msg("The Credential's terminator %q is wrong; expecting \"aws4_request\".", parts[n-1])
	case s.day != s.Time.Format("20060102"):
		return bad.Msg("The Credential's date %q is not that of the request.", s.day)
	}
	return nil
}

// WrongRegion tells which region to sign for, so that clients do.
func (s *Signature) WrongRegion(region string) error {
	code := s3err.MalformedAuth
	if s.Presigned {
		code = s3err.MalformedQueryAuth
	}
	return code.Msg("The region %q is wrong; expecting %q.", s.Region, region).With("Region", region)
}

func knownPayload(p string) bool {
	switch p {
	case Unsigned, Streaming, StreamingSigned, StreamingPlain:
		return true
	}
	raw, err := hex.DecodeString(p)
	return err == nil && len(raw) == 32
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, s3err.AccessDenied.Msg("AWS authentication requires a valid Date or x-amz-date header.")
	}
	if t, err := time.Parse(timeFormat, s); err == nil {
		return t, nil
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return time.Time{}, s3err.AccessDenied.Msg("AWS authentication requires a valid Date or x-amz-date header.")
	}
	return t.UTC(), nil
}
