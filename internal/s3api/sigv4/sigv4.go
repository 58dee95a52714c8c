// Package sigv4 checks AWS Signature Version 4, as a server of S3 has to: in
// the Authorization header, in a presigned URL, and of the chunks of a
// streamed body.
//
// The form is that of "Authenticating Requests (AWS Signature Version 4)" in
// the Amazon S3 API reference. S3 differs from other services in that the path
// is encoded once and never cleaned.
//
//	sig, err := sigv4.Parse(r)             // what the client claims
//	err = sig.Verify(r, secret, time.Now()) // whether that is so
//	chain := sig.Chain(secret)             // for the chunks of its body
package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// MaxSkew is how far the request's time may be from the time here.
const MaxSkew = 15 * time.Minute

// MaxExpiry is the longest life of a presigned URL.
const MaxExpiry = 7 * 24 * time.Hour

// Values of x-amz-content-sha256 that are not the hash of the body.
const (
	Unsigned        = "UNSIGNED-PAYLOAD"
	Streaming       = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	StreamingSigned = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	StreamingPlain  = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
	emptyHash  = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// Signature is what a request claims about its sender.
type Signature struct {
	AccessKey string
	Region    string // of the credential's scope
	Time      time.Time
	Presigned bool
	Expires   time.Duration // of a presigned URL
	Payload   string        // x-amz-content-sha256: a hash in hex, or one of the constants

	day    string   // of the scope, YYYYMMDD
	signed []string // names of the signed headers, in lower case
	value  string   // the signature, in hex
}

// Verify checks the signature of r, of which it was parsed, and its time. The
// errors are those of package s3err.
func (s *Signature) Verify(r *http.Request, secret string, now time.Time) error {
	if err := s.checkSigned(r); err != nil {
		return err
	}
	canonical, err := s.canonical(r)
	if err != nil {
		return err
	}
	want := s.sign(s.key(secret), canonical)
	if subtle.ConstantTimeCompare([]byte(want), []byte(s.value)) != 1 {
		return s3err.SignatureDoesNotMatch.Err()
	}
	return s.checkTime(now)
}

// checkSigned demands that what gives the request its meaning was signed.
func (s *Signature) checkSigned(r *http.Request) error {
	signed := make(map[string]bool, len(s.signed))
	for _, name := range s.signed {
		signed[name] = true
	}
	if !signed["host"] {
		return s3err.AccessDenied.Msg("The host header must be signed.")
	}
	var missing []string
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !signed[lower] {
			missing = append(missing, lower)
		}
	}
	if len(missing) > 0 {
		return s3err.AccessDenied.Msg("There were headers present in the request which were not signed.").With("HeadersNotSigned", strings.Join(missing, ", "))
	}
	return nil
}

// checkTime comes after the signature, so that the answer says nothing to
// somebody who has not signed.
func (s *Signature) checkTime(now time.Time) error {
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	switch {
	case s.Presigned && now.After(s.Time.Add(s.Expires)):
		return s3err.AccessDenied.Msg("Request has expired.").With("Expires", stamp(s.Time.Add(s.Expires))).With("ServerTime", stamp(now))
	case s.Time.Sub(now) > MaxSkew, !s.Presigned && now.Sub(s.Time) > MaxSkew:
		return s3err.RequestTimeTooSkewed.Err().With("RequestTime", stamp(s.Time)).With("ServerTime", stamp(now))
	}
	return nil
}

// sign gives the signature of a canonical request, in hex.
func (s *Signature) sign(key []byte, canonical string) string {
	hash := sha256.Sum256([]byte(canonical))
	text := algorithm + "\n" + s.Time.Format(timeFormat) + "\n" + s.scope() + "\n" + hex.EncodeToString(hash[:])
	return hex.EncodeToString(mac(key, text))
}

func (s *Signature) scope() string { return s.day + "/" + s.Region + "/s3/aws4_request" }

func (s *Signature) key(secret string) []byte {
	key := mac([]byte("AWS4"+secret), s.day)
	for _, step := range []string{s.Region, "s3", "aws4_request"} {
		key = mac(key, step)
	}
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// canonical gives the canonical request.
func (s *Signature) canonical(r *http.Request) (string, error) {
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(r.Method + "\n" + escape(r.URL.Path, true) + "\n" + query + "\n")
	for _, name := range s.signed {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.signed, ";") + "\n" + s.Payload)
	return b.String(), nil
}

// headerValue gives the canonical value of a header. net/http keeps the host
// apart.
func headerValue(r *http.Request, name string) string {
	values := r.Header[http.CanonicalHeaderKey(name)]
	if name == "host" {
		values = []string{r.Host}
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = squeeze(strings.TrimSpace(v))
	}
	return strings.Join(trimmed, ",")
}

// squeeze makes one space of several.
func squeeze(s string) string {
	for strings.Contains(s, "  ") {
		s = strings.ReplaceAll(s, "  ", " ")
	}
	return s
}

// Pairs splits a raw query into names and values, in the order sent, percent-
// decoded once. Unlike url.ParseQuery it takes ";" for an ordinary character,
// as S3 does.
func Pairs(raw string) ([][2]string, error) {
	var pairs [][2]string
	for piece := range strings.SplitSeq(raw, "&") {
		if piece == "" {
			continue
		}
		name, value, _ := strings.Cut(piece, "=")
		n, err := url.QueryUnescape(name)
		if err != nil {
			return nil, s3err.InvalidURI.Msg("The query has an invalid escape.")
		}
		v, err := url.QueryUnescape(value)
		if err != nil {
			return nil, s3err.InvalidURI.Msg("The query has an invalid escape.")
		}
		pairs = append(pairs, [2]string{n, v})
	}
	return pairs, nil
}
