package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/notify"
)

const secret = "correct horse battery"

var notice = notify.Notice{
	Version: 1, Event: notify.IncidentOpened, ID: "2026-11-22-1a2b3c.opened", Subject: "2026-11-22-1a2b3c",
	At: time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC), Incident: json.RawMessage(`{"id":"2026-11-22-1a2b3c","title":"virginia is down"}`),
}

func newHook(t *testing.T, o Options) *Webhook {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.CloseIdleConnections)
	return w
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func TestDocumentIsStableAndSigned(t *testing.T) {
	var got *http.Request
	var body []byte
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
	})
	if err := newHook(t, Options{URL: s.URL + "/in?x=1", Secret: secret, AllowPrivate: true}).Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	const want = `{"version":1,"event":"incident.opened","id":"2026-11-22-1a2b3c.opened","incident_id":"2026-11-22-1a2b3c",` +
		`"at":"2026-11-22T01:02:03Z","incident":{"id":"2026-11-22-1a2b3c","title":"virginia is down"}}`
	if d := cmp.Diff(want, string(body)); d != "" {
		t.Error(d)
	}
	if got.Method != http.MethodPost || got.RequestURI != "/in?x=1" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s %s", got.Method, got.RequestURI, got.Header.Get("Content-Type"))
	}
	if k := got.Header.Get("Idempotency-Key"); k != notice.ID {
		t.Errorf("Idempotency-Key %q", k)
	}
	var ts int64
	var sum string
	if n, err := fmt.Sscanf(got.Header.Get("Spare-Signature"), "t=%d,v1=%64s", &ts, &sum); n != 2 {
		t.Fatalf("signature %q: %v", got.Header.Get("Spare-Signature"), err)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(fmt.Appendf(nil, "%d.%s", ts, body))
	if sum != hex.EncodeToString(mac.Sum(nil)) {
		t.Error("the signature does not fit")
	}
	if age := time.Since(time.Unix(ts, 0)); age < -time.Minute || age > time.Minute {
		t.Errorf("signed %s ago", age)
	}
}

func TestWithoutASecretNothingIsSigned(t *testing.T) {
	var header http.Header
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) { header = r.Header })
	if err := newHook(t, Options{URL: s.URL, AllowPrivate: true}).Send(t.Context(), notice); err != nil {
		t.Fatal(err)
	}
	if _, ok := header["Spare-Signature"]; ok {
		t.Error("a signature without a secret")
	}
}

func TestAnswersByKind(t *testing.T) {
	kinds := map[int]errs.Kind{
		301: errs.Invalid, 304: errs.Invalid, 400: errs.Invalid, 401: errs.Invalid, 403: errs.Invalid, 404: errs.Invalid, 410: errs.Invalid, 422: errs.Invalid,
		408: errs.Unavailable, 425: errs.Unavailable, 429: errs.Unavailable, 500: errs.Unavailable, 503: errs.Unavailable, 599: errs.Unavailable,
	}
	for _, code := range []int{200, 201, 202, 204, 299, 301, 304, 400, 401, 403, 404, 408, 410, 422, 425, 429, 500, 503, 599} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		err := newHook(t, Options{URL: s.URL, AllowPrivate: true}).Send(t.Context(), notice)
		if code < 300 {
			if err != nil {
				t.Errorf("%d: %v", code, err)
			}
			continue
		}
		if !errs.Is(err, kinds[code]) {
			t.Errorf("%d: %v, want kind %v", code, err, kinds[code])
		}
	}
}

func TestRedirects(t *testing.T) {
	elsewhere := 0
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere++ })
	var path string
	var body []byte
	var base string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
		case "/other":
			http.Redirect(w, r, other.URL, http.StatusPermanentRedirect)
		case "/get":
			http.Redirect(w, r, "/there", http.StatusFound) // would become a GET
		case "/loop":
			http.Redirect(w, r, base+"/loop", http.StatusTemporaryRedirect)
		default:
			path = r.Method + " " + r.URL.Path
			body, _ = io.ReadAll(r.Body)
		}
	})
	base = s.URL
	if err := newHook(t, Options{URL: s.URL + "/same", AllowPrivate: true}).Send(t.Context(), notice); err != nil {
		t.Errorf("to the same host: %v", err)
	}
	if path != "POST /there" || len(body) == 0 {
		t.Errorf("got %q with %d bytes", path, len(body))
	}
	path = ""
	for _, p := range []string{"/other", "/get", "/loop"} {
		if err := newHook(t, Options{URL: s.URL + p, AllowPrivate: true}).Send(t.Context(), notice); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", p, err)
		}
	}
	if elsewhere != 0 || path != "" {
		t.Errorf("%d requests to another host, %q here", elsewhere, path)
	}
}

func TestSecretsStayOutOfErrorsAndLogs(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, u := range []string{s.URL, gone.URL, "http://no-such-host.invalid"} {
		for _, private := range []bool{true, false} {
			err := newHook(t, Options{URL: u + "/T0KEN?key=T0KEN", Secret: secret, AllowPrivate: private, Log: logger}).Send(t.Context(), notice)
			if err == nil || strings.Contains(err.Error()+errs.Hint(err), "T0KEN") || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", u, err)
			}
		}
	}
	if _, err := New(Options{URL: "ftp://user:T0KEN@example.com", Log: logger}); !errs.Is(err, errs.Invalid) || strings.Contains(err.Error(), "T0KEN") {
		t.Errorf("a bad URL: %v", err)
	}
	if strings.Contains(log.String(), "T0KEN") || strings.Contains(log.String(), secret) {
		t.Errorf("the log has a secret:\n%s", log.String())
	}
}

func TestNoAnswerIsRetried(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	w := newHook(t, Options{URL: s.URL, AllowPrivate: true, Client: &http.Client{Timeout: 50 * time.Millisecond}})
	if err := w.Send(t.Context(), notice); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a receiver that hangs: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Send(ctx, notice); !errs.Is(err, errs.Unavailable) {
		t.Errorf("a context that ended: %v", err)
	}
}
