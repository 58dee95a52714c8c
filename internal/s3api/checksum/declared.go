package checksum

import (
	"crypto/md5" //nolint:gosec // Content-MD5 is what clients send
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// Declared reads the checksum of a body from a request's header: at most one
// x-amz-checksum-... with a value of the right form. None gives an empty map.
// Names that are no checksum are left to others.
func Declared(h http.Header) (map[Algorithm]string, error) {
	sums := map[Algorithm]string{}
	for _, a := range All {
		value, ok := h[http.CanonicalHeaderKey(a.Header())]
		if !ok {
			continue
		}
		if len(value) != 1 || len(sums) > 0 {
			return nil, s3err.InvalidRequest.Msg("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		if err := a.Check(value[0]); err != nil {
			return nil, err
		}
		sums[a] = value[0]
	}
	return sums, nil
}

// Trailers reads x-amz-trailer: the checksums that follow a body. What is no
// checksum may not follow it.
func Trailers(h http.Header) ([]Algorithm, error) {
	var late []Algorithm
	for _, line := range h["X-Amz-Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			a, ok := FromHeader(strings.TrimSpace(name))
			if !ok {
				return nil, s3err.InvalidRequest.Msg("The value %q specified in x-amz-trailer is not supported.", strings.TrimSpace(name))
			}
			late = append(late, a)
		}
	}
	if len(late) > 1 {
		return nil, s3err.InvalidRequest.Msg("Expecting a single x-amz-checksum- trailer.")
	}
	return late, nil
}

// DeclaredMD5 reads Content-MD5; nil where there is none.
func DeclaredMD5(h http.Header) ([]byte, error) {
	value := h.Get("Content-Md5")
	if _, given := h["Content-Md5"]; !given {
		return nil, nil
	}
	sum, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(sum) != md5.Size {
		return nil, s3err.InvalidDigest.Err()
	}
	return sum, nil
}

// DeclaredWhole reads the checksum that the end of a multipart upload declares
// of the object: its form is not checked. "" where there is none.
func DeclaredWhole(h http.Header) (alg Algorithm, value string, err error) {
	for _, a := range All {
		v := h.Get(a.Header())
		if v == "" {
			continue
		}
		if value != "" {
			return "", "", s3err.InvalidRequest.Msg("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
		}
		alg, value = a, v
	}
	return alg, value, nil
}

// Whole gives those of an object's sums that are of all its bytes.
func Whole(sums blob.Sums) map[Algorithm]string {
	m := map[Algorithm]string{}
	for name, value := range sums {
		if a, ok := Parse(name); ok && !Composite(value) {
			m[a] = value
		}
	}
	return m
}
