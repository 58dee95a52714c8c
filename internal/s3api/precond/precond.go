// Package precond evaluates the conditions and ranges of requests on an
// object, in the order of RFC 9110, section 13.2.2.
//
//	err := precond.Read(r.Header, obj) // nil, NotModified or PreconditionFailed
//	cond, err := precond.Write(r.Header)
package precond

import (
	"net/http"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// Read says whether a GET or HEAD may be answered with the object.
func Read(h http.Header, o blob.Object) error {
	return read(conditions{
		match: h.Values("If-Match"), noneMatch: h.Values("If-None-Match"),
		modified: h.Get("If-Modified-Since"), unmodified: h.Get("If-Unmodified-Since"),
	}, o)
}

// Source says whether a copy may be made of the object. A copy is never
// "not modified".
func Source(h http.Header, o blob.Object) error {
	const p = "X-Amz-Copy-Source-If-"
	err := read(conditions{
		match: h.Values(p + "Match"), noneMatch: h.Values(p + "None-Match"),
		modified: h.Get(p + "Modified-Since"), unmodified: h.Get(p + "Unmodified-Since"),
	}, o)
	if s3err.Is(err, s3err.NotModified) {
		return s3err.PreconditionFailed.Err()
	}
	return err
}

// HasSource says whether there are conditions on a copy's source.
func HasSource(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "X-Amz-Copy-Source-If-") {
			return true
		}
	}
	return false
}

// Write gives the condition of a request that writes. Those that S3 does not
// define for writing are refused, not ignored.
func Write(h http.Header) (c blob.Condition, err error) {
	if h.Get("If-Unmodified-Since") != "" {
		return c, s3err.NotImplemented.Msg("If-Unmodified-Since is not offered for writing: use If-Match.")
	}
	match, none := list(h.Values("If-Match")), list(h.Values("If-None-Match"))
	switch {
	case len(match) > 1 || len(match) == 1 && len(none) > 0:
		return c, s3err.NotImplemented.Msg("A write can have one condition: If-Match with one entity tag, or If-None-Match: *.")
	case len(match) == 1 && match[0].weak:
		return c, s3err.PreconditionFailed.Err()
	case len(match) == 1:
		return blob.Condition{Match: match[0].value}, nil
	case len(none) == 1 && none[0].value == "*":
		return blob.Condition{Absent: true}, nil
	case len(none) > 0:
		return c, s3err.NotImplemented.Msg("If-None-Match of a write can only be *.")
	}
	return c, nil
}

type conditions struct {
	match, noneMatch     []string
	modified, unmodified string
}

func read(c conditions, o blob.Object) error {
	changed := o.Modified.Truncate(time.Second)
	if match := list(c.match); len(match) > 0 {
		if !strong(match, o.ETag) {
			return s3err.PreconditionFailed.Err().With("Condition", "If-Match")
		}
	} else if t, ok := date(c.unmodified); ok && changed.After(t) {
		return s3err.PreconditionFailed.Err().With("Condition", "If-Unmodified-Since")
	}
	if none := list(c.noneMatch); len(none) > 0 {
		if weak(none, o.ETag) {
			return s3err.NotModified.Err()
		}
	} else if t, ok := date(c.modified); ok && !changed.After(t) {
		return s3err.NotModified.Err()
	}
	return nil
}

// date reads an HTTP date. One that is malformed is no condition (RFC 9110,
// 13.1.3).
func date(s string) (time.Time, bool) {
	t, err := http.ParseTime(s)
	return t, err == nil
}

// tag is one of a list of entity tags. S3 takes tags without quotes too.
type tag struct {
	value string
	weak  bool
}

func list(lines []string) []tag {
	var tags []tag
	for _, line := range lines {
		for rest := line; rest != ""; {
			rest = strings.TrimLeft(rest, " \t,")
			if rest == "" {
				break
			}
			var t tag
			if w, ok := strings.CutPrefix(rest, "W/"); ok {
				t.weak, rest = true, w
			}
			if q, ok := strings.CutPrefix(rest, `"`); ok {
				t.value, rest, _ = strings.Cut(q, `"`)
			} else {
				t.value, rest, _ = strings.Cut(rest, ",")
				t.value = strings.TrimSpace(t.value)
			}
			tags = append(tags, t)
		}
	}
	return tags
}

func strong(tags []tag, etag string) bool {
	for _, t := range tags {
		if t.value == "*" || t.value == etag && !t.weak {
			return true
		}
	}
	return false
}

func weak(tags []tag, etag string) bool {
	for _, t := range tags {
		if t.value == "*" || t.value == etag {
			return true
		}
	}
	return false
}
