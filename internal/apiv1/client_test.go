package apiv1

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
)

func client(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	c, err := New(ts.URL, "secret", ts.Client())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// hangUp reads the request and closes the connection.
func hangUp(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func reply(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// What may have happened to an action whose answer is not a plain yes or no.
func TestLostAnswersLeaveTheOutcomeOpen(t *testing.T) {
	tests := []struct {
		name  string
		h     http.HandlerFunc
		dry   bool
		kind  errs.Kind
		maybe bool
	}{
		{"hung up on", hangUp, false, errs.Unavailable, true},
		{"hung up on, dry", hangUp, true, errs.Unavailable, false},
		{"a proxy gave up", reply(504, "gateway timeout"), false, errs.Unavailable, true},
		{"a proxy refused", reply(403, "no"), false, errs.Denied, false},
		{"half an answer", reply(200, `{"service":`), false, errs.Internal, true},
		{"refused by the API", reply(503, `{"kind":"unavailable","message":"not leader"}`), false, errs.Unavailable, false},
		{"open, says the API", reply(503, `{"kind":"unavailable","message":"store","maybe_applied":true}`), false, errs.Unavailable, true},
		{"elsewhere", reply(307, ""), false, errs.Invalid, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := client(t, tt.h).Act(t.Context(), "shop", Freeze, Action{DryRun: tt.dry})
			if !errs.Is(err, tt.kind) || errs.IsMaybeApplied(err) != tt.maybe {
				t.Errorf("error %v: kind %v, maybe applied %v", err, errs.KindOf(err), errs.IsMaybeApplied(err))
			}
		})
	}
}

func TestNobodyThereIsAPlainFailure(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := New("http://"+addr, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reload(t.Context()); !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) || errs.Hint(err) == "" {
		t.Errorf("error %v, hint %q", err, errs.Hint(err))
	}
}

func TestReadsAreNeverOfUnknownEffect(t *testing.T) {
	if _, err := client(t, hangUp).Status(t.Context()); !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) {
		t.Errorf("error %v", err)
	}
}

func TestRequestsAreWhatTheServerExpects(t *testing.T) {
	type request struct {
		Method, URI, Token, Actor string
		Body                      Action
	}
	var got request
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		got = request{Method: r.Method, URI: r.RequestURI, Token: r.Header.Get("Authorization"), Actor: r.Header.Get(ActorHeader)}
		_ = json.NewDecoder(r.Body).Decode(&got.Body)
		_, _ = io.WriteString(w, `{}`)
	})
	c.Actor = "ana"
	body := Action{Site: "a", For: "1h", Reason: "why", Force: true, DryRun: true}
	if _, err := c.Act(t.Context(), "../x?y", Drain, body); err != nil {
		t.Fatal(err)
	}
	want := request{"POST", "/api/v1/services/..%2Fx%3Fy/drain", "Bearer secret", "ana", body}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("request (-want +got):\n%s", d)
	}
}

func TestTokenGoesNowhereElse(t *testing.T) {
	leaked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { leaked = true }))
	defer other.Close()
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	if _, err := c.Status(t.Context()); err == nil || leaked {
		t.Errorf("redirect followed: %v, %v", err, leaked)
	}
	for base, want := range map[string]bool{
		"http://127.0.0.1:1": true, "http://localhost:1": true, "http://[::1]:1": true, "https://spare.example.com": true,
		"http://10.0.0.1:1": false, "http://spare.example.com": false, "ftp://localhost": false, "localhost:7700": false, "": false, "http://": false,
	} {
		if _, err := New(base, "secret", nil); (err == nil) != want {
			t.Errorf("New(%q): %v", base, err)
		}
	}
	if _, err := New("http://10.0.0.1:1", "", nil); err != nil {
		t.Errorf("without a token: %v", err)
	}
}

// transport answers with a body that says one thing and then nothing.
type transport struct{ said string }

func (tr transport) RoundTrip(r *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.WriteString(pw, tr.said)
		<-r.Context().Done()
		_ = pw.CloseWithError(r.Context().Err())
	}()
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: pr, Request: r}, nil
}

func TestSilentStreamIsGivenUp(t *testing.T) {
	for said, want := range map[string][]int64{"": nil, ": here\n\nid: 7\ndata: {\"id\":7}\n\n": {7}} {
		synctest.Test(t, func(t *testing.T) {
			c, err := New("http://127.0.0.1:1", "", &http.Client{Transport: transport{said}})
			if err != nil {
				t.Fatal(err)
			}
			var ids []int64
			began := time.Now()
			err = c.Events(t.Context(), JournalQuery{}, func(e Entry) error { ids = append(ids, e.ID); return nil })
			if d := cmp.Diff(want, ids); d != "" || !errs.Is(err, errs.Unavailable) {
				t.Errorf("%q: ended with %v, entries %v", said, err, ids)
			}
			if took := time.Since(began); took != maxSilence {
				t.Errorf("%q: given up after %v", said, took)
			}
		})
	}
}

func TestEventsEndAsTheyWereTold(t *testing.T) {
	stream := func(body string) *Client {
		return client(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, body)
		})
	}
	stop := errors.New("stop")
	if err := stream("data: {\"id\":1}\n\n").Events(t.Context(), JournalQuery{}, func(Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped by the caller: %v", err)
	}
	never := func(Entry) error { t.Error("called"); return nil }
	if err := stream("data: nonsense\n\n").Events(t.Context(), JournalQuery{}, never); !errs.Is(err, errs.Internal) {
		t.Errorf("nonsense: %v", err)
	}
	if err := stream("").Events(t.Context(), JournalQuery{}, never); !errs.Is(err, errs.Unavailable) {
		t.Errorf("ended by the server: %v", err)
	}
	denied := client(t, reply(401, `{"kind":"denied","message":"token"}`))
	if err := denied.Events(t.Context(), JournalQuery{}, never); !errs.Is(err, errs.Denied) {
		t.Errorf("denied: %v", err)
	}
	if err := client(t, reply(200, "<html>")).Events(t.Context(), JournalQuery{}, never); err == nil || !strings.Contains(err.Error(), "answer") {
		t.Errorf("a page: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := stream("").Events(ctx, JournalQuery{}, never); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
