package objects_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/blob/s3blob/peer"
)

const (
	accessKey = "app"
	secretKey = "app-secret-12345"
)

var sites = []string{"virginia", "belgium", "paris"}

// gateway is one `spare run` in front of the providers.
type gateway struct {
	t    *testing.T
	dir  string
	s3   string
	api  string
	env  []string
	cmd  *exec.Cmd
	done chan struct{}
}

// newGateway writes the estate of a gateway, whose providers are given by their
// endpoints, and starts it. The last witnesses of them hold heads only.
func newGateway(t *testing.T, providers []*peer.Server, witnesses int, change ...string) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir(), s3: free(t), api: free(t)}
	g.env = append(os.Environ(), "APP_SECRET="+secretKey, "PEER_SECRET="+peer.SecretKey)
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\ndata: %s\nlisten: {http: %q, s3: %q, api: %q}\n", filepath.Join(g.dir, "state"), free(t), g.s3, g.api)
	fmt.Fprintf(&b, "credentials:\n  - {access_key: %s, secret_key: \"${env:APP_SECRET}\", rights: write}\nsites:\n", accessKey)
	for _, s := range sites {
		fmt.Fprintf(&b, "  %s: {provider: %s, region: one}\n", s, s)
	}
	b.WriteString("buckets:\n  media:\n    replicas:\n")
	for i, p := range providers {
		role := ""
		if i >= len(providers)-witnesses {
			role = ", witness: true"
		}
		fmt.Fprintf(&b, "      %s: {s3: {bucket: media, endpoint: %q, access_key: %s, secret_key: \"${env:PEER_SECRET}\"}%s}\n", sites[i], p.Endpoint, peer.AccessKey, role)
	}
	for _, line := range change {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	if err := os.WriteFile(g.file(), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	g.start()
	t.Cleanup(g.kill)
	return g
}

func (g *gateway) file() string { return filepath.Join(g.dir, "spare.yaml") }

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// start runs the gateway; it need not be ready when start returns.
func (g *gateway) start() {
	g.t.Helper()
	log, err := os.OpenFile(filepath.Join(g.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	g.cmd = exec.Command(binary, "run", "-c", g.file(), "--log-level", "debug")
	g.cmd.Env, g.cmd.Stdout, g.cmd.Stderr = g.env, log, log
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.done = make(chan struct{})
	go func() { _ = g.cmd.Wait(); close(g.done) }()
}

// kill is kill -9 of the supervisor and of both its processes at once.
func (g *gateway) kill() {
	for _, pid := range append(children(g.cmd.Process.Pid), g.cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-g.done
}

func children(parent int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, s := range stats {
		data, err := os.ReadFile(s)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(data), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(s)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// client gives an S3 client of the gateway. It repeats nothing.
func (g *gateway) client() *blob.Bucket {
	g.t.Helper()
	d, err := s3blob.Open(s3blob.Options{Bucket: "media", Endpoint: "http://" + g.s3, AccessKey: accessKey, SecretKey: secretKey})
	if err != nil {
		g.t.Fatal(err)
	}
	b := blob.New("spare", d)
	g.t.Cleanup(func() { _ = b.Close() })
	return b
}

// spare runs a command with the gateway's file, and gives what it wrote.
func (g *gateway) spare(args ...string) (string, error) {
	cmd := exec.Command(binary, append(args, "-c", g.file())...)
	cmd.Env = g.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// status gives how the bucket stands; ok is false when nobody says.
func (g *gateway) status() (b apiv1.Bucket, ok bool) {
	cmd := exec.Command(binary, "bucket", "status", "media", "--json", "-c", g.file())
	cmd.Env = g.env
	out, err := cmd.Output()
	var doc struct{ Buckets []apiv1.Bucket }
	if err != nil || json.Unmarshal(out, &doc) != nil || len(doc.Buckets) != 1 {
		return b, false
	}
	return doc.Buckets[0], true
}

// awaitOpen waits until the bucket reads and takes writes.
func (g *gateway) awaitOpen() {
	g.t.Helper()
	waitFor(g.t, "the bucket to be open", func() bool {
		b, ok := g.status()
		return ok && (b.State == apiv1.BucketUp || b.State == apiv1.BucketDegraded)
	})
}

// empty removes what a folder holds.
func empty(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}
