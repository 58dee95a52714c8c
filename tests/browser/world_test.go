package browser_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin is an HTTP server that can be killed and brought back.
type origin struct {
	addr string
	mu   sync.Mutex
	srv  *http.Server
}

// revive listens again.
func (o *origin) revive() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.srv != nil {
		return nil
	}
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	o.srv = &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(4 * time.Millisecond)
		_, _ = io.WriteString(w, "ok\n")
	})}
	go func(s *http.Server) { _ = s.Serve(ln) }(o.srv)
	return nil
}

// kill resets every connection and refuses new ones.
func (o *origin) kill() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.srv != nil {
		_ = o.srv.Close()
		o.srv = nil
	}
}

// world is a running Spare with three sites, four services and customers.
type world struct {
	t       *testing.T
	api     string
	http    string
	token   string
	origins map[string]*origin // by service@site
	control string             // address at which the browser's script kills and revives
}

var services = []struct {
	name, policy string
	sites        []string
	load         int // requests a second
}{
	{"shop", "primary", []string{"virginia", "belgium"}, 60},
	{"accounts", "balance", []string{"virginia", "belgium", "paris"}, 30},
	{"search", "primary", []string{"belgium", "paris"}, 20},
	{"admin", "primary", []string{"paris", "virginia"}, 0},
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, api: freeAddress(t), http: freeAddress(t), origins: map[string]*origin{}}
	dir := t.TempDir()
	var yaml strings.Builder
	fmt.Fprintf(&yaml, "version: 1\ndata: data\nlisten: {http: %q, api: %q}\nsites:\n"+
		"  virginia: {provider: alder, region: us-east-1}\n  belgium: {provider: birch, region: europe-west1, zone: europe-west1-b}\n"+
		"  paris: {provider: self, region: paris}\nservices:\n", w.http, w.api)
	for _, s := range services {
		fmt.Fprintf(&yaml, "  %s:\n    hosts: [%s.example.com]\n    policy: %s\n    check: {http: {path: /}, every: 200ms, timeout: 250ms}\n    origins:\n", s.name, s.name, s.policy)
		for _, site := range s.sites {
			o := &origin{addr: freeAddress(t)}
			if err := o.revive(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(o.kill)
			w.origins[s.name+"@"+site] = o
			fmt.Fprintf(&yaml, "      %s: {url: \"http://%s\"}\n", site, o.addr)
		}
	}
	config := filepath.Join(dir, "spare.yaml")
	if err := os.WriteFile(config, []byte(yaml.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(build(t), "run", "-c", config)
	cmd.Stdout, cmd.Stderr = log, log
	start(t, cmd)
	t.Cleanup(func() {
		if b, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("log of spare:\n%s", b[max(0, len(b)-6000):])
		}
	})
	waitFor(t, "Spare to be ready", func() bool { return w.get("http://"+w.api+"/readyz") == http.StatusOK })
	b, err := os.ReadFile(filepath.Join(dir, "data", "token"))
	if err != nil {
		t.Fatal(err)
	}
	w.token = strings.TrimSpace(string(b))
	w.customers()
	w.serveControl()
	return w
}

func (w *world) get(url string) int {
	res, err := http.Get(url)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res.StatusCode
}

// customers ask at a steady pace until the test ends.
func (w *world) customers() {
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	w.t.Cleanup(func() { stop(); wg.Wait() })
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 5 * time.Second}
	for _, s := range services {
		if s.load == 0 {
			continue
		}
		wg.Go(func() {
			tick := time.NewTicker(time.Second / time.Duration(s.load))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				wg.Go(func() {
					req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.http+"/", nil)
					req.Host = s.name + ".example.com"
					if res, err := client.Do(req); err == nil {
						_, _ = io.Copy(io.Discard, res.Body)
						_ = res.Body.Close()
					}
				})
			}
		})
	}
}

// serveControl lets the browser's script kill (POST /kill?site=virginia) and
// revive all origins of a site.
func (w *world) serveControl() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for name, o := range w.origins {
			if !strings.HasSuffix(name, "@"+r.URL.Query().Get("site")) {
				continue
			}
			if r.URL.Path == "/kill" {
				o.kill()
			} else if err := o.revive(); err != nil {
				http.Error(rw, err.Error(), http.StatusInternalServerError)
			}
		}
	})}
	go func() { _ = srv.Serve(ln) }()
	w.t.Cleanup(func() { _ = srv.Close() })
	w.control = "http://" + ln.Addr().String()
}
