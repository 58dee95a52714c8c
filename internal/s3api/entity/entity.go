// Package entity translates between the headers of S3 and what a bucket keeps
// beside an object's bytes.
//
//	o, err := entity.Options(request.Header)      // to be stored
//	entity.Describe(answer.Header(), obj, query)  // to be given back
package entity

import (
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/checksum"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// defaultType is the Content-Type of objects that were stored without one.
const defaultType = "binary/octet-stream"

const metaPrefix = "x-amz-meta-"

// Options reads what is to be stored beside an object's bytes.
func Options(h http.Header) (o blob.PutOptions, err error) {
	o.Header = blob.Header{
		Type: h.Get("Content-Type"), Encoding: storedEncoding(h.Values("Content-Encoding")), Disposition: h.Get("Content-Disposition"),
		Language: h.Get("Content-Language"), CacheControl: h.Get("Cache-Control"), Expires: h.Get("Expires"),
	}
	for _, v := range []string{o.Header.Type, o.Header.Encoding, o.Header.Disposition, o.Header.Language, o.Header.CacheControl, o.Header.Expires} {
		if !utf8.ValidString(v) {
			return o, s3err.InvalidArgument.Msg("A header to be stored is not valid UTF-8.")
		}
	}
	size := 0
	for name, values := range h {
		name, ok := strings.CutPrefix(strings.ToLower(name), metaPrefix)
		if !ok {
			continue
		}
		if o.Meta == nil {
			o.Meta = map[string]string{}
		}
		o.Meta[name] = strings.Join(values, ",")
		size += len(name) + len(o.Meta[name])
	}
	if size > blob.MaxMeta {
		return o, s3err.MetadataTooLarge.Err()
	}
	return o, blob.CheckMeta(o.Meta)
}

// storedEncoding leaves out aws-chunked, which is about the way here.
func storedEncoding(lines []string) string {
	var kept []string
	for _, line := range lines {
		for e := range strings.SplitSeq(line, ",") {
			if e = strings.TrimSpace(e); e != "" && !strings.EqualFold(e, "aws-chunked") {
				kept = append(kept, e)
			}
		}
	}
	return strings.Join(kept, ",")
}

// overrides are the query parameters that replace headers of an answer.
var overrides = map[string]string{
	"response-content-type": "Content-Type", "response-content-language": "Content-Language", "response-expires": "Expires",
	"response-cache-control": "Cache-Control", "response-content-disposition": "Content-Disposition", "response-content-encoding": "Content-Encoding",
}

// Describe puts what an object carries into an answer's header; the query's
// response-... parameters replace some of it.
func Describe(h http.Header, o blob.Object, query map[string]string) {
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", Quote(o.ETag))
	if !o.Modified.IsZero() {
		h.Set("Last-Modified", o.Modified.UTC().Format(http.TimeFormat))
	}
	h.Set("Content-Type", defaultType)
	for name, v := range map[string]string{
		"Content-Type": o.Header.Type, "Content-Encoding": o.Header.Encoding, "Content-Disposition": o.Header.Disposition,
		"Content-Language": o.Header.Language, "Cache-Control": o.Header.CacheControl, "Expires": o.Header.Expires,
	} {
		if v != "" {
			h.Set(name, v)
		}
	}
	for parameter, name := range overrides {
		if v := query[parameter]; v != "" {
			h.Set(name, v)
		}
	}
	for name, v := range o.Meta {
		h[metaPrefix+name] = []string{v} // in lower case: some clients give names as they see them
	}
}

// DescribeSums puts checksums into an answer's header.
func DescribeSums(h http.Header, sums blob.Sums) {
	for _, a := range checksum.All {
		value, ok := sums[string(a)]
		if !ok {
			continue
		}
		h.Set(a.Header(), value)
		kind := "FULL_OBJECT"
		if checksum.Composite(value) {
			kind = "COMPOSITE"
		}
		h.Set("X-Amz-Checksum-Type", kind)
	}
}

// Quote writes an entity tag.
func Quote(etag string) string { return `"` + etag + `"` }
