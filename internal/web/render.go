package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/web/session"
)

//go:embed templates assets
var files embed.FS

// view is a page that is to be made, or a place to go to.
type view struct {
	template string // file in templates, without its ending
	title    string
	nav      string // the part of the console that it belongs to
	live     bool   // it follows the news
	body     any
	code     int    // 0 = 200
	redirect string // "" = none; 303 there
}

// frame is what the layout knows, around a view's body.
type frame struct {
	Title, Nav, Assets string
	Here               string // path and query of this page
	Live, LoggedIn     bool
	CanLogOut          bool
	Actor, CSRF, Flash string
	Incidents          int  // open
	Buckets            bool // the estate has some
	Now                time.Time
	Body               any
}

// pages are the templates by name. They are parsed when somebody first looks.
var pages = sync.OnceValue(func() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html"))
	all := map[string]*template.Template{}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(files, file))
	}
	return all
})

// assetsDigest names this version of all assets, so that browsers may keep
// them for good.
var assetsDigest = sync.OnceValue(func() string {
	h := sha256.New()
	err := fs.WalkDir(files, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		_, _ = h.Write(append([]byte(name), b...))
		return err
	})
	if err != nil {
		panic(err) // the files are part of the program
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
})

var mediaTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

func (c *Console) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	b, err := files.ReadFile("assets/" + path.Base(name))
	media := mediaTypes[path.Ext(name)]
	if err != nil || media == "" {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", media)
	if r.PathValue("digest") == assetsDigest() {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(b) // the client is gone, and nobody else wants to know
}

// page answers with a view, to those who may see it.
func (c *Console) page(a access, build func(*http.Request, *session.Session) (view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := c.who(r)
		if !c.permitted(a, s) {
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				c.fail(w, r, nil, errs.WithHint(errs.E(errs.Denied, "this needs a login"), "your login may have ended; log in and try again"))
				return
			}
			http.Redirect(w, r, loginFor(r), http.StatusSeeOther)
			return
		}
		if r.Method == http.MethodPost {
			if err := c.ownForm(w, r, s); err != nil {
				c.fail(w, r, s, err)
				return
			}
			bound(w)
		}
		v, err := build(r, s)
		switch {
		case err != nil:
			c.fail(w, r, s, err)
		case v.redirect != "":
			http.Redirect(w, r, v.redirect, http.StatusSeeOther)
		default:
			c.render(w, r, s, v.code, v)
		}
	}
}

// actTime bounds an action, which may have to wait for a fence hook.
const actTime = 60 * time.Second

// bound gives an action more time than a page to be answered in. A recorder in
// a test has no deadline to set.
func bound(w http.ResponseWriter) {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(actTime))
	_ = rc.SetWriteDeadline(time.Now().Add(actTime + 5*time.Second))
}

// render makes the whole page before the first byte is sent: a fault on the
// way is then an error page, not half a page.
func (c *Console) render(w http.ResponseWriter, r *http.Request, s *session.Session, code int, v view) {
	c.seen()
	f := frame{Title: v.title, Nav: v.nav, Assets: "/assets/" + assetsDigest(), Here: r.URL.RequestURI(), Live: v.live, Now: time.Now().UTC(), Body: v.body}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		f.Here = "/"
	}
	if s != nil {
		f.LoggedIn, f.Actor, f.CSRF = true, s.Actor, s.CSRF
		if v.template != "error" && r.Header.Get(liveHeader) == "" {
			f.Flash = s.Told()
		}
	}
	if c.permitted(readers, s) && v.template != "login" {
		if st, err := c.status(r.Context()); err == nil { // a page about an error comes without
			f.Incidents, f.Buckets = st.IncidentsOpen, len(st.Buckets) > 0
		}
	}
	var b bytes.Buffer
	if err := pages()[v.template].ExecuteTemplate(&b, "layout.html", f); err != nil {
		c.Log.Error("console page not made", "template", v.template, "err", err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if code != 0 {
		w.WriteHeader(code)
	}
	_, _ = w.Write(b.Bytes()) // the client is gone, and nobody else wants to know
}

// errorPage is what an error looks like.
type errorPage struct {
	Message, Hint string
	Maybe         bool // it may have been done all the same
}

func (c *Console) fail(w http.ResponseWriter, r *http.Request, s *session.Session, err error) {
	code := errs.HTTPStatus(err)
	if code == http.StatusInternalServerError {
		c.Log.Error("console page failed", "path", r.URL.Path, "err", err)
	}
	c.render(w, r, s, code, view{template: "error", title: http.StatusText(code), body: errorPage{
		Message: err.Error(), Hint: errs.Hint(err), Maybe: errs.IsMaybeApplied(err),
	}})
}

func (c *Console) keys(*http.Request, *session.Session) (view, error) {
	return view{template: "keys", title: "Keys"}, nil
}
