package robustness_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program in a process group of its own.
type process struct {
	t    *testing.T
	name string
	pid  int // of the first process, and of the group
	log  string
	done chan struct{} // closed when the first process has ended
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

// launch starts a program. Its group is gone when the test ends.
func launch(t *testing.T, log string, env []string, name string, args ...string) *process {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("SPARE_PEERS") == "required" {
			t.Fatalf("%s is not on this machine, and every peer is required", name)
		}
		t.Skipf("%s is not on this machine: this test needs it as a peer", name)
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starter() <- func() { started <- cmd.Start() }
	err = <-started
	_ = out.Close()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, name: filepath.Base(name), pid: cmd.Process.Pid, log: log, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.sweep)
	return p
}

// signal sends sig to the whole group.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	if err := syscall.Kill(-p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.t.Fatalf("signal %v to the group of %s: %v", sig, p.name, err)
	}
}

// kill is kill -9 of the whole group, and waits until it is gone.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.waitGone()
	<-p.done // a process of many threads holds its sockets until the last of them is gone
}

func (p *process) waitGone() {
	p.t.Helper()
	waitFor(p.t, p.name+" to be gone", func() bool { return len(p.members()) == 0 })
}

// sweep leaves nothing behind.
func (p *process) sweep() {
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if len(p.members()) == 0 {
			return
		}
	}
	p.t.Errorf("processes of %s are left over: %v", p.name, p.members())
}

// proc is what the kernel says of one process.
type proc struct {
	pid, parent, group int
	state              byte
	command            []string
}

func (p *process) members() []proc {
	var list []proc
	for _, one := range processes() {
		if one.group == p.pid {
			list = append(list, one)
		}
	}
	return list
}

// processes lists all that run; a zombie does not.
func processes() []proc {
	var list []proc
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := readProc(pid); ok && p.state != 'Z' && p.state != 'X' {
			list = append(list, p)
		}
	}
	return list
}

func readProc(pid int) (proc, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	end := bytes.LastIndexByte(stat, ')')
	if err != nil || end < 0 {
		return proc{}, false
	}
	p := proc{pid: pid}
	if _, err := fmt.Sscanf(string(stat[end+1:]), " %c %d %d", &p.state, &p.parent, &p.group); err != nil {
		return proc{}, false
	}
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	for arg := range bytes.SplitSeq(bytes.TrimRight(line, "\x00"), []byte{0}) {
		p.command = append(p.command, string(arg))
	}
	return p, true
}

func alive(pid int) bool {
	p, ok := readProc(pid)
	return ok && p.state != 'Z' && p.state != 'X'
}

// rss gives a process's resident memory in MiB.
func rss(pid int) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(string(fields[1]), 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// freeAddress gives a loopback address that nobody listens on. It lies below
// the ports that outgoing connections use: while an origin is dead, nobody
// else may come to sit on its port.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		port := 10000 + rand.IntN(20000)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		if _, taken := givenPorts.LoadOrStore(port, true); taken {
			continue
		}
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

var givenPorts sync.Map

// newFolder makes a folder with a short name, as sockets live in it.
func newFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
		}
	})
	return dir
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
