package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/web/session"
)

// maxForm bounds a form's body, in bytes.
const maxForm = 16 << 10

// loginPage is what the login form shows.
type loginPage struct {
	Next, Name string
	Error      string
}

func (c *Console) loginForm(r *http.Request, _ *session.Session) (view, error) {
	return view{template: "login", title: "Log in", body: loginPage{Next: inside(r.URL.Query().Get("next"))}}, nil
}

// login begins a session for who shows the token. It always begins a new one:
// an id that was there before the login is worth nothing after it.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if err := readForm(w, r); err != nil {
		c.fail(w, r, nil, err)
		return
	}
	next, name := inside(r.PostForm.Get("next")), strings.TrimSpace(r.PostForm.Get("name"))
	refuse := func(code int, why string) {
		c.render(w, r, nil, code, view{template: "login", title: "Log in", body: loginPage{Next: next, Name: name, Error: why}})
	}
	if wait := c.gate.Wait(r.RemoteAddr); wait > 0 {
		seconds := int(math.Ceil(wait.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		refuse(http.StatusTooManyRequests, "There were too many attempts. Try again in "+strconv.Itoa(seconds)+" s.")
		return
	}
	actor := "console"
	if name != "" {
		var err error
		if actor, err = api.Actor("console", name); err != nil {
			refuse(http.StatusBadRequest, "Sorry: "+err.Error()+".")
			return
		}
	}
	token := c.Token()
	if !same(strings.TrimSpace(r.PostForm.Get("token")), token) {
		c.gate.Failed(r.RemoteAddr)
		c.Log.Warn("console login refused", "remote", r.RemoteAddr)
		refuse(http.StatusForbidden, "That is not the token.")
		return
	}
	if old, err := r.Cookie(cookieName(r)); err == nil {
		c.sessions.End(old.Value)
	}
	id, _ := c.sessions.Begin(token, actor)
	setCookie(w, r, id, int(session.Life/time.Second))
	c.Log.Info("console login", "actor", actor, "remote", r.RemoteAddr)
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (c *Console) logout(w http.ResponseWriter, r *http.Request) {
	s := c.who(r)
	if err := c.ownForm(w, r, s); err != nil {
		c.fail(w, r, s, err)
		return
	}
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		c.sessions.End(cookie.Value)
	}
	setCookie(w, r, "", -1)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// same compares in a time that depends on neither's content nor length. An
// empty token is nobody's.
func same(given, token string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && token != ""
}

func readForm(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	return errs.Wrap(errs.Invalid, r.ParseForm(), "read the form")
}

// ownForm reads a form and makes sure that it is one of this session's pages.
func (c *Console) ownForm(w http.ResponseWriter, r *http.Request, s *session.Session) error {
	if s == nil {
		return errs.E(errs.Denied, "this needs a login")
	}
	if err := readForm(w, r); err != nil {
		return err
	}
	if !s.Allows(r.PostForm.Get("csrf")) {
		c.Log.Warn("console form refused, not of this session", "path", r.URL.Path, "remote", r.RemoteAddr)
		return errs.WithHint(errs.E(errs.Denied, "this form is not of your present login"), "go back, reload the page and try again")
	}
	return nil
}
