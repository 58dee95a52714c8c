package precond

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
)

// Range reads a Range header of one byte range. Anything else, several ranges
// too, is no range: the answer is the whole object, as RFC 9110 allows. A
// range that no object has ("bytes=-0") gives the zero blob.Range.
func Range(header string) (r blob.Range, ok bool) {
	spec, found := strings.CutPrefix(header, "bytes=")
	if !found {
		return r, false
	}
	first, last, found := strings.Cut(strings.TrimSpace(spec), "-")
	if !found {
		return r, false
	}
	if first == "" {
		n, ok := number(last)
		if n == 0 {
			return blob.Range{}, ok
		}
		return blob.Range{Offset: -n, Length: -1}, ok
	}
	from, ok := number(first)
	if !ok {
		return r, false
	}
	if last == "" {
		return blob.Range{Offset: from, Length: -1}, true
	}
	to, ok := number(last)
	if !ok || to < from {
		return r, false
	}
	if to == math.MaxInt64 {
		return blob.Range{Offset: from, Length: -1}, true
	}
	return blob.Range{Offset: from, Length: to - from + 1}, true
}

// number reads digits; what is too large for any object is the largest number.
func number(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}

// IfRange says whether a range may be applied to the object, by If-Range: only
// where the client's part is of this very object (RFC 9110, 13.1.5).
func IfRange(h http.Header, o blob.Object) bool {
	value := h.Get("If-Range")
	if value == "" {
		return true
	}
	if t, ok := date(value); ok {
		return o.Modified.UTC().Format(http.TimeFormat) == t.UTC().Format(http.TimeFormat)
	}
	tags := list([]string{value})
	return len(tags) == 1 && !tags[0].weak && tags[0].value == o.ETag
}
