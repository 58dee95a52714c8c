package failover

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

var anOrder = fenceOrder{Service: "shop", From: "a", To: "b", Epoch: 42}

func TestFenceCommand(t *testing.T) {
	dir := t.TempDir()
	n := 0
	script := func(text string) []string {
		n++
		path := filepath.Join(dir, fmt.Sprintf("hook%d", n))
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return []string{"/bin/sh", path}
	}
	for _, tt := range []struct {
		name    string
		argv    []string
		outcome string
		says    string
	}{
		{"told by environment", script(`test "$SPARE_SERVICE $SPARE_FROM $SPARE_TO $SPARE_EPOCH" = "shop a b 42"`), "fenced", ""},
		{"says no", script("echo disk on fire >&2; exit 3"), "no", "disk on fire"},
		{"not there", []string{filepath.Join(dir, "none")}, "no", "start the hook"},
		{"hangs with a child", script("sleep 60 & wait"), "unclear", "killed"},
		{"killed", script("kill -9 $$"), "unclear", "killed"},
		{"talkative", script("head -c 1000000 /dev/zero | tr '\\0' x"), "fenced", ""},
		{"empty", nil, "no", "neither"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := fence(context.Background(), nil, &estate.Fence{Command: tt.argv, Timeout: time.Second}, anOrder)
			if got := outcome(err); got != tt.outcome {
				t.Errorf("outcome %s, want %s: %v", got, tt.outcome, err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
		})
	}
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "fenced"
	case errs.IsMaybeApplied(err):
		return "unclear"
	default:
		return "no"
	}
}

func TestFenceURL(t *testing.T) {
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /yes", func(w http.ResponseWriter, r *http.Request) {
		var o fenceOrder
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(anOrder, o); diff != "" || r.Header.Get("Idempotency-Key") != "shop-42" {
			t.Errorf("order, key %q (-want +got):\n%s", r.Header.Get("Idempotency-Key"), diff)
		}
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST /no", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not today", http.StatusServiceUnavailable)
	})
	mux.HandleFunc("POST /hang", func(http.ResponseWriter, *http.Request) { <-release })
	mux.HandleFunc("POST /cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer close(release)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for name, tt := range map[string]struct{ url, outcome, says string }{
		"fenced":    {srv.URL + "/yes", "fenced", ""},
		"says no":   {srv.URL + "/no", "no", "not today"},
		"hangs":     {srv.URL + "/hang", "unclear", "deadline"},
		"cut":       {srv.URL + "/cut", "unclear", "EOF"},
		"not there": {"http://" + closed.Addr().String(), "no", "refused"},
		"a bad URL": {"http://%zz", "no", "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			err := fence(context.Background(), srv.Client(), &estate.Fence{URL: tt.url, Timeout: 300 * time.Millisecond}, anOrder)
			if got := outcome(err); got != tt.outcome {
				t.Errorf("outcome %s, want %s: %v", got, tt.outcome, err)
			}
			if err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
		})
	}
}
