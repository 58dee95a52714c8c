package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/sparecloud/spare/internal/web/session"
)

// policy lets a page load what the console itself serves and nothing else.
// Nothing is inline: text that slipped through as markup could run nothing.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// guard sets the headers of every answer.
func guard(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// access says who may see a page.
type access int

const (
	anybody   access = iota
	readers          // everybody where reads are open, else those logged in
	operators        // those logged in
)

func (c *Console) permitted(a access, s *session.Session) bool {
	return a == anybody || s != nil || (a == readers && c.OpenReads)
}

// cookieName names the session's cookie. With the prefix a browser takes it
// only from this very host, over TLS.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-spare-session"
	}
	return "spare-session"
}

// BUG(web): browsers keep cookies by host and not by port, so without TLS
// another server on the same loopback address is sent the session's cookie.

// who gives the session that a request belongs to, or nil.
func (c *Console) who(r *http.Request) *session.Session {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return nil
	}
	s, _ := c.sessions.Find(cookie.Value, c.Token())
	return s
}

func setCookie(w http.ResponseWriter, r *http.Request, id string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: id, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: r.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
}

// inside gives a target within the console: next if it is one, else "/". No
// link may lead a person who has just logged in to somewhere else.
func inside(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\t\r\n") {
		return "/"
	}
	return next
}

// loginFor is the login page that leads back to where r wanted to go.
func loginFor(r *http.Request) string {
	return "/login?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
}
