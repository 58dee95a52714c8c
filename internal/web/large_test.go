package web_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/web"
)

// large is an estate of n services with two origins each, over 40 sites.
func large(n int) *apitest.Backend {
	b := apitest.New()
	b.Doc.Services, b.Doc.Sites = nil, nil
	for i := range 40 {
		b.Doc.Sites = append(b.Doc.Sites, apiv1.Site{ID: fmt.Sprintf("site-%02d", i), Provider: fmt.Sprintf("provider-%d", i%4), Region: "r"})
	}
	for i := range n {
		s := apiv1.Service{ID: fmt.Sprintf("service-%05d", i), Hosts: []string{fmt.Sprintf("h%d.example.com", i)}, Policy: "primary", Writes: "anywhere", State: apiv1.ServiceUp}
		for k := range 2 {
			s.Origins = append(s.Origins, apiv1.Origin{Site: fmt.Sprintf("site-%02d", (i+k)%40), URL: "http://10.0.0.1", Weight: 1, State: "up", Verdict: "up", Evidence: "last check passed"})
		}
		s.Active = s.Origins[0].Site
		b.Doc.Services = append(b.Doc.Services, s)
	}
	if n > 0 {
		b.Doc.Services[n-1].State = apiv1.ServiceDown
	}
	return b
}

func TestEmptyEstatesHavePages(t *testing.T) {
	b := open(console(&apitest.Backend{}))
	for target, text := range map[string]string{
		"/": "declares no services yet", "/services": "declares no services yet", "/incidents": "There was no incident yet.", "/incidents?state=open": "No incident is open.",
		"/journal": "Nothing was written down yet.", "/journal?q=x": "Nothing matches.",
	} {
		if w := b.get(target); w.Code != 200 || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%s: %d, without %q", target, w.Code, text)
		}
	}
}

func TestLargeEstatesHaveBoundedPages(t *testing.T) {
	back := large(10_000)
	for i := range 2000 {
		back.Append(journal.Entry{At: apitest.Noon, Kind: journal.KindTable, Level: journal.Info, Actor: "spare", Message: fmt.Sprintf("entry %d", i)})
	}
	for i := range 500 {
		back.List = append(back.List, apiv1.Incident{ID: fmt.Sprintf("2026-01-01-%06d", 999-i), Title: "t", Severity: "minor", State: apiv1.IncidentOpen, Opened: apitest.Noon})
	}
	b := open(console(back))
	for target, text := range map[string]string{
		"/": "Page 1 of 200, 10\u202f000 services", "/?page=200": "service-09999", "/?page=999999": "Page 200 of 200", "/?show=unwell": "service-09999", "/services?q=09998": "service-09998",
		"/services": "service-00049", "/services?q=H77.example": "service-00077", "/services/service-05000": "10.0.0.1", "/incidents": "Older →", "/journal": "Older →",
	} {
		began := time.Now()
		w := b.get(target)
		if w.Code != 200 || !strings.Contains(w.Body.String(), text) {
			t.Errorf("%s: %d, without %q", target, w.Code, text)
		}
		if n := w.Body.Len(); n > 512<<10 {
			t.Errorf("%s: %d KiB", target, n>>10)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", target, took)
		}
	}
}

func TestPagesLeadThroughEverything(t *testing.T) {
	back := large(0)
	for i := range 173 {
		back.Append(journal.Entry{At: apitest.Noon, Kind: journal.KindTable, Message: fmt.Sprintf("entry <%d>", i), Service: "shop"})
	}
	b := open(console(back))
	seen, target := 0, "/journal?service=shop&q=entry"
	for pages := 0; target != ""; pages++ {
		body := b.get(target).Body.String()
		seen += strings.Count(body, "entry &lt;")
		_, rest, ok := strings.Cut(body, `<a rel="next" href="`)
		target = ""
		if ok {
			target = strings.ReplaceAll(rest[:strings.IndexByte(rest, '"')], "&amp;", "&")
		}
		if pages > 10 {
			t.Fatal("it never ends")
		}
	}
	if seen != 173 {
		t.Errorf("%d of 173 entries were shown", seen)
	}
}

func TestAReportsLinkLeadsToTheEntry(t *testing.T) {
	b := open(console(apitest.New()))
	if w := b.get("/journal?after=1&limit=1&order=oldest"); w.Code != 303 || w.Header().Get("Location") != "/journal/2" {
		t.Errorf("%d %s", w.Code, w.Header().Get("Location"))
	}
	if body := b.get("/incidents/2026-03-01-7fbd2c/report").Body.String(); !strings.Contains(body, `href="/journal?after=1&amp;limit=1&amp;order=oldest"`) || !strings.Contains(body, `href="/incidents/2026-03-01-7fbd2c"`) {
		t.Errorf("the report leads elsewhere: %s", body)
	}
}

// steady gives counters that grow by ten a second of real time.
type steady struct{ *apitest.Backend }

func (s steady) Status(ctx context.Context) (apiv1.Status, error) {
	st, err := s.Backend.Status(ctx)
	st.At = time.Now()
	return st, err
}

// While nobody looks, a console of a large estate keeps no more than the rings
// of the services that it follows.
func TestIdleConsoleKeepsLittle(t *testing.T) {
	back := large(10_000)
	c := web.New(web.Options{Backend: steady{back}, Token: func() string { return token }, Log: slog.New(slog.DiscardHandler), OpenReads: true})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if used := int64(after.HeapAlloc) - int64(before.HeapAlloc); used > 2<<20 {
		t.Errorf("%d KiB are kept after one look", used>>10)
	}
	runtime.KeepAlive(c)
}

func BenchmarkOverviewOfTenThousand(b *testing.B) {
	c := console(large(10_000))
	for b.Loop() {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
