package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// TestMain lets the test's own binary play the programs that a demo starts: a
// cloud, and a crude stand-in for Spare with just enough of a proxy, an API and
// a control process, and with Spare's own replication behind its bucket. The demo must not know the difference.
func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	switch command := append(os.Args, "")[1]; command {
	case "demo-cloud":
		exit(cloudCommand(ctx, os.Args[2:]))
	case "run":
		exit(standIn(ctx, os.Args[3]))
	case "control":
		exit(standInControl(os.Args[2]))
	default:
		os.Exit(m.Run())
	}
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func cloudCommand(ctx context.Context, args []string) error {
	var o CloudOptions
	o.Peers, o.Log = map[string]string{}, slog.New(slog.NewTextHandler(os.Stderr, nil))
	f := flag.NewFlagSet("demo-cloud", flag.ExitOnError)
	f.StringVar(&o.Name, "name", "", "")
	f.StringVar(&o.Front, "front", "", "")
	f.StringVar(&o.Inside, "inside", "", "")
	f.StringVar(&o.Bucket, "bucket", "", "")
	f.StringVar(&o.Dir, "dir", "", "")
	f.StringVar(&o.Secret, "secret", "", "")
	f.Func("peer", "", func(s string) error {
		name, addr, _ := strings.Cut(s, "=")
		o.Peers[name] = addr
		return nil
	})
	if err := f.Parse(args); err != nil {
		return err
	}
	return Cloud(ctx, o)
}

// standInFile is what the stand-in reads of a spare.yaml.
type standInFile struct{ http, api, data string }

func (f *standInFile) origins(yaml string) (names, urls []string) {
	f.data = regexp.MustCompile(`data: "(.*)"`).FindStringSubmatch(yaml)[1]
	listen := regexp.MustCompile(`listen: {http: "(.*)", s3: ".*", api: "(.*)"}`).FindStringSubmatch(yaml)
	f.http, f.api = listen[1], listen[2]
	for _, m := range regexp.MustCompile(`(cloud-.): {url: "(.*)"}`).FindAllStringSubmatch(yaml, -1) {
		names, urls = append(names, m[1]), append(urls, m[2])
	}
	return names, urls
}

// standIn supervises a control process and forwards requests.
func standIn(ctx context.Context, file string) error {
	yaml, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var f standInFile
	_, urls := f.origins(string(yaml))
	go func() {
		for {
			c := exec.Command(os.Args[0], "control", file)
			c.Stderr = os.Stderr
			c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			_ = c.Run()
		}
	}()
	p := &standInProxy{urls: urls, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}}
	go func() { _ = http.ListenAndServe(f.http, p) }()
	return standInBucket(ctx, file)
}

// standInProxy stays with an origin until that fails.
type standInProxy struct {
	urls []string
	http *http.Client
	mu   sync.Mutex
	at   int
}

func (p *standInProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	limit := 1200 * time.Millisecond
	for range p.urls {
		p.mu.Lock()
		at := p.at
		p.mu.Unlock()
		if p.try(w, r, body, p.urls[at], limit) {
			return
		}
		p.mu.Lock()
		if p.at == at {
			p.at = (at + 1) % len(p.urls)
		}
		p.mu.Unlock()
		if r.Method != http.MethodGet {
			break
		}
	}
	w.Header().Set("Spare-Maybe-Applied", "true")
	w.WriteHeader(http.StatusBadGateway)
}

func (p *standInProxy) try(w http.ResponseWriter, r *http.Request, body []byte, base string, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, r.Method, base+r.URL.Path, bytes.NewReader(body))
	res, err := p.http.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return false
	}
	w.Header().Set("Shop-Cloud", res.Header.Get("Shop-Cloud"))
	w.WriteHeader(res.StatusCode)
	_, _ = w.Write(answer)
	return true
}

// standInControl probes the clouds, writes incidents down and answers the API.
func standInControl(file string) error {
	yaml, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var f standInFile
	names, urls := f.origins(string(yaml))
	_ = os.MkdirAll(f.data, 0o755)
	b := &standInBook{file: filepath.Join(f.data, "incidents.json"), bucket: standInDoc(f.data), up: map[string]bool{}, names: names}
	if old, err := os.ReadFile(b.file); err == nil {
		_ = json.Unmarshal(old, &b.incidents)
	}
	for i := range names {
		go func() {
			for range time.Tick(50 * time.Millisecond) {
				status, _, _ := get(context.Background(), once, urls[i]+"/healthz", 200*time.Millisecond)
				b.note(names[i], status == 200)
			}
		}()
	}
	return http.ListenAndServe(f.api, b)
}

type standInBook struct {
	file      string
	bucket    string // file that the bucket's state is in
	names     []string
	mu        sync.Mutex
	up        map[string]bool
	incidents []apiv1.Incident // newest first
}

func (b *standInBook) note(site string, up bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.incidents, func(in apiv1.Incident) bool { return in.Site == site && in.Closed.IsZero() })
	switch {
	case up && i >= 0:
		b.incidents[i].Closed = time.Now().UTC()
	case !up && i < 0 && b.up[site]:
		b.incidents = append([]apiv1.Incident{{ID: fmt.Sprint("i", len(b.incidents)), Site: site, Opened: time.Now().UTC(),
			Causes: []apiv1.Cause{{Kind: "site_down", Text: "it does not answer", Certainty: "observed"}}}}, b.incidents...)
	}
	b.up[site] = up
	doc, _ := json.Marshal(b.incidents)
	if os.WriteFile(b.file+".new", doc, 0o644) == nil { // kill -9 must not find it half written
		_ = os.Rename(b.file+".new", b.file)
	}
}

func (b *standInBook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	svc := apiv1.Service{ID: service}
	for _, n := range b.names {
		state := "down"
		if b.up[n] {
			state = "up"
		}
		svc.Origins = append(svc.Origins, apiv1.Origin{Site: n, State: state})
	}
	var stored apiv1.Bucket
	if doc, err := os.ReadFile(b.bucket); err == nil {
		_ = json.Unmarshal(doc, &stored)
	}
	var doc any = apiv1.Status{Version: "stand-in", At: time.Now().UTC(), Services: []apiv1.Service{svc}, Buckets: []apiv1.Bucket{stored}}
	switch r.URL.Path {
	case "/api/v1/services/shop":
		doc = svc
	case "/api/v1/incidents":
		doc = apiv1.IncidentList{Incidents: b.incidents}
	}
	_ = json.NewEncoder(w).Encode(doc)
}
