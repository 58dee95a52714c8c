// Package payload opens the body of an S3 request: whatever way it comes, what
// is read from it is the object's bytes, checked against all that the request
// declared of them.
//
//	b, err := payload.Open(header, body, contentLength, signature, secret)
//	obj, err := store.Put(ctx, key, b, b.Size, ...)
package payload

import (
	"io"
	"net/http"
	"strconv"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/checksum"
	"github.com/sparecloud/spare/internal/s3api/chunked"
	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/sigv4"
)

// Body is a request's body. It gives io.EOF only if everything that was
// declared of it is true: see [checksum.Reader].
type Body struct {
	*checksum.Reader
	Size int64 // bytes, as declared
}

// Open gives the body of a request. length is the Content-Length, negative
// where there is none; s is the request's signature, which was verified with
// secret. Nothing is read yet.
func Open(h http.Header, body io.Reader, length int64, s *sigv4.Signature, secret string) (*Body, error) {
	want, err := declared(h)
	if err != nil {
		return nil, err
	}
	streamed := s.Payload == sigv4.Streaming || s.Payload == sigv4.StreamingSigned || s.Payload == sigv4.StreamingPlain
	if streamed {
		length, err = decodedLength(h)
		if err != nil {
			return nil, err
		}
	}
	switch {
	case length < 0:
		return nil, s3err.MissingContentLength.Err()
	case length > blob.MaxPut:
		return nil, s3err.EntityTooLarge.Err().With("ProposedSize", strconv.FormatInt(length, 10)).With("MaxSizeAllowed", strconv.FormatInt(blob.MaxPut, 10))
	case len(want.Late) > 0 && (!streamed || s.Payload == sigv4.Streaming):
		return nil, s3err.InvalidRequest.Msg("x-amz-trailer needs an x-amz-content-sha256 that ends in -TRAILER.")
	}
	want.Size = length
	switch {
	case streamed:
		body = unframe(body, &want, s, secret)
	case s.Payload != sigv4.Unsigned:
		want.SHA256 = s.Payload
	}
	return &Body{Reader: checksum.NewReader(body, want), Size: length}, nil
}

// unframe decodes an aws-chunked body.
func unframe(body io.Reader, want *checksum.Want, s *sigv4.Signature, secret string) io.Reader {
	o := chunked.Options{Size: want.Size}
	if s.Payload != sigv4.StreamingPlain {
		o.Verifier = s.Chain(secret)
	}
	for _, a := range want.Late {
		o.Trailers = append(o.Trailers, a.Header())
	}
	r := chunked.New(body, o)
	want.Trailer = func(a checksum.Algorithm) string { return r.Trailer(a.Header()) }
	return r
}

func declared(h http.Header) (w checksum.Want, err error) {
	if w.Sums, err = checksum.Declared(h); err != nil {
		return w, err
	}
	if w.Late, err = checksum.Trailers(h); err != nil {
		return w, err
	}
	if len(w.Sums) > 0 && len(w.Late) > 0 {
		return w, s3err.InvalidRequest.Msg("Expecting a single checksum, in the header or in the trailer.")
	}
	w.MD5, err = checksum.DeclaredMD5(h)
	return w, err
}

func decodedLength(h http.Header) (int64, error) {
	value := h.Get("X-Amz-Decoded-Content-Length")
	if value == "" {
		return 0, s3err.MissingContentLength.Err()
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		return 0, s3err.InvalidArgument.Msg("x-amz-decoded-content-length is not a length.")
	}
	return n, nil
}
