package api_test

import (
	"fmt"
	"testing"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/api/apitest"
)

func closedReads(o *api.Options) { o.OpenReads = false }
func beyond(o *api.Options)      { o.Listen, o.OpenReads = "0.0.0.0:7700", true }
func noToken(o *api.Options)     { o.Token = func() string { return "" } }

func TestWhoMayDoWhat(t *testing.T) {
	const drain = "/api/v1/services/shop/freeze"
	tests := []struct {
		name           string
		change         func(*api.Options)
		method, target string
		header         string
		want           int
	}{
		{"open read", nil, "GET", "/api/v1/status", "", 200},
		{"open read with a wrong token", nil, "GET", "/api/v1/status", "Authorization: Bearer wrong", 200},
		{"closed read", closedReads, "GET", "/api/v1/status", "", 401},
		{"closed read with the token", closedReads, "GET", "/api/v1/status", bearer, 200},
		{"closed metrics", closedReads, "GET", "/metrics", "", 401},
		{"closed events", closedReads, "GET", "/api/v1/events", "", 401},
		{"closed openapi", closedReads, "GET", "/api/v1/openapi.json", "", 401},
		{"closed health", closedReads, "GET", "/healthz", "", 200},
		{"closed readiness", closedReads, "GET", "/readyz", "", 200},
		{"reads beyond loopback are never open", beyond, "GET", "/api/v1/status", "", 401},
		{"action without", nil, "POST", drain, "", 401},
		{"action with the token", nil, "POST", drain, bearer, 200},
		{"scheme in lower case", nil, "POST", drain, "Authorization: bearer " + token, 200},
		{"another scheme", nil, "POST", drain, "Authorization: Basic " + token, 401},
		{"no scheme", nil, "POST", drain, "Authorization: " + token, 401},
		{"part of the token", nil, "POST", drain, "Authorization: Bearer " + token[:31], 401},
		{"more than the token", nil, "POST", drain, bearer + "0", 401},
		{"empty token where none is set", noToken, "POST", drain, "Authorization: Bearer ", 401},
		{"reload without", nil, "POST", "/api/v1/reload", "", 401},
		{"token in the query", nil, "POST", drain + "?token=" + token, "", 401},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := apitest.New()
			s := server(b)
			if tt.change != nil {
				s = server(b, tt.change)
			}
			var headers []string
			if tt.header != "" {
				headers = append(headers, tt.header)
			}
			w := ask(s, tt.method, tt.target, "", headers...)
			if w.Code != tt.want {
				t.Errorf("answer %d %s, want %d", w.Code, w.Body, tt.want)
			}
			if w.Code == 401 {
				if w.Header().Get("WWW-Authenticate") == "" || problem(t, w).Kind != "denied" {
					t.Errorf("401 with headers %v and body %s", w.Header(), w.Body)
				}
				if len(b.Actions()) > 0 {
					t.Errorf("done all the same: %v", b.Actions())
				}
			}
		})
	}
}

func TestForeignHostNamesAreRefusedOnLoopback(t *testing.T) {
	for host, want := range map[string]int{
		"127.0.0.1:7700": 200, "127.0.0.1": 200, "127.8.9.1:80": 200, "localhost:7700": 200, "LocalHost": 200, "[::1]:7700": 200, "[::1]": 200,
		"":                 200, // a browser always sends one
		"evil.example.com": 403, "evil.example.com:7700": 403, "localhost.evil.example.com": 403, "127.0.0.1.evil.example.com": 403,
		"10.0.0.1:7700": 403, "0.0.0.0:7700": 403, "localhost.": 403, "[::]:7700": 403, "127.0.0.1:7700:1": 403,
	} {
		for _, listen := range []string{"", "127.0.0.1:7700", "localhost:7700", "[::1]:7700"} {
			s := server(apitest.New(), func(o *api.Options) { o.Listen = listen })
			for _, target := range []string{"/api/v1/status", "/healthz", "/metrics"} {
				if w := ask(s, "GET", target, "", "Host: "+host); w.Code != want {
					t.Errorf("listen %q: GET %s of Host %q: %d, want %d", listen, target, host, w.Code, want)
				}
			}
			if w := ask(s, "POST", "/api/v1/services/shop/freeze", "", "Host: "+host, bearer); w.Code != want {
				t.Errorf("listen %q: POST of Host %q: %d, want %d", listen, host, w.Code, want)
			}
		}
	}
}

func TestBeyondLoopbackAnyNameIsAnswered(t *testing.T) {
	for _, listen := range []string{":7700", "0.0.0.0:7700", "spare.example.com:7700", "[::]:7700"} {
		s := server(apitest.New(), func(o *api.Options) { o.Listen = listen })
		if w := ask(s, "GET", "/api/v1/status", "", "Host: spare.example.com:7700", bearer); w.Code != 200 {
			t.Errorf("listen %q: %d %s", listen, w.Code, w.Body)
		}
	}
}

func TestWrongMethodsNameTheRightOnes(t *testing.T) {
	for _, tt := range []struct{ method, target, allow string }{
		{"POST", "/api/v1/status", "GET, HEAD"},
		{"DELETE", "/api/v1/services/shop", "GET, HEAD"},
		{"GET", "/api/v1/services/shop/drain", "POST"},
		{"OPTIONS", "/api/v1/services/shop/drain", "POST"},
		{"PUT", "/api/v1/reload", "POST"},
		{"POST", "/metrics", "GET, HEAD"},
		{"TRACE", "/healthz", "GET, HEAD"},
	} {
		w := ask(server(apitest.New()), tt.method, tt.target, "", bearer)
		if w.Code != 405 || w.Header().Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d, Allow %q, want %q", tt.method, tt.target, w.Code, w.Header().Get("Allow"), tt.allow)
		}
		problem(t, w)
	}
	if w := ask(server(apitest.New()), "HEAD", "/api/v1/status", ""); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
}

func TestUnknownPathsAreErrorDocuments(t *testing.T) {
	for _, target := range []string{"/", "/api", "/api/v1/", "/api/v1/services", "/api/v1/services/none", "/api/v1/buckets/none", "/api/v1/incidents/none",
		"/api/v1/incidents/none/timeline", "/api/v1/services/..%2f..%2fetc", "/debug/pprof/"} {
		w := ask(server(apitest.New()), "GET", target, "")
		if w.Code != 404 || problem(t, w).Kind != "not_found" {
			t.Errorf("GET %s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestActorIsRecorded(t *testing.T) {
	for header, want := range map[string]string{
		"": "token", "ana": "token:ana", "Ana Lu\u00eds (ops)": "token:Ana Lu\u00eds (ops)",
		" ": "", "a\tb": "", "a\x1b[2J": "", "\xff": "", fmt.Sprintf("%065d", 0): "", fmt.Sprintf("%064d", 0): "token:" + fmt.Sprintf("%064d", 0),
	} {
		b := apitest.New()
		headers := []string{bearer}
		if header != "" {
			headers = append(headers, "Spare-Actor: "+header)
		}
		w := ask(server(b), "POST", "/api/v1/services/shop/freeze", "", headers...)
		switch got := b.Actions(); {
		case want == "" && (w.Code != 400 || len(got) > 0):
			t.Errorf("actor %q: answer %d, done %v", header, w.Code, got)
		case want != "" && (w.Code != 200 || len(got) != 1 || got[0].Actor != want):
			t.Errorf("actor %q: answer %d %s, done %v", header, w.Code, w.Body, got)
		}
	}
	b := apitest.New()
	if w := ask(server(b), "POST", "/api/v1/reload", "", bearer, "Spare-Actor: a", "Spare-Actor: b"); w.Code != 400 {
		t.Errorf("two actors: %d", w.Code)
	}
}
