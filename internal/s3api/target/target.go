// Package target reads what the URL of an S3 request names: a bucket by its
// path or by its host, a key, parameters.
//
//	t, err := target.Parse(r, "s3.example.com")
//	switch t.Scope() { ... }
package target

import (
	"net"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/offer"
	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/sigv4"
)

// Target is what a request names.
type Target struct {
	Bucket string            // "" = none
	Key    string            // "" = none; not checked
	Query  map[string]string // decoded once
}

// Parse gives what the request names. The key is what net/http decoded once
// and nothing cleaned: "//", ".." and an encoded percent sign are parts of it.
// domain is that of virtual-host style, or "".
func Parse(r *http.Request, domain string) (t Target, err error) {
	path := strings.TrimPrefix(r.URL.Path, "/")
	if t.Bucket = Hosted(r.Host, domain); t.Bucket != "" {
		t.Key = path
	} else {
		t.Bucket, t.Key, _ = strings.Cut(path, "/")
		if t.Bucket == "" && t.Key != "" {
			return t, s3err.InvalidURI.Msg("The path names no bucket.")
		}
	}
	pairs, err := sigv4.Pairs(r.URL.RawQuery)
	if err != nil {
		return t, err
	}
	t.Query = make(map[string]string, len(pairs))
	for _, p := range pairs {
		if _, twice := t.Query[p[0]]; twice {
			return t, s3err.InvalidArgument.Msg("The parameter %q is given twice.", p[0])
		}
		t.Query[p[0]] = p[1]
	}
	return t, nil
}

// Hosted gives the bucket of a virtual-host style host, or "".
func Hosted(host, domain string) string {
	if domain == "" {
		return ""
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	bucket, ok := strings.CutSuffix(strings.ToLower(host), "."+strings.ToLower(domain))
	if !ok {
		return ""
	}
	return bucket
}

// Scope says how much is named.
func (t Target) Scope() offer.Scope {
	switch {
	case t.Bucket == "":
		return offer.Service
	case t.Key == "":
		return offer.Bucket
	default:
		return offer.Object
	}
}

// Hoist gives the request's header with the x-amz-* parameters of a presigned
// URL as headers: signers move what they can into the URL.
func (t Target) Hoist(h http.Header) http.Header {
	h = h.Clone()
	for name, value := range t.Query {
		lower := strings.ToLower(name)
		if !strings.HasPrefix(lower, "x-amz-") || sigv4.AuthParameter(lower) {
			continue
		}
		if _, there := h[http.CanonicalHeaderKey(lower)]; !there {
			h.Set(lower, value)
		}
	}
	return h
}

// CheckKey refuses keys that no bucket takes.
func CheckKey(key string) error {
	switch err := blob.CheckKey(key); {
	case len(key) > blob.MaxKey:
		return s3err.KeyTooLong.Err()
	case !utf8.ValidString(key):
		return s3err.InvalidURI.Msg("The key is not valid UTF-8.")
	default:
		return err
	}
}

// maxHeader bounds the bytes of a request's header fields.
const maxHeader = 64 << 10

// CheckHeader refuses headers that are too large.
func CheckHeader(h http.Header) error {
	size := 0
	for name, values := range h {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if size > maxHeader {
		return s3err.HeaderTooLarge.Err()
	}
	return nil
}
