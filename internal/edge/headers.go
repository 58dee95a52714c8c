package edge

import (
	"net"
	"net/http"
	"strings"
)

// hopByHop are the fields that concern one connection only (RFC 9110, 7.6.1).
var hopByHop = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings"}

// kept may be named in Connection by a client that wants to hide them from the
// origin; they stay all the same.
var kept = map[string]bool{"Host": true, "Content-Length": true, "Authorization": true, "Cookie": true, "X-Forwarded-For": true}

// endToEnd copies the fields that travel on.
func endToEnd(h http.Header) http.Header {
	out := make(http.Header, len(h)+4)
	for k, v := range h {
		out[k] = v
	}
	for _, field := range h["Connection"] {
		for name := range strings.SplitSeq(field, ",") {
			if name = http.CanonicalHeaderKey(strings.TrimSpace(name)); !kept[name] {
				delete(out, name)
			}
		}
	}
	for _, name := range hopByHop {
		delete(out, name)
	}
	return out
}

// forward makes the fields for the origin: who asked, by what way.
func (e *Edge) forward(r *http.Request) http.Header {
	h := endToEnd(r.Header)
	for _, name := range []string{"Content-Length", "Expect", "Forwarded"} {
		delete(h, name)
	}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	if before := h["X-Forwarded-For"]; len(before) > 0 {
		client = strings.Join(before, ", ") + ", " + client
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	h["X-Forwarded-For"] = []string{client}
	h["X-Forwarded-Proto"] = []string{scheme}
	h["X-Forwarded-Host"] = []string{r.Host}
	h["Via"] = append(h["Via"][:len(h["Via"]):len(h["Via"])], "1.1 spare-"+e.id)
	return h
}

// looped reports whether this process has seen the request before.
func (e *Edge) looped(r *http.Request) bool {
	for _, v := range r.Header["Via"] {
		if strings.Contains(v, "spare-"+e.id) {
			return true
		}
	}
	return false
}

// upgrade gives the protocol that the client asks to switch to, or "". HTTP/2
// is none: behind it an origin would take requests that nobody has judged.
func upgrade(r *http.Request) string {
	to := r.Header.Get("Upgrade")
	if names(r.Header["Connection"], "upgrade") && !names([]string{to}, "h2c") && !names([]string{to}, "h2") {
		return to
	}
	return ""
}

// names reports whether one of the comma-separated lists holds the token.
func names(lists []string, token string) bool {
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(name), token) {
				return true
			}
		}
	}
	return false
}
