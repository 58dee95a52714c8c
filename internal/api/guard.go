package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
)

// maxActor bounds the name in the Spare-Actor header, in characters.
const maxActor = 64

// loopback reports whether the API is for this machine alone.
func (o Options) loopback() bool {
	return o.Listen == "" || isLoopback(hostOf(o.Listen))
}

// hostAllowed reports whether a request's Host header may be answered. A page
// in a browser can make its own name resolve to 127.0.0.1, but it cannot make
// the browser send another name than its own. Beyond loopback the token and
// TLS guard instead. A request without the header comes from no browser.
func (s *Server) hostAllowed(header string) bool {
	if header == "" || !s.loopback() {
		return true
	}
	host := hostOf(header)
	return isLoopback(host) || (s.Listen != "" && strings.EqualFold(host, hostOf(s.Listen)))
}

// hostOf gives the host of "host:port", "[v6]:port" or "host".
func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(addr, "["), "]")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// permitted reports whether the request shows what the access needs.
func (s *Server) permitted(r *http.Request, a access) bool {
	return a == open || (a == read && s.OpenReads) || s.hasToken(r)
}

// hasToken compares in a time that depends on neither token's content nor
// length.
func (s *Server) hasToken(r *http.Request) bool {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want := s.Token()
	g, w := sha256.Sum256([]byte(strings.TrimSpace(given))), sha256.Sum256([]byte(want))
	same := subtle.ConstantTimeCompare(g[:], w[:]) == 1
	return same && want != "" && strings.EqualFold(scheme, "Bearer")
}

// actor names who acts, for the journal: by the token, and as whom.
func actor(r *http.Request) (string, error) {
	given := r.Header.Values(apiv1.ActorHeader)
	if len(given) == 0 {
		return "token", nil
	}
	who, err := Actor("token", given[0])
	if err != nil || len(given) > 1 {
		return "", errs.E(errs.Invalid, "header %s is not one name of 1 to %d printable characters", apiv1.ActorHeader, maxActor)
	}
	return who, nil
}

// Actor names who acts by a surface, as "console:ana". Invalid: the name is
// blank, too long or not all printable.
func Actor(surface, name string) (string, error) {
	if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > maxActor || !printable(name) {
		return "", errs.E(errs.Invalid, "the name is not of 1 to %d printable characters", maxActor)
	}
	return surface + ":" + name, nil
}

// printable keeps control characters out of the journal, and so out of the
// terminals that show it.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
