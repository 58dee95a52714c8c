package guard

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
)

// chunked is the body length of a request that is sent in chunks.
const chunked = -1

// readHead judges a complete head, its last line's CR LF included, and gives
// the length of the body that follows: bytes, or chunked.
func readHead(b []byte) (int64, error) {
	lineEnd := bytes.Index(b, []byte("\r\n"))
	line, rest := b[:lineEnd], b[lineEnd+2:]
	if len(line) > MaxLine {
		return 0, refusal(http.StatusRequestURITooLong, "request line over 16 KiB")
	}
	req, err := readLine(line)
	if err != nil {
		return 0, err
	}
	var h fields
	for n := 0; len(rest) > 0; n++ {
		end := bytes.Index(rest, []byte("\r\n"))
		if end < 0 {
			return 0, refusal(http.StatusBadRequest, "line does not end in CR LF")
		}
		if n >= MaxFields {
			return 0, refusal(http.StatusRequestHeaderFieldsTooLarge, "more than 200 header fields")
		}
		name, value, err := readField(rest[:end])
		if err != nil {
			return 0, err
		}
		if err := h.add(lower(name), value); err != nil {
			return 0, err
		}
		rest = rest[end+2:]
	}
	return h.body(req)
}

type requestLine struct {
	method, target string
	minor          byte // of HTTP/1.x
}

func readLine(line []byte) (requestLine, error) {
	malformed := refusal(http.StatusBadRequest, "malformed request line")
	parts := bytes.Split(line, []byte(" "))
	if len(parts) != 3 || len(parts[0]) == 0 || len(parts[0]) > 32 {
		return requestLine{}, malformed
	}
	for _, c := range parts[0] {
		if !isToken(c) {
			return requestLine{}, malformed
		}
	}
	version := string(parts[2])
	if version != "HTTP/1.1" && version != "HTTP/1.0" {
		return requestLine{}, refusal(http.StatusBadRequest, "HTTP version is not 1.0 or 1.1")
	}
	r := requestLine{method: string(parts[0]), target: string(parts[1]), minor: version[7]}
	switch {
	case r.method == http.MethodConnect, r.method == http.MethodTrace, r.method == refusedMethod:
		return r, refusal(http.StatusMethodNotAllowed, "method not offered")
	case !targetOK(r.method, r.target):
		return r, refusal(http.StatusBadRequest, "malformed request target")
	}
	return r, nil
}

// targetOK accepts origin-form, absolute-form with http or https, and "*"
// with OPTIONS.
func targetOK(method, t string) bool {
	for i := range len(t) {
		if c := t[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return strings.HasPrefix(t, "/") || (t == "*" && method == http.MethodOptions) || authority(t) != ""
}

// authority gives the host part of an absolute-form target, or "".
func authority(t string) string {
	l := strings.ToLower(t)
	for _, scheme := range []string{"http://", "https://"} {
		if strings.HasPrefix(l, scheme) {
			host, _, _ := strings.Cut(l[len(scheme):], "/")
			host, _, _ = strings.Cut(host, "?")
			return host
		}
	}
	return ""
}

// readField takes one header line apart.
func readField(line []byte) (name, value []byte, err error) {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return nil, nil, refusal(http.StatusBadRequest, "malformed header line")
	}
	name, value = line[:colon], bytes.Trim(line[colon+1:], " \t")
	for _, c := range name {
		if !isToken(c) {
			return nil, nil, refusal(http.StatusBadRequest, "malformed header name")
		}
	}
	if !isFieldText(value) {
		return nil, nil, refusal(http.StatusBadRequest, "control character in a header")
	}
	return name, value, nil
}

// fields are those that decide about framing and routing.
type fields struct {
	host, length, coding string
	hosts                int
	hasLength, hasCoding bool
}

func (h *fields) add(name string, value []byte) error {
	switch name {
	case "host":
		h.host = lower(value)
		if h.hosts++; h.hosts > 1 {
			return refusal(http.StatusBadRequest, "more than one Host")
		}
		if !hostOK(h.host) {
			return refusal(http.StatusBadRequest, "malformed Host")
		}
	case "content-length":
		if h.hasLength {
			return refusal(http.StatusBadRequest, "more than one Content-Length")
		}
		h.length, h.hasLength = string(value), true
	case "transfer-encoding":
		if h.hasCoding {
			return refusal(http.StatusBadRequest, "more than one Transfer-Encoding")
		}
		h.coding, h.hasCoding = lower(value), true
	case "expect":
		if lower(value) != "100-continue" {
			return refusal(http.StatusExpectationFailed, "expectation not known")
		}
	}
	return nil
}

func (h *fields) body(r requestLine) (int64, error) {
	switch host := authority(r.target); {
	case h.hosts == 0 && r.minor == '1':
		return 0, refusal(http.StatusBadRequest, "no Host")
	case host != "" && (host != h.host && h.hosts > 0 || !hostOK(host)):
		return 0, refusal(http.StatusBadRequest, "Host differs from the request target")
	case h.hasCoding && h.hasLength:
		return 0, refusal(http.StatusBadRequest, "both Content-Length and Transfer-Encoding")
	case h.hasCoding && (h.coding != "chunked" || r.minor != '1'):
		return 0, refusal(http.StatusBadRequest, "transfer coding is not chunked")
	case h.hasCoding:
		return chunked, nil
	case !h.hasLength:
		return 0, nil
	}
	n, err := strconv.ParseUint(h.length, 10, 62)
	if err != nil || h.length[0] == '+' {
		return 0, refusal(http.StatusBadRequest, "Content-Length is not a number")
	}
	return int64(n), nil
}

func hostOK(h string) bool {
	for i := range len(h) {
		c := h[i]
		if letter, digit := 'a' <= c && c <= 'z', '0' <= c && c <= '9'; !letter && !digit && strings.IndexByte(".-_:[]", c) < 0 {
			return false
		}
	}
	return h != ""
}

func isToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// isFieldText accepts visible characters, space, tab and bytes over 0x7f.
func isFieldText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	default:
		return c - 'A' + 10
	}
}

func lower(b []byte) string { return strings.ToLower(string(b)) }
