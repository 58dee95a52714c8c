// Package s3clients checks the S3 front end with the programs that people use,
// unmodified: aws, boto3, rclone and restic, each as its manual says. A program
// that is not on the machine skips its test; SPARE_PEERS=required makes that a
// failure.
//
//	go test ./tests/s3clients
package s3clients_test

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/s3api"
)

// patience bounds every program; only a broken one reaches it.
const patience = 2 * time.Minute

const (
	accessKey = "app"
	secretKey = "s3cr3t/with+signs"
)

// world is a server with one bucket, "media", and what programs need to find
// it.
type world struct {
	t     *testing.T
	media *blob.Bucket
	stats *s3api.Stats
	url   string
	home  string
	env   []string
}

func newWorld(t *testing.T, programs ...string) *world {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing(t, p)
		}
	}
	w := &world{t: t, media: blob.New("mem", memblob.Open(memblob.Options{})), home: t.TempDir()}
	srv := s3api.New(s3api.Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	srv.Swap(&s3api.Table{
		Buckets:     map[string]s3api.Store{"media": w.media},
		Credentials: []s3api.Credential{{AccessKey: accessKey, SecretKey: secretKey, Buckets: []string{"media"}, Rights: s3api.Write}},
	})
	w.stats = srv.Stats()
	server := httptest.NewServer(srv)
	t.Cleanup(server.Close)
	w.url = server.URL
	for _, v := range os.Environ() { // what a machine sets for other servers is not for this one
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "AWS_") && !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			w.env = append(w.env, v)
		}
	}
	w.env = append(w.env, "HOME="+w.home, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey, "AWS_DEFAULT_REGION=us-east-1",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE="+filepath.Join(w.home, "aws"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(w.home, "none"), "AWS_ENDPOINT_URL="+w.url)
	return w
}

func missing(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("SPARE_PEERS") == "required" {
		t.Fatalf("%s is not on this machine, and every peer is required", program)
	}
	t.Skipf("%s is not on this machine: this test needs it as a client", program)
}

// run runs a program and gives what it prints.
func (w *world) run(name string, args ...string) string {
	w.t.Helper()
	out, err := w.try(name, args...)
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func (w *world) try(name string, args ...string) (string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = w.env, w.home
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// files writes a tree of files with awkward names and sizes and gives its
// folder.
func (w *world) files(name string) string {
	w.t.Helper()
	dir := filepath.Join(w.home, name)
	rnd := rand.New(rand.NewPCG(7, 7))
	for file, size := range map[string]int{
		"empty": 0, "one": 1, "a b+c&d=e.txt": 100, "é/日本/\U0001F600": 5000, "dir/100%.bin": 70_000, "dir/sub/~x'(1)!*": 300, "large.bin": 20 << 20, "edge.bin": 8 << 20,
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	return dir
}

// tree gives the files of a folder by name.
func tree(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	all := map[string][32]byte{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		all[name] = sha256.Sum256(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// same demands that two folders have the same files.
func same(t *testing.T, want, got string) {
	t.Helper()
	a, b := tree(t, want), tree(t, got)
	for name, sum := range a {
		if b[name] != sum {
			t.Errorf("%q did not come back as it was", name)
		}
	}
	if len(a) != len(b) {
		t.Errorf("%d files came back of %d", len(b), len(a))
	}
}

// keys gives the keys of the bucket.
func (w *world) keys() (keys []string) {
	w.t.Helper()
	page, err := w.media.List(w.t.Context(), blob.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range page.Objects {
		keys = append(keys, o.Key)
	}
	return keys
}

// sound demands that the server answered nothing with 5xx.
func (w *world) sound() {
	w.t.Helper()
	w.stats.Requests(func(operation string, class int, n uint64) {
		if class == 5 && operation != "Other" { // what is not offered is Other
			w.t.Errorf("%d requests of %s were answered with 5xx", n, operation)
		}
	})
}

// fetch gets a URL.
func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b := new(strings.Builder)
	if _, err := io.Copy(b, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b.String()
}
