// Package peer starts other people's S3 servers for tests, each in a process
// of its own on a free loopback port, over a temporary folder.
//
// A program is looked for in the folder that SPARE_PEER_BIN names (default:
// bin/peers at the module's root) and then in PATH. A test whose server is
// absent is skipped, and says so; with SPARE_PEERS=required it fails instead
// where the server is one that every machine is to have.
//
//	srv := peer.Versity(t, peer.Options{})
//	drv := srv.Open(t, "orders") // makes the bucket
//	srv.Kill()
//	srv.Start()
package peer

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/errs"
)

// The keys of every server's only account.
const (
	AccessKey = "peeraccess"
	SecretKey = "peersecret12345"
)

// patience bounds every wait for a server.
const patience = 20 * time.Second

// Options say how a server is set up.
type Options struct {
	Versions bool // it can keep versions; a bucket does once that is switched on
}

// Server is a server in its own process. Its methods are for the test's
// goroutine.
type Server struct {
	Name     string
	Endpoint string
	Folder   string // where it keeps its objects; they outlive Kill

	t    testing.TB
	path string
	args []string
	env  []string
	log  string
	pid  int
	done chan struct{}
}

// Versity starts versitygw over a folder. Every machine that tests is to have
// it: make test-deps.
func Versity(t testing.TB, o Options) *Server {
	s := at(t, "versitygw", true)
	data := filepath.Join(s.Folder, "data")
	s.args = []string{"--quiet", "--keep-alive", "--access", AccessKey, "--secret", SecretKey, "--port", s.address(), "posix", "--disableotmp"}
	folders := []string{data}
	if o.Versions {
		kept := filepath.Join(s.Folder, "versions")
		s.args = append(s.args, "--versioning-dir", kept)
		folders = append(folders, kept)
	}
	s.args = append(s.args, data)
	s.make(folders...)
	s.Start()
	return s
}

// MinIO starts minio over a folder. It is a heavy program: nightly has it.
func MinIO(t testing.TB) *Server {
	s := at(t, "minio", false)
	s.env = []string{"MINIO_ROOT_USER=" + AccessKey, "MINIO_ROOT_PASSWORD=" + SecretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off"}
	data := filepath.Join(s.Folder, "data")
	s.args = []string{"server", "--quiet", "--address", s.address(), data}
	s.make(data)
	s.Start()
	return s
}

// Rclone starts rclone serve s3 over a folder. Nightly has it.
func Rclone(t testing.TB) *Server {
	s := at(t, "rclone", false)
	if help, err := exec.Command(s.path, "serve", "s3", "--help").CombinedOutput(); err != nil || !strings.Contains(string(help), "--auth-key") {
		t.Skipf("%s is too old to serve S3: this test needs rclone 1.65 or later as a peer", s.path)
	}
	data := filepath.Join(s.Folder, "data")
	s.args = []string{"serve", "s3", "--auth-key", AccessKey + "," + SecretKey, "--addr", s.address(), "--config", filepath.Join(s.Folder, "none.conf"), data}
	s.make(data)
	s.Start()
	return s
}

// Open makes the bucket and gives a driver of it, which the test closes with
// itself.
func (s *Server) Open(t testing.TB, bucket string) *s3blob.Driver {
	t.Helper()
	d, err := s3blob.Open(s.Options(bucket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		err := d.Make(ctx)
		if err == nil {
			return d
		}
		if !errs.Is(err, errs.Unavailable) || ctx.Err() != nil {
			t.Fatalf("make bucket %s at %s: %v\n%s", bucket, s.Name, err, s.Log())
		}
		time.Sleep(20 * time.Millisecond) // some listen before they are ready
	}
}

// Options reach a bucket of the server.
func (s *Server) Options(bucket string) s3blob.Options {
	return s3blob.Options{Bucket: bucket, Endpoint: s.Endpoint, AccessKey: AccessKey, SecretKey: SecretKey}
}

// at prepares a server that is not started yet.
func at(t testing.TB, program string, required bool) *Server {
	t.Helper()
	path := find(program)
	if path == "" {
		const advice = "%s is not in %s and not in PATH: this test needs it as a peer (make test-deps, or make nightly-deps)"
		if required && os.Getenv("SPARE_PEERS") == "required" {
			t.Fatalf(advice, program, folder())
		}
		t.Skipf(advice, program, folder())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return &Server{Name: program, Endpoint: "http://" + address, Folder: dir, t: t, path: path, log: filepath.Join(dir, "log")}
}

// folder is where make test-deps puts programs.
func folder() string {
	if dir := os.Getenv("SPARE_PEER_BIN"); dir != "" {
		return dir
	}
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "..", "..", "bin", "peers")
}

func find(program string) string {
	path := filepath.Join(folder(), program)
	if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
		return path
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return ""
	}
	return path
}

func (s *Server) address() string { return strings.TrimPrefix(s.Endpoint, "http://") }

func (s *Server) make(folders ...string) {
	for _, dir := range folders {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
}

// starter starts all programs on one thread: the kernel ties a parent's death
// to the thread that started the child.
var starter = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

// Start runs the server, again after [Server.Kill], and waits until it listens.
func (s *Server) Start() {
	s.t.Helper()
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(s.path, s.args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Dir = s.Folder
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starter() <- func() { started <- cmd.Start() }
	err = <-started
	_ = out.Close() // the child has its own
	if err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	s.pid, s.done = cmd.Process.Pid, done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	s.t.Cleanup(s.Kill)
	s.listens()
}

func (s *Server) listens() {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-s.done:
			s.t.Fatalf("%s has ended:\n%s", s.Name, s.Log())
		default:
		}
		if c, err := net.Dial("tcp", s.address()); err == nil {
			_ = c.Close()
			return
		}
	}
	s.t.Fatalf("%s does not listen after %v:\n%s", s.Name, patience, s.Log())
}

// Kill is kill -9. It returns when the process is gone.
func (s *Server) Kill() {
	if s.running() {
		_ = syscall.Kill(-s.pid, syscall.SIGKILL)
		<-s.done
	}
}

// Freeze stops the process where it is; Thaw lets it go on.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if !s.running() {
		s.t.Fatalf("send %v to %s: it does not run", sig, s.Name)
	}
	if err := syscall.Kill(-s.pid, sig); err != nil {
		s.t.Fatalf("send %v to %s: %v", sig, s.Name, err)
	}
}

func (s *Server) running() bool {
	if s.done == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Log gives the end of what the server wrote.
func (s *Server) Log() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return fmt.Sprintf("(no log: %v)", err)
	}
	return string(b[max(0, len(b)-4<<10):])
}
