package web_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/web"
)

const token = "0123456789abcdef0123456789abcdef"

// console gives the console over the shop in memory.
func console(b api.Backend, change ...func(*web.Options)) *web.Console {
	o := web.Options{Backend: b, Token: func() string { return token }, Log: slog.New(slog.DiscardHandler), OpenReads: true}
	for _, c := range change {
		c(&o)
	}
	return web.New(o)
}

func closedReads(o *web.Options) { o.OpenReads = false }

// browser asks as one would: it keeps cookies and says where it is.
type browser struct {
	h       http.Handler
	cookies map[string]*http.Cookie
	tls     bool
	remote  string
}

func open(h http.Handler) *browser { return &browser{h: h, cookies: map[string]*http.Cookie{}} }

// ask sends a request; each header is "Name: value".
func (b *browser) ask(method, target string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.Host = "127.0.0.1:7700"
	if !b.tls {
		r.TLS = nil
	}
	if b.tls {
		r = httptest.NewRequest(method, "https://127.0.0.1:7700"+target, strings.NewReader(form.Encode()))
	}
	if b.remote != "" {
		r.RemoteAddr = b.remote
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second) // for a stream that should not have begun
	defer cancel()
	b.h.ServeHTTP(w, r.WithContext(ctx))
	for _, c := range w.Result().Cookies() {
		b.cookies[c.Name] = c
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return w
}

func (b *browser) get(target string) *httptest.ResponseRecorder { return b.ask("GET", target, nil) }

// login logs in and gives the session's CSRF token, read off a page.
func (b *browser) login(t *testing.T, name string) string {
	t.Helper()
	w := b.ask("POST", "/login", url.Values{"token": {token}, "name": {name}, "next": {"/services"}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/services" {
		t.Fatalf("login: %d %s", w.Code, w.Body)
	}
	return b.csrf(t)
}

func (b *browser) csrf(t *testing.T) string {
	t.Helper()
	m := regexp.MustCompile(`name="csrf" value="([0-9a-f]{64})"`).FindStringSubmatch(b.get("/").Body.String())
	if m == nil {
		t.Fatal("no form with a csrf token")
	}
	return m[1]
}

// all are the pages that anybody may look at.
var all = []string{
	"/", "/?q=shop", "/?show=unwell", "/?q=nobody", "/services", "/services?show=unwell", "/services/shop", "/services/blog", "/buckets", "/buckets?show=unwell", "/buckets/media", "/incidents", "/incidents?state=open",
	"/incidents?state=closed", "/incidents/2026-03-01-7fbd2c", "/incidents/2026-02-28-6aaaab", "/journal", "/journal?q=virginia&kind=verdict",
	"/journal?from=2026-03-01+11:00&to=2026-03-01T13:00", "/journal?before=2", "/journal?incident=2026-03-01-7fbd2c", "/journal/2", "/login", "/login?next=/services", "/keys", "/incidents/2026-03-01-7fbd2c/report",
}

// wrong are requests that are answered with an error page.
var wrong = map[string]int{
	"/nowhere": 404, "/services/none": 404, "/incidents/none": 404, "/journal/99": 404, "/journal/0": 400, "/journal/x": 400, "/journal/99999999999999999999": 400,
	"/?page=0": 400, "/?page=x": 400, "/?show=odd": 400, "/incidents?state=odd": 400, "/journal?from=soon": 400, "/journal?before=-1": 400,
	"/journal?q=" + strings.Repeat("x", 257): 400, "/incidents/none/report": 404, "/assets/x/none.js": 404, "/services/shop/drain/x": 404,
}

func TestPagesSayWhatTheBackendSays(t *testing.T) {
	b := open(console(apitest.New()))
	for target, texts := range map[string][]string{
		"/":                             {"virginia is down", "shop at virginia is down: connection refused", "pid 4711", "1 degraded", "1 up", "colspan=\"1\" scope=\"colgroup\" class=\"provider\">aws<", "europe-west1-b", "moving", "31.0 MiB", "1.2.3"},
		"/services":                     {"shop.example.com", "every host", "one_site"},
		"/services/shop":                {"3 checks in a row: connection refused", "https://shop-a.example.com", "9.8 ms", "31\u202f000", "disk change", "token:ana", "virginia → belgium", "/services/shop/undrain?site=virginia", "/services/shop/drain?site=belgium", "Fail back to virginia", "/services/shop/freeze"},
		"/services/blog":                {"None: verdicts decide.", "/services/blog/freeze"},
		"/incidents":                    {"virginia is down", "blog answers with errors", "lasted 1 h 0 min", "Minor", "Major"},
		"/incidents/2026-03-01-7fbd2c":  {"2\u202f600", "connections to shop at virginia are refused", "explains 100 %", "inferred", "observed", `href="/journal/2"`, "Ejected", "&#43;40 ms"},
		"/journal?q=moved":              {"shop moved from virginia to belgium"},
		"/journal/2":                    {"&#34;cause&#34;: &#34;refused&#34;", "2026-03-01T11:58:30Z"},
		"/journal?service=none":         {"Nothing matches."},
		"/login?next=/services/shop%3F": {`name="next" value="/services/shop?"`},
	} {
		w := b.get(target)
		for _, text := range texts {
			if !strings.Contains(w.Body.String(), text) {
				t.Errorf("%s: %d, without %q", target, w.Code, text)
			}
		}
	}
	if body := b.get("/journal?q=moved").Body.String(); strings.Contains(body, "control started") {
		t.Error("the search shows what was not asked for")
	}
	if body := b.get("/?show=unwell").Body.String(); strings.Contains(body, `href="/services/blog"`) {
		t.Error("a service that is well is among the unwell")
	}
}

func TestEveryPageIsAnswered(t *testing.T) {
	b := open(console(apitest.New()))
	for _, target := range all {
		if w := b.get(target); w.Code != 200 {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
		if w := b.ask("HEAD", target, nil); w.Code != 200 {
			t.Errorf("HEAD %s: %d", target, w.Code)
		}
	}
	for target, code := range wrong {
		if w := b.get(target); w.Code != code {
			t.Errorf("%s: %d, want %d", target, w.Code, code)
		}
	}
}

func TestErrorsOfTheBackendAreErrorPages(t *testing.T) {
	back := apitest.New()
	back.Fail(errs.WithHint(errs.E(errs.Unavailable, "the store <is> away"), "wait a little"))
	b := open(console(back))
	for _, target := range []string{"/", "/services", "/services/shop", "/incidents", "/incidents/x", "/journal", "/journal/1"} {
		w := b.get(target)
		body := w.Body.String()
		if target != "/incidents/x" && (w.Code != 503 || !strings.Contains(body, "the store &lt;is&gt; away") || !strings.Contains(body, "wait a little")) {
			t.Errorf("%s: %d %s", target, w.Code, body)
		}
	}
	if w := b.get("/login"); w.Code != 200 {
		t.Errorf("login needs the backend: %d", w.Code)
	}
}

func TestNewerFileThatWasRefusedIsShown(t *testing.T) {
	back := apitest.New()
	back.Doc.Config.Error = "spare.yaml:7:3: unknown key \"orgins\""
	if body := open(console(back)).get("/").Body.String(); !strings.Contains(body, "was refused") || !strings.Contains(body, "spare.yaml:7:3") {
		t.Error("nothing is said of it")
	}
}
