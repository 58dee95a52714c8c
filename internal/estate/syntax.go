package estate

import (
	"net/netip"
	"strconv"
	"strings"
)

const notLabel = "is not a name: lower-case letters, digits and '-', a letter or digit first and last, at most 63 of them"

// label reports a lower-case DNS label (RFC 1123).
func label(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// dependencyName allows labels joined by the marks of names such as
// "aws:dynamodb@us-east-1" and "api.example.com".
func dependencyName(s string) bool {
	if len(s) > 128 {
		return false
	}
	for _, part := range strings.FieldsFunc(s+".", func(r rune) bool { return strings.ContainsRune(":@./_", r) }) {
		if !label(part) {
			return false
		}
	}
	return s != "" && !strings.ContainsAny(s[:1]+s[len(s)-1:], ":@./_")
}

// providerService reports a name such as "aws:dynamodb@us-east-1", which
// stands for a provider's service without being declared.
func providerService(s string) bool {
	provider, rest, ok := strings.Cut(s, ":")
	service, region, regional := strings.Cut(rest, "@")
	return ok && label(provider) && label(service) && (!regional || label(region))
}

// hostName reports a DNS name in lower case (underscores are tolerated, as
// resolvers do) or an IPv4 address.
func hostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for _, l := range strings.Split(s, ".") {
		if !label(strings.ReplaceAll(l, "_", "a")) {
			return false
		}
	}
	return true
}

func hostPattern(s string) bool { return hostName(strings.TrimPrefix(s, "*.")) }

// hostHeader reports what may stand in a Host header: a name or address, with
// or without a port, in any case.
func hostHeader(s string) bool {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.Is4() == (s[0] != '[') && a.Zone() == ""
	}
	if hostName(strings.ToLower(s)) {
		return true
	}
	a, ok := address(s)
	return ok && a.host != "" && a.port != 0
}

type hostPort struct {
	host string // "" = all addresses
	port uint16
}

// clashes reports two addresses that one machine cannot listen on at once.
func (a hostPort) clashes(b hostPort) bool {
	return a.port == b.port && a.port != 0 && (a.host == b.host || everywhere(a.host) || everywhere(b.host))
}

// address reads "host:port" with an optional host; an IPv6 host stands in
// brackets.
func address(s string) (hostPort, bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return hostPort{}, false
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || s[i+1] == '+' {
		return hostPort{}, false
	}
	host := s[:i]
	if strings.HasPrefix(host, "[") {
		a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
		return hostPort{a.String(), uint16(port)}, err == nil && a.Is6() && strings.HasSuffix(host, "]")
	}
	return hostPort{host, uint16(port)}, host == "" || hostName(strings.ToLower(host))
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && a.Unmap().IsLoopback())
}

func everywhere(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "" || (err == nil && a.IsUnspecified())
}

// private reports a host that is plainly on this machine or network. Names
// that resolve to one are for whoever dials them to refuse.
func private(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() || a.IsMulticast()
}

// unprintable reports a space or a control character in s.
func unprintable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }) >= 0
}

// requestPath reports a path with an optional query, as a request line holds.
func requestPath(s string) bool {
	return strings.HasPrefix(s, "/") && !unprintable(s) && !strings.Contains(s, "#")
}

// cleanPath reports a path prefix that means the same to everybody who
// normalises it.
func cleanPath(s string) bool {
	if !requestPath(s) || strings.ContainsAny(s, `?\`) || strings.Contains(s, "//") {
		return false
	}
	for _, part := range strings.Split(s, "/") {
		if part == "." || part == ".." {
			return false
		}
	}
	return true
}

const (
	maxBucketName = 63
	notBucket     = "is not the name of an S3 bucket: 3 to 63 lower-case letters, digits, '-' and '.', a letter or digit first and last"
)

// bucketName reports a name by S3's rules for general purpose buckets; other
// providers, foreign, allow "_" in it too. A name that is an IPv4 address, or
// has a mark of another kind of bucket, is none.
func bucketName(s string, foreign bool) bool {
	if len(s) < 3 || len(s) > maxBucketName || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		edge := i == 0 || i == len(s)-1
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case (c == '-' || c == '.' || c == '_' && foreign) && !edge:
		default:
			return false
		}
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
		return false
	}
	for _, p := range []string{"xn--", "sthree-", "amzn-s3-demo-"} {
		if strings.HasPrefix(s, p) {
			return false
		}
	}
	for _, p := range []string{"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"} {
		if strings.HasSuffix(s, p) {
			return false
		}
	}
	return true
}

// headsPrefix reports a prefix of keys that is like a relative folder.
func headsPrefix(s string) bool {
	if len(s) > 64 || !strings.HasSuffix(s, "/") || !cleanPath("/"+strings.TrimSuffix(s, "/")) {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._-/", r)
	}) < 0
}

// accessKey reports what can stand as the access key in a signed request's
// Authorization header.
func accessKey(s string) bool {
	return len(s) >= 3 && len(s) <= 128 && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/,=", r) }) < 0
}
