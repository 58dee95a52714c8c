package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/web"
)

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func TestEveryAnswerHasThePolicy(t *testing.T) {
	b := open(console(apitest.New()))
	targets := append([]string{"/services/shop/drain?site=virginia", "/live-none", "/assets/x/console.js", "/assets/x/console.css"}, all...)
	for target := range wrong {
		targets = append(targets, target)
	}
	for _, target := range targets {
		h := b.get(target).Header()
		got := h.Get("Content-Security-Policy")
		if strings.HasSuffix(target, "7fbd2c/report") { // brings its own, which is no weaker
			if !strings.HasPrefix(got, "default-src 'none'; style-src 'sha256-") || strings.Contains(got, "script") {
				t.Errorf("%s: policy %q", target, got)
			}
			continue
		}
		if got != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: headers %v", target, h)
		}
	}
	for _, w := range []*httptest.ResponseRecorder{b.ask("POST", "/login", nil), b.ask("POST", "/logout", nil), b.ask("POST", "/", nil, "Sec-Fetch-Site: cross-site")} {
		if w.Header().Get("Content-Security-Policy") != policy {
			t.Errorf("%d: headers %v", w.Code, w.Header())
		}
	}
}

func TestPagesHaveNothingInline(t *testing.T) {
	b := open(console(apitest.New()))
	b.login(t, "ana")
	for _, target := range append([]string{"/services/shop/drain?site=virginia", "/services/shop/drain?site=belgium", "/services/shop/freeze", "/services/shop/failback", "/nowhere"}, all...) {
		if !strings.HasSuffix(target, "/report") {
			inspect(t, target, b.get(target).Body.String())
		}
	}
}

func TestClosedReadsNeedALogin(t *testing.T) {
	b := open(console(apitest.New(), closedReads))
	for _, target := range all {
		w := b.get(target)
		if strings.HasPrefix(target, "/login") || target == "/keys" {
			if w.Code != 200 || strings.Contains(w.Body.String(), "virginia") {
				t.Errorf("%s: %d", target, w.Code)
			}
			continue
		}
		want := "/login?" + url.Values{"next": {target}}.Encode()
		if w.Code != 303 || w.Header().Get("Location") != want || strings.Contains(w.Body.String(), "virginia") && !strings.Contains(target, "virginia") {
			t.Errorf("%s: %d to %q, want %q", target, w.Code, w.Header().Get("Location"), want)
		}
	}
	if w := b.get("/live"); w.Code != 401 {
		t.Errorf("/live: %d", w.Code)
	}
	if w := b.get("/nowhere"); w.Code != 404 || strings.Contains(w.Body.String(), "(1)") {
		t.Errorf("an error page tells how many incidents are open: %s", w.Body)
	}
	b.login(t, "")
	for _, target := range all {
		if w := b.get(target); w.Code != 200 {
			t.Errorf("%s with a login: %d", target, w.Code)
		}
	}
}

func TestTheCookieIsOutOfReach(t *testing.T) {
	for _, tls := range []bool{false, true} {
		b := open(console(apitest.New()))
		b.tls = tls
		w := b.ask("POST", "/login", url.Values{"token": {token}})
		list := w.Result().Cookies()
		if len(list) != 1 {
			t.Fatalf("cookies %v", list)
		}
		c := list[0]
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure != tls || c.Path != "/" || c.Domain != "" || c.MaxAge != 12*3600 || len(c.Value) != 64 ||
			strings.HasPrefix(c.Name, "__Host-") != tls {
			t.Errorf("tls %v: %+v", tls, c)
		}
		b.ask("POST", "/logout", url.Values{"csrf": {b.csrf(t)}})
		b.cookies[c.Name] = c
		if w := b.get("/services/shop/freeze"); w.Code != 303 {
			t.Errorf("logged out, and the cookie still works: %d", w.Code)
		}
	}
}

// An id that somebody else put into the browser before the login is worth
// nothing after it, and neither is one's own of before.
func TestLoginTakesANewID(t *testing.T) {
	h := console(apitest.New())
	b := open(h)
	fixed := &http.Cookie{Name: "spare-session", Value: strings.Repeat("a", 64)}
	b.cookies[fixed.Name] = fixed
	b.login(t, "ana")
	first := b.cookies[fixed.Name]
	if first.Value == fixed.Value {
		t.Error("the id that was there is in use")
	}
	b.login(t, "ana")
	second := b.cookies[fixed.Name]
	for id, want := range map[string]int{fixed.Value: 303, first.Value: 303, second.Value: 200} {
		other := open(h)
		other.cookies[fixed.Name] = &http.Cookie{Name: fixed.Name, Value: id}
		if w := other.get("/services/shop/freeze"); w.Code != want {
			t.Errorf("id %.8s…: %d, want %d", id, w.Code, want)
		}
	}
}

func TestChangedTokenEndsSessions(t *testing.T) {
	now := token
	b := open(console(apitest.New(), func(o *web.Options) { o.Token = func() string { return now } }))
	b.login(t, "ana")
	now = "another token, of thirty-two bytes"
	if w := b.get("/services/shop/freeze"); w.Code != 303 {
		t.Errorf("%d", w.Code)
	}
	now = ""
	for _, given := range []string{"", token} {
		if w := b.ask("POST", "/login", url.Values{"token": {given}}); w.Code != 403 {
			t.Errorf("login with %q while there is no token: %d", given, w.Code)
		}
	}
}

func TestAttemptsAreLimited(t *testing.T) {
	b := open(console(apitest.New()))
	try := func(given string) int { return b.ask("POST", "/login", url.Values{"token": {given}}).Code }
	for i := range 5 {
		if code := try("wrong"); code != 403 {
			t.Fatalf("attempt %d: %d", i+1, code)
		}
	}
	w := b.ask("POST", "/login", url.Values{"token": {token}})
	if w.Code != 429 || w.Header().Get("Retry-After") == "" || len(w.Result().Cookies()) > 0 {
		t.Errorf("attempt 6: %d %v", w.Code, w.Header())
	}
	b.remote = "192.0.2.77:1"
	if code := try(token); code != 303 {
		t.Errorf("from another address: %d", code)
	}
}

func TestLoginsThatAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		form   url.Values
		header string
		want   int
	}{
		"no token":          {url.Values{}, "", 403},
		"wrong token":       {url.Values{"token": {token + "0"}}, "", 403},
		"token in query":    {url.Values{}, "", 403},
		"odd name":          {url.Values{"token": {token}, "name": {"a\x1b[2J"}}, "", 400},
		"long name":         {url.Values{"token": {token}, "name": {strings.Repeat("x", 65)}}, "", 400},
		"from another site": {url.Values{"token": {token}}, "Sec-Fetch-Site: cross-site", 403},
		"from another port": {url.Values{"token": {token}}, "Sec-Fetch-Site: same-site", 403},
		"huge":              {url.Values{"token": {token}, "x": {strings.Repeat("x", 20<<10)}}, "", 400},
	} {
		b := open(console(apitest.New()))
		target := "/login"
		if name == "token in query" {
			target += "?token=" + token
		}
		w := b.ask("POST", target, tt.form, strings.Split(tt.header, "|")...)
		if w.Code != tt.want || len(w.Result().Cookies()) > 0 {
			t.Errorf("%s: %d, want %d; cookies %v", name, w.Code, tt.want, w.Result().Cookies())
		}
		if strings.Contains(w.Body.String(), token) {
			t.Errorf("%s: the page shows the token", name)
		}
	}
}

func TestLoginLeadsNowhereElse(t *testing.T) {
	for next, want := range map[string]string{
		"/services/shop?x=y#z": "/services/shop?x=y#z", "": "/", "services": "/", "//evil.example/": "/", "///evil.example/": "/", "/\\evil.example": "/", "https://evil.example/": "/",
		"javascript:alert(1)": "/", "/\t/evil.example": "/", "/%0d%0aX: y": "/%0d%0aX:%20y", "http:/x": "/", "\\\\evil": "/", "/a\r\nX: y": "/",
	} {
		b := open(console(apitest.New()))
		w := b.ask("POST", "/login", url.Values{"token": {token}, "next": {next}})
		got := w.Header().Get("Location")
		if got != want && !strings.HasPrefix(want, "/%0d") || strings.HasPrefix(got, "//") || w.Header().Get("X") != "" {
			t.Errorf("next %q leads to %q, want %q", next, got, want)
		}
	}
}

// plan reads the name of the previewed steps off the confirmation page.
func plan(t *testing.T, body string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `name="plan" value="`)
	if !ok {
		t.Fatalf("no form to confirm: %s", body)
	}
	return rest[:strings.IndexByte(rest, '"')]
}

// watched counts dry runs and keeps what was asked for.
type watched struct {
	*apitest.Backend
	dry int
}

func (w *watched) Act(ctx context.Context, a api.Action) (apiv1.Outcome, error) {
	if a.DryRun {
		w.dry++
	}
	return w.Backend.Act(ctx, a)
}

func TestActionsAreShownAndThenDone(t *testing.T) {
	for _, tt := range []struct {
		verb string
		form url.Values
		want api.Action
	}{
		{"drain", url.Values{"site": {"virginia"}, "for": {"30m"}, "reason": {" disk "}, "force": {"yes"}},
			api.Action{Service: "shop", Verb: apiv1.Drain, Site: "virginia", For: 30 * 60e9, Reason: "disk", Force: true, Actor: "console:ana"}},
		{"undrain", url.Values{"site": {"virginia"}}, api.Action{Service: "shop", Verb: apiv1.Undrain, Site: "virginia", Actor: "console:ana"}},
		{"freeze", url.Values{}, api.Action{Service: "shop", Verb: apiv1.Freeze, For: 3600e9, Actor: "console:ana"}},
		{"unfreeze", url.Values{}, api.Action{Service: "shop", Verb: apiv1.Unfreeze, Actor: "console:ana"}},
		{"failback", url.Values{"reason": {"calm again"}}, api.Action{Service: "shop", Verb: apiv1.Failback, Reason: "calm again", Actor: "console:ana"}},
	} {
		back := &watched{Backend: apitest.New()}
		b := open(console(back))
		csrf := b.login(t, "ana")
		target := "/services/shop/" + tt.verb
		shown := b.get(target + "?" + tt.form.Encode())
		if shown.Code != 200 || back.dry != 1 || len(back.Actions()) > 0 || !strings.Contains(shown.Body.String(), "<li>"+tt.verb+" shop") {
			t.Errorf("%s: preview %d, %d dry runs, done %v", tt.verb, shown.Code, back.dry, back.Actions())
		}
		tt.form.Set("csrf", csrf)
		tt.form.Set("plan", plan(t, shown.Body.String()))
		w := b.ask("POST", target, tt.form)
		if d := cmp.Diff([]api.Action{tt.want}, back.Actions()); d != "" || w.Code != 303 || w.Header().Get("Location") != "/services/shop" {
			t.Errorf("%s: %d %s (-want +got):\n%s", tt.verb, w.Code, w.Header().Get("Location"), d)
		}
		if first, second := b.get("/services/shop").Body.String(), b.get("/services/shop").Body.String(); !strings.Contains(first, ": done. "+tt.verb) || strings.Contains(second, ": done. ") {
			t.Errorf("%s: it is not said once that it was done", tt.verb)
		}
	}
}

func TestActionsThatAreRefused(t *testing.T) {
	good := func(csrf, plan string) url.Values {
		return url.Values{"site": {"virginia"}, "csrf": {csrf}, "plan": {plan}}
	}
	for name, tt := range map[string]struct {
		change  func(url.Values)
		target  string
		headers []string
		out     bool // without a login
		want    int
	}{
		"no login":              {out: true, want: 403},
		"no csrf token":         {change: func(f url.Values) { f.Del("csrf") }, want: 403},
		"another csrf token":    {change: func(f url.Values) { f.Set("csrf", strings.Repeat("0", 64)) }, want: 403},
		"two csrf tokens":       {change: func(f url.Values) { f["csrf"] = []string{"x", f.Get("csrf")} }, want: 403},
		"csrf token in query":   {change: func(f url.Values) { f.Del("csrf") }, target: "/services/shop/drain?csrf=", want: 403},
		"from another site":     {headers: []string{"Sec-Fetch-Site: cross-site"}, want: 403},
		"from another port":     {headers: []string{"Sec-Fetch-Site: same-site"}, want: 403},
		"another Origin":        {headers: []string{"Sec-Fetch-Site: ", "Origin: https://evil.example"}, want: 403},
		"Origin null":           {headers: []string{"Sec-Fetch-Site: ", "Origin: null"}, want: 403},
		"not as a form":         {headers: []string{"Content-Type: text/plain"}, want: 403},
		"no plan":               {change: func(f url.Values) { f.Del("plan") }, want: 409},
		"another plan":          {change: func(f url.Values) { f.Set("plan", "0123456789abcdef") }, want: 409},
		"another site's plan":   {change: func(f url.Values) { f.Set("site", "belgium"); f.Set("force", "yes") }, want: 409},
		"the last healthy one":  {change: func(f url.Values) { f.Set("site", "belgium") }, want: 409},
		"no site":               {change: func(f url.Values) { f.Del("site") }, want: 400},
		"a site that is not":    {change: func(f url.Values) { f.Set("site", "paris") }, want: 404},
		"no such service":       {target: "/services/none/drain", want: 404},
		"no such verb":          {target: "/services/shop/reload", want: 404},
		"an odd reason":         {change: func(f url.Values) { f.Set("reason", "a\x1b[2J") }, want: 400},
		"a long reason":         {change: func(f url.Values) { f.Set("reason", strings.Repeat("x", 501)) }, want: 400},
		"for ever":              {change: func(f url.Values) { f.Set("for", "1000h") }, want: 400},
		"a body that is a book": {change: func(f url.Values) { f.Set("x", strings.Repeat("x", 20<<10)) }, want: 400},
	} {
		back := apitest.New()
		b := open(console(back))
		csrf := b.login(t, "ana")
		form := good(csrf, plan(t, b.get("/services/shop/drain?site=virginia").Body.String()))
		if tt.change != nil {
			tt.change(form)
		}
		target := tt.target
		switch {
		case target == "":
			target = "/services/shop/drain"
		case strings.HasSuffix(target, "csrf="):
			target += csrf
		}
		if tt.out {
			b.cookies = map[string]*http.Cookie{}
		}
		w := b.ask("POST", target, form, tt.headers...)
		if w.Code != tt.want || len(back.Actions()) > 0 {
			t.Errorf("%s: %d, want %d; done %v", name, w.Code, tt.want, back.Actions())
		}
	}
	back := apitest.New()
	b := open(console(back))
	csrf := b.login(t, "ana")
	form := good(csrf, plan(t, b.get("/services/shop/drain?site=virginia").Body.String()))
	if w := b.ask("GET", "/services/shop/drain?"+form.Encode(), nil); w.Code != 200 || len(back.Actions()) > 0 {
		t.Errorf("GET acts: %d %v", w.Code, back.Actions())
	}
	if w := b.ask("POST", "/services/shop/drain", form); w.Code != 303 || len(back.Actions()) != 1 {
		t.Errorf("the good form is refused: %d", w.Code)
	}
}

func TestLogoutNeedsItsForm(t *testing.T) {
	b := open(console(apitest.New()))
	b.login(t, "")
	if w := b.ask("POST", "/logout", nil); w.Code != 403 {
		t.Errorf("without csrf token: %d", w.Code)
	}
	if w := b.get("/services/shop/freeze"); w.Code != 200 {
		t.Errorf("logged out all the same: %d", w.Code)
	}
}

func TestTheActorIsWhoLoggedIn(t *testing.T) {
	for name, want := range map[string]string{"": "console", "  ": "console", "Ana Luís (ops)": "console:Ana Luís (ops)"} {
		back := apitest.New()
		b := open(console(back))
		form := url.Values{"csrf": {b.login(t, name)}, "plan": {plan(t, b.get("/services/blog/freeze").Body.String())}}
		b.ask("POST", "/services/blog/freeze", form, "Spare-Actor: somebody else")
		if got := back.Actions(); len(got) != 1 || got[0].Actor != want {
			t.Errorf("name %q: %+v", name, got)
		}
	}
}

// The console stands behind the API's own check of the Host header.
func TestMountedBehindTheAPI(t *testing.T) {
	back := apitest.New()
	o := api.Options{Backend: back, Token: func() string { return token }, Log: console(back).Log, Listen: "127.0.0.1:7700", OpenReads: true}
	o.Console = console(back)
	srv := api.New(o)
	for _, tt := range []struct {
		host, target, media string
		code                int
	}{
		{"127.0.0.1:7700", "/", "text/html; charset=utf-8", 200},
		{"localhost:7700", "/services/shop", "text/html; charset=utf-8", 200},
		{"127.0.0.1:7700", "/nowhere", "text/html; charset=utf-8", 404},
		{"evil.example:7700", "/", "application/json", 403},
		{"evil.example", "/login", "application/json", 403},
		{"127.0.0.1:7700", "/api/v1/status", "application/json", 200},
		{"127.0.0.1:7700", "/api/v2/status", "application/json", 404},
		{"127.0.0.1:7700", "/api", "application/json", 404},
		{"127.0.0.1:7700", "/healthz", "application/json", 200},
	} {
		r := httptest.NewRequest("GET", tt.target, nil)
		r.Host = tt.host
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, r)
		if w.Code != tt.code || w.Header().Get("Content-Type") != tt.media {
			t.Errorf("%s%s: %d %s, want %d %s", tt.host, tt.target, w.Code, w.Header().Get("Content-Type"), tt.code, tt.media)
		}
	}
	for listen, want := range map[string]bool{"127.0.0.1:7700": true, "": true, "0.0.0.0:7700": false, "spare.example.com:7700": false} {
		if got := (api.Options{Listen: listen, OpenReads: true}).ReadsOpen(); got != want {
			t.Errorf("listening on %q, reads are open: %v", listen, got)
		}
	}
}
