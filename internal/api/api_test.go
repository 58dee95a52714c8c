package api_test

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
)

var update = flag.Bool("update", false, "write the golden documents anew")

const token = "0123456789abcdef0123456789abcdef"

// server gives the API over a shop in memory, with open reads on loopback
// unless change says otherwise.
func server(b api.Backend, change ...func(*api.Options)) *api.Server {
	o := api.Options{
		Backend: b, Token: func() string { return token }, Log: slog.New(slog.DiscardHandler),
		Listen: "127.0.0.1:7700", OpenReads: true,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "spare_table_epoch 7\n") }),
	}
	for _, c := range change {
		c(&o)
	}
	return api.New(o)
}

// ask sends one request and waits a little for its end; each header is
// "Name: value".
func ask(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:7700"
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const bearer = "Authorization: Bearer " + token

func problem(t *testing.T, w *httptest.ResponseRecorder) apiv1.Error {
	t.Helper()
	var e apiv1.Error
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Kind == "" || e.Message == "" {
		t.Fatalf("answer %d is no error document: %q", w.Code, w.Body)
	}
	return e
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestDocumentsAreStable(t *testing.T) {
	for name, target := range map[string]string{
		"status.json":         "/api/v1/status",
		"service.json":        "/api/v1/services/blog",
		"buckets.json":        "/api/v1/buckets",
		"bucket.json":         "/api/v1/buckets/media",
		"incidents.json":      "/api/v1/incidents",
		"open.json":           "/api/v1/incidents?state=open",
		"incidents_page.json": "/api/v1/incidents?limit=1",
		"incident.json":       "/api/v1/incidents/2026-02-28-6aaaab",
		"timeline.json":       "/api/v1/incidents/2026-03-01-7fbd2c/timeline",
		"journal.json":        "/api/v1/journal?limit=2",
		"health.json":         "/healthz",
	} {
		t.Run(name, func(t *testing.T) {
			w := ask(server(apitest.New()), "GET", target, "")
			if w.Code != http.StatusOK {
				t.Fatalf("GET %s: %d %s", target, w.Code, w.Body)
			}
			golden(t, name, w.Body.Bytes())
		})
	}
}

func TestListsAreNeverNull(t *testing.T) {
	b := &apitest.Backend{}
	for _, target := range []string{"/api/v1/status", "/api/v1/incidents", "/api/v1/journal", "/api/v1/buckets"} {
		if w := ask(server(b), "GET", target, ""); strings.Contains(w.Body.String(), "null") {
			t.Errorf("GET %s: %s", target, w.Body)
		}
	}
}

func TestEveryAnswerForbidsSniffingAndStoring(t *testing.T) {
	for _, target := range []string{"/api/v1/status", "/nothing", "/metrics", "/api/v1/openapi.json"} {
		h := ask(server(apitest.New()), "GET", target, "").Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("GET %s: headers %v", target, h)
		}
		if got := h.Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("GET %s: CORS header %q", target, got)
		}
	}
}

func TestErrorKindsBecomeStatusCodes(t *testing.T) {
	for kind, want := range map[errs.Kind]int{
		errs.Unavailable: 503, errs.Internal: 500, errs.NotFound: 404, errs.Stale: 409, errs.Denied: 403, errs.Unsupported: 501,
	} {
		b := apitest.New()
		b.Fail(errs.WithHint(errs.E(kind, "the reason"), "the remedy"))
		w := ask(server(b), "GET", "/api/v1/status", "")
		want := struct {
			Code int
			Doc  apiv1.Error
		}{want, apiv1.Error{Kind: kind.String(), Message: "the reason", Hint: "the remedy"}}
		got := want
		got.Code, got.Doc = w.Code, problem(t, w)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", kind, d)
		}
	}
}

func TestUnknownEffectIsSaid(t *testing.T) {
	b := apitest.New()
	b.Fail(errs.MaybeApplied(errs.E(errs.Unavailable, "the store went away")))
	w := ask(server(b), "POST", "/api/v1/services/shop/freeze", "", bearer)
	if e := problem(t, w); !e.MaybeApplied || w.Code != 503 || e.Message != "the store went away" {
		t.Errorf("answer %d %+v", w.Code, e)
	}
}

func TestReadyOnlyWhenTheNewestTableIsServed(t *testing.T) {
	b := apitest.New()
	if w := ask(server(b), "GET", "/readyz", ""); w.Code != 200 {
		t.Errorf("ready: %d %s", w.Code, w.Body)
	}
	b.NotReady = errs.E(errs.Unavailable, "no data process serves table 7")
	if w := ask(server(b), "GET", "/readyz", ""); w.Code != 503 || problem(t, w).Message != "no data process serves table 7" {
		t.Errorf("not ready: %d %s", w.Code, w.Body)
	}
}

type broken struct{ *apitest.Backend }

func (broken) Ready(context.Context) error { panic("a fault of ours") }

func TestPanicIsAnsweredAndNotShown(t *testing.T) {
	w := ask(server(broken{apitest.New()}), "GET", "/readyz", "")
	if e := problem(t, w); w.Code != 500 || strings.Contains(e.Message, "fault of ours") {
		t.Errorf("answer %d %+v", w.Code, e)
	}
}

func TestPagesOfTheJournalMeetWithoutGapOrRepeat(t *testing.T) {
	for _, order := range []string{"newest", "oldest"} {
		s, seen, next := server(apitest.New()), []int64{}, ""
		for range 10 {
			var page apiv1.JournalPage
			w := ask(s, "GET", "/api/v1/journal?limit=1&order="+order+next, "")
			if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
				t.Fatal(err)
			}
			for _, e := range page.Entries {
				seen = append(seen, e.ID)
			}
			if !page.More {
				break
			}
			next = "&" + apiv1.JournalQuery{Cursor: page.Next}.Values().Encode()
		}
		want := map[string][]int64{"newest": {3, 2, 1}, "oldest": {1, 2, 3}}[order]
		if d := cmp.Diff(want, seen); d != "" {
			t.Errorf("%s (-want +got):\n%s", order, d)
		}
	}
}

func TestJournalParametersSelect(t *testing.T) {
	for params, want := range map[string]int{
		"":                           3,
		"kind=verdict&kind=switch":   2,
		"site=belgium":               1,
		"service=blog":               0,
		"incident=2026-03-01-7fbd2c": 2,
		"text=MOVED":                 1,
		"after=2":                    1,
		"before=2":                   1,
		"from=2026-03-01T11:30:00Z":  2,
		"to=2026-03-01T11:30:00Z":    1,
		"before=3&cursor=2":          1,
		"before=2&cursor=3":          1,
	} {
		var page apiv1.JournalPage
		w := ask(server(apitest.New()), "GET", "/api/v1/journal?"+params, "")
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Entries) != want {
			t.Errorf("%q: %d entries, want %d (%v)", params, len(page.Entries), want, err)
		}
	}
}

func TestBadParametersAreRefused(t *testing.T) {
	for _, target := range []string{
		"/api/v1/journal?sevice=shop", "/api/v1/journal?limit=0", "/api/v1/journal?limit=501", "/api/v1/journal?limit=x",
		"/api/v1/journal?before=-1", "/api/v1/journal?from=yesterday", "/api/v1/journal?order=up", "/api/v1/journal?site=a&site=b",
		"/api/v1/journal?a;b", "/api/v1/incidents?state=ajar", "/api/v1/status?verbose=1", "/api/v1/incidents?limit=0", "/api/v1/incidents?state=open&state=closed", "/api/v1/events?limit=5",
	} {
		if w := ask(server(apitest.New()), "GET", target, ""); w.Code != 400 || problem(t, w).Kind != "invalid" {
			t.Errorf("GET %s: %d %s", target, w.Code, w.Body)
		}
	}
}
