package sigv4

import (
	"slices"
	"strings"
)

const upperHex = "0123456789ABCDEF"

// escape percent-encodes as the signature wants it: all but the unreserved
// characters of RFC 3986 and, in a path, the slash.
func escape(s string, path bool) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/' && path:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

// canonicalQuery sorts by encoded name, then by encoded value. The signature
// itself does not sign itself.
func canonicalQuery(raw string) (string, error) {
	pairs, err := Pairs(raw)
	if err != nil {
		return "", err
	}
	for i := range pairs {
		pairs[i] = [2]string{escape(pairs[i][0], false), escape(pairs[i][1], false)}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	var b strings.Builder
	for _, p := range pairs {
		if p[0] == "X-Amz-Signature" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String(), nil
}
