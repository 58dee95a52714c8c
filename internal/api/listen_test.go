package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/errs"
)

func TestListenBeyondLoopbackNeedsTLS(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "spare.example.com:0"} {
		ln, err := api.Listen(t.Context(), addr, nil)
		if !errs.Is(err, errs.Denied) || errs.Hint(err) == "" {
			t.Errorf("Listen(%q) = %v, %v", addr, ln, err)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "127.9.9.9:0"} {
		ln, err := api.Listen(t.Context(), addr, nil)
		if err != nil {
			t.Fatalf("Listen(%q): %v", addr, err)
		}
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestListenSpeaksTLSWhereItIsGiven(t *testing.T) {
	ts := httptest.NewTLSServer(nil) // for its certificate
	defer ts.Close()
	ln, err := api.Listen(t.Context(), "0.0.0.0:0", ts.TLS)
	if err != nil {
		t.Fatal(err)
	}
	s := server(apitest.New(), beyond)
	run(t, s, ln)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	res, err := ts.Client().Get("https://127.0.0.1:" + port + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // a test's answer
	if res.StatusCode != 200 || res.TLS.Version < tls.VersionTLS12 {
		t.Errorf("answer %s, TLS %x", res.Status, res.TLS.Version)
	}
}

// run serves until the test ends and gives a function that stops it.
func run(t *testing.T, s *api.Server, ln net.Listener) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, ln) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return stop
}

func TestStopEndsEventStreams(t *testing.T) {
	ln, err := api.Listen(t.Context(), "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, server(apitest.New()), ln)
	res, err := http.Get("http://" + ln.Addr().String() + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // a test's answer
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); line != "retry: 2000\n" {
		t.Fatalf("stream begins with %q, %v", line, err)
	}
	began := time.Now()
	if err := stop(); err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("stopped after %v: the stream held it up", took)
	}
}

func TestStreamsAreLimited(t *testing.T) {
	ts := httptest.NewServer(server(apitest.New()))
	defer ts.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	codes := map[int]int{}
	for range 65 {
		req, _ := http.NewRequestWithContext(ctx, "GET", ts.URL+"/api/v1/events", nil)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close() //nolint:errcheck // a test's answer
		codes[res.StatusCode]++
	}
	if codes[200] != 64 || codes[503] != 1 {
		t.Errorf("answers %v", codes)
	}
}

func TestTokenIsMadeOnceAndKept(t *testing.T) {
	dir := t.TempDir()
	var all [16]string
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			got, err := api.EnsureToken(dir)
			if err != nil {
				t.Error(err)
			}
			all[i] = got
		})
	}
	wg.Wait()
	for _, got := range all {
		if got != all[0] || len(got) != 64 {
			t.Fatalf("tokens differ or are short: %q and %q", all[0], got)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("files left: %v (%v)", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 || files[0].Name() != api.TokenFile {
		t.Errorf("token file %v (%v)", info.Mode(), err)
	}
}

func TestUnfitTokenFilesAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		content string
		mode    os.FileMode
		want    errs.Kind
	}{
		"readable by others": {token, 0o644, errs.Denied},
		"writable by others": {token, 0o620, errs.Denied},
		"empty":              {"", 0o600, errs.Invalid},
		"short":              {"secret\n", 0o600, errs.Invalid},
		"two lines":          {token + "\n" + token, 0o600, errs.Invalid},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, api.TokenFile)
		if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		if got, err := api.EnsureToken(dir); !errs.Is(err, tt.want) || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := api.EnsureToken(filepath.Join(t.TempDir(), "none")); !errs.Is(err, errs.NotFound) {
		t.Errorf("no folder: %v", err)
	}
}
