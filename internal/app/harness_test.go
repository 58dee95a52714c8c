package app_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/durable"
)

// patience bounds every wait of a test; only a broken program reaches it.
const patience = 20 * time.Second

// site is a state folder with the processes that use it.
type site struct {
	t    *testing.T
	dir  string
	addr string
	env  []string
	sup  *exec.Cmd
	done chan error // of sup
}

// newSite makes a folder with a table of epoch 5 on disk, and at the test's end
// sees to it that no process of it is left.
func newSite(t *testing.T, env ...string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "spare-app-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir, addr: freeAddress(t), env: env}
	s.install(os.Args[0])
	doc, err := json.Marshal(testTable(5))
	if err != nil {
		t.Fatal(err)
	}
	if err := durable.Save(s.path("table.json"), doc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.cleanUp)
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// install makes path the binary that children are started from.
func (s *site) install(path string) {
	s.t.Helper()
	path, err := filepath.Abs(path)
	if err == nil {
		err = os.Symlink(path, s.path("next"))
	}
	if err == nil {
		err = os.Rename(s.path("next"), s.path("spare"))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// script installs a shell script as the binary.
func (s *site) script(text string) {
	s.t.Helper()
	p := s.path("script")
	if err := os.WriteFile(p, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.install(p)
}

// freeAddress gives a loopback address outside of the ports that outgoing
// connections use.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// command makes a supervisor that is not started yet.
func (s *site) command() *exec.Cmd {
	cmd := exec.Command(os.Args[0], "supervise", s.dir, s.addr)
	cmd.Env = append(os.Environ(), s.env...)
	return cmd
}

// supervise starts a supervisor and waits until it serves.
func (s *site) supervise() {
	s.t.Helper()
	s.start()
	s.waitFor("the supervisor", func() bool { return s.logged("supervising in=supervisor pid=" + pidText(s)) })
	s.waitFor("an answer", func() bool { return s.get() != nil })
}

// logged says whether the text is in the log of any process.
func (s *site) logged(text string) bool {
	b, _ := os.ReadFile(s.path("log"))
	return bytes.Contains(b, []byte(text+" ")) || bytes.Contains(b, []byte(text+"\n"))
}

func (s *site) start() {
	s.t.Helper()
	log, err := os.OpenFile(s.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := s.command()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	_ = log.Close()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	s.sup, s.done = cmd, done
}

// signal sends sig to the supervisor.
func (s *site) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.sup.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// ended waits for the supervisor's end.
func (s *site) ended() error {
	s.t.Helper()
	select {
	case err := <-s.done:
		s.sup = nil
		return err
	case <-time.After(patience):
		s.t.Fatal("the supervisor does not end")
		return nil
	}
}

// status is what the dummy edge says of itself.
type status struct {
	pid    int
	epoch  uint64
	linked bool
}

// get asks on a new connection; nil is no good answer.
func (s *site) get() *status {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + s.addr)
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	var st status
	if _, err := fmt.Fscan(resp.Body, &st.pid, &st.epoch, &st.linked); err != nil {
		return nil
	}
	return &st
}

// dataPID is the data process that serves at present.
func (s *site) dataPID() int {
	s.t.Helper()
	st := s.get()
	if st == nil {
		s.t.Fatal("no answer")
	}
	return st.pid
}

// controlPID is the control process that was started last.
func (s *site) controlPID() int {
	s.t.Helper()
	s.waitFor("control", func() bool { return len(notes(s.dir, "controls")) > 0 })
	all := notes(s.dir, "controls")
	pid, err := strconv.Atoi(all[len(all)-1])
	if err != nil {
		s.t.Fatal(err)
	}
	return pid
}

func (s *site) waitFor(what string, ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("waited in vain for %s", what)
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !bytes.Contains(stat, []byte(") Z ")) // a zombie has ended
}

// processes gives all live processes that were started for this folder.
func (s *site) processes() []int {
	var out []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if bytes.Contains(line, []byte(s.dir)) && alive(pid) {
			out = append(out, pid)
		}
	}
	return out
}

// cleanUp stops the supervisor, and fails the test if anything survives that.
func (s *site) cleanUp() {
	if s.sup != nil {
		_ = s.sup.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-s.done:
			if err != nil {
				s.t.Errorf("supervisor: %v", err)
			}
		case <-time.After(patience):
			s.t.Error("the supervisor does not stop")
			_ = s.sup.Process.Kill()
		}
	}
	for end := time.Now().Add(patience); len(s.processes()) > 0 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	for _, pid := range s.processes() {
		s.t.Errorf("process %d is left over", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if s.t.Failed() {
		b, _ := os.ReadFile(s.path("log"))
		s.t.Logf("log:\n%s", b)
	}
	_ = os.RemoveAll(s.dir)
}

// load is many clients on kept connections, none of which repeats a request:
// each that gets no answer counts as failed.
type load struct {
	addr   string
	stop   chan struct{}
	all    sync.WaitGroup
	sent   atomic.Int64
	failed atomic.Int64
	mu     sync.Mutex
	errors map[string]int
	pids   map[string]int // answers by data process
}

func (s *site) load(clients int) *load {
	l := &load{addr: s.addr, stop: make(chan struct{}), errors: map[string]int{}, pids: map[string]int{}}
	for range clients {
		l.all.Go(l.client)
	}
	s.waitFor("load", func() bool { return l.sent.Load() > int64(10*clients) })
	return l
}

// end stops the load and gives what failed.
func (l *load) end() (failed int64, why map[string]int) {
	close(l.stop)
	l.all.Wait()
	return l.failed.Load(), l.errors
}

func (l *load) client() {
	var conn net.Conn
	var r *bufio.Reader
	hangUp := func() {
		if conn != nil {
			_ = conn.Close()
			conn = nil
		}
	}
	defer hangUp()
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(time.Duration(rand.IntN(10)) * time.Millisecond):
		}
		l.sent.Add(1)
		if conn == nil {
			c, err := net.DialTimeout("tcp", l.addr, 5*time.Second)
			if err != nil {
				l.fail("dial", err)
				continue
			}
			conn, r = c, bufio.NewReader(c)
		}
		last, err := l.request(conn, r)
		if err != nil {
			l.fail("request", err)
		}
		if last || err != nil {
			hangUp()
		}
	}
}

// request sends one and says whether the connection is to be closed.
func (l *load) request(conn net.Conn, r *bufio.Reader) (last bool, err error) {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return true, err
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
		return true, err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return true, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", resp.Status)
	}
	pid, _, _ := strings.Cut(string(body), " ")
	l.mu.Lock()
	l.pids[pid]++
	l.mu.Unlock()
	return resp.Close, err
}

func (l *load) fail(step string, err error) {
	l.failed.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors[step+": "+err.Error()]++
}

func pidText(s *site) string { return strconv.Itoa(s.sup.Process.Pid) }
