package web_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/journal"
)

// hostile would run, load or break out of something if it were not escaped in
// the place where it stands.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'onmouseover='alert(1)`, `javascript:alert(1)`, `</title></svg></style><script>alert(1)</script>`,
	`{{.}} ${x}`, "\x00\x1b[2J\u202e", `x" style="x:y`, `//evil.example/`, `https://evil.example/?a=b&c=d#e`, "../../etc/passwd",
}

// fill puts the text into every string of a value, however deep.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if !v.IsNil() {
			fill(v.Elem(), text)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), text)
		}
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte(fmt.Sprintf("%q", text)))
			return
		}
		for i := range v.Len() {
			fill(v.Index(i), text)
		}
	}
}

var (
	tag       = regexp.MustCompile(`<[a-zA-Z/!][^>]*>`)
	attribute = regexp.MustCompile(`\s([a-zA-Z-]+)(=("[^"]*"|[^\s">]*))?`)
	quoted    = regexp.MustCompile(`"[^"]*"`)
	unquoted  = regexp.MustCompile(`\s(?:href|src|action)=[^"]`)
	address   = regexp.MustCompile(`(?:href|src|action)="([^"]*)"`)
)

// inspect fails if a page has anything in it that could run or lead away.
func inspect(t *testing.T, where, body string) {
	t.Helper()
	for _, bad := range []string{"<script>", "alert(1)</script", "<img", "<style", "<iframe", "<object", "<base"} {
		if strings.Contains(strings.ToLower(body), bad) {
			t.Errorf("%s: holds %q", where, bad)
		}
	}
	for _, one := range tag.FindAllString(body, -1) {
		for _, a := range attribute.FindAllStringSubmatch(one, -1) {
			if name := strings.ToLower(a[1]); strings.HasPrefix(name, "on") || name == "style" || name == "srcdoc" || name == "formaction" {
				t.Errorf("%s: %s in %s", where, name, one)
			}
		}
		if unquoted.MatchString(quoted.ReplaceAllString(one, `""`)) {
			t.Errorf("%s: an address without quotes in %s", where, one)
		}
		if strings.HasPrefix(one, "<script") && !strings.Contains(one, `src="/assets/`) {
			t.Errorf("%s: %s", where, one)
		}
	}
	for _, a := range address.FindAllStringSubmatch(body, -1) {
		if to := a[1]; !strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "#") || strings.HasPrefix(to, "//") {
			t.Errorf("%s: leads to %q", where, to)
		}
	}
}

func TestNothingThatIsShownCanRun(t *testing.T) {
	for _, text := range hostile {
		back := apitest.New()
		fill(reflect.ValueOf(&back.Doc).Elem(), text)
		fill(reflect.ValueOf(&back.List).Elem(), text)
		var e journal.Entry
		fill(reflect.ValueOf(&e).Elem(), text)
		e.Data = json.RawMessage(fmt.Sprintf("{%q: [%q]}", text, text))
		back.Append(e)
		b := open(console(back))
		id := url.PathEscape(text)
		targets := []string{"/", "/services", "/services/" + id, "/incidents", "/incidents/" + id, "/journal", "/journal/4", "/services/" + id + "x", "/incidents/" + id + "x",
			"/journal?" + url.Values{"q": {text}, "service": {text}, "site": {text}, "incident": {text}}.Encode(), "/journal?from=" + url.QueryEscape(text),
			"/?q=" + url.QueryEscape(text), "/?show=" + url.QueryEscape(text), "/login?next=" + url.QueryEscape(text), "/nowhere" + id}
		for _, target := range targets {
			w := b.get(target)
			if w.Code >= 500 {
				t.Errorf("%s: %d", target, w.Code)
			}
			inspect(t, fmt.Sprintf("%s with %q", target, text), w.Body.String())
		}
		b.login(t, "x")
		w := b.get("/services/shop/drain?site=" + url.QueryEscape(text) + "&reason=" + url.QueryEscape(text) + "&for=" + url.QueryEscape(text))
		inspect(t, "/services/shop/drain with "+text, w.Body.String())
	}
}

// What an operator typed comes back in a form, and must be the same there.
func TestHostileReasonsAndNamesStayText(t *testing.T) {
	b := open(console(apitest.New()))
	b.login(t, `ana <img src=x onerror=alert(1)>`)
	for _, target := range []string{"/", "/services/blog/freeze?reason=" + url.QueryEscape(`"><script>alert(1)</script>`)} {
		w := b.get(target)
		if w.Code != 200 || !strings.Contains(w.Body.String(), "console:ana &lt;img") {
			t.Errorf("%s: %d, without the actor", target, w.Code)
		}
		inspect(t, target, w.Body.String())
	}
}

func TestInspectSeesWhatItLooksFor(t *testing.T) {
	for _, body := range []string{
		`<p onclick="x">`, `<p class="a" style="x">`, `<script>x</script>`, `<script src="//x/">`, `<a href="https://x/">`, `<a href="javascript:x">`, `<form action="//x">`, `<IMG src=x>`, `<a href=/x>`,
	} {
		probe := &testing.T{}
		inspect(probe, "", body)
		if !probe.Failed() {
			t.Errorf("%s goes unseen", body)
		}
	}
}
