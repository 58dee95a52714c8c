// Package group starts programs, each in a process group of its own, sends
// signals to a whole group, and says what the kernel knows of it. It is how
// the demo makes clouds that can die.
//
// A [Host] owns all the groups that it started and leaves none behind: Close
// ends them, and should the demo itself be killed, the kernel ends them
// (PR_SET_PDEATHSIG).
//
//	h := group.Open()
//	defer h.Close()
//	g, err := h.Start(group.Spec{Name: "cloud-a", Path: exe, Args: args, Log: "a.log"})
//	err = g.Signal(syscall.SIGKILL)
package group

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// Spec is a program to start.
type Spec struct {
	Name string
	Path string
	Args []string
	Log  string // file that takes stdout and stderr, appended to
	// Death is what the kernel sends when the demo dies; 0 = SIGKILL.
	Death syscall.Signal
}

// Host owns process groups. Its methods may be called from several goroutines.
type Host struct {
	starts chan func()
	mu     sync.Mutex
	groups []*Group
	closed bool
}

// Open makes a Host. The kernel ties a parent's death to the thread that
// started the child, so one thread that lives as long as the Host starts them
// all.
func Open() *Host {
	h := &Host{starts: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range h.starts {
			f()
		}
	}()
	return h
}

// Start runs the program in a new process group.
func (h *Host) Start(s Spec) (*Group, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, errs.E(errs.Unavailable, "start %s: the demo is ending", s.Name)
	}
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "start %s", s.Name)
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	if s.Death == 0 {
		s.Death = syscall.SIGKILL
	}
	cmd := exec.Command(s.Path, s.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: s.Death}
	result := make(chan error)
	h.starts <- func() { result <- cmd.Start() }
	if err := <-result; err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "start %s", s.Name)
	}
	g := &Group{name: s.Name, pid: cmd.Process.Pid, done: make(chan struct{})}
	go g.wait(cmd)
	h.groups = append(h.groups, g)
	return g, nil
}

// Close ends every group: with SIGTERM and a grace of two seconds, then with
// SIGKILL. It returns when all of them are gone.
func (h *Host) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return
	}
	h.closed = true
	var wg sync.WaitGroup
	for _, g := range h.groups {
		wg.Go(func() { g.Stop(2 * time.Second) })
	}
	wg.Wait()
	close(h.starts)
}

// Group is one running program and whatever it started in its group.
type Group struct {
	name   string
	pid    int
	done   chan struct{}
	status syscall.WaitStatus // valid once done is closed
	left   []Process          // members that outlived the first process, likewise
}

func (g *Group) wait(cmd *exec.Cmd) {
	_ = cmd.Wait() // the status says it better
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		g.status = ws
	}
	g.left = g.Members()
	close(g.done)
}

// PID is the process that was started; it is the group's number too.
func (g *Group) PID() int { return g.pid }

// Done is closed when that process has ended and the kernel told us how.
func (g *Group) Done() <-chan struct{} { return g.done }

// Status is how the process ended, as the kernel told its parent. ok is false
// while it runs.
func (g *Group) Status() (status syscall.WaitStatus, ok bool) {
	select {
	case <-g.done:
		return g.status, true
	default:
		return 0, false
	}
}

// Signal sends sig to every process of the group. Once the first process has
// ended the number may name somebody else's group, so that is NotFound.
func (g *Group) Signal(sig syscall.Signal) error {
	if _, over := g.Status(); over {
		return errs.E(errs.NotFound, "send %v to %s: it has ended", sig, g.name)
	}
	return errs.Wrap(errs.Unavailable, syscall.Kill(-g.pid, sig), "send %v to %s", sig, g.name)
}

// Members gives the group's processes that have not ended.
func (g *Group) Members() []Process {
	var out []Process
	for _, p := range all() {
		if p.PGID == g.pid && p.State != 'Z' && p.State != 'X' {
			out = append(out, p)
		}
	}
	return out
}

// Stop ends the group and everything that its processes started, wherever
// that moved to: with SIGTERM, and after grace with SIGKILL. It returns when
// they are gone, or cannot be killed within five seconds.
func (g *Group) Stop(grace time.Duration) {
	var family []Process
	if _, over := g.Status(); over {
		family = g.left
	} else {
		family = append(Children(g.pid), g.Members()...)
		_ = g.Signal(syscall.SIGTERM)
		_ = g.Signal(syscall.SIGCONT) // a frozen process cannot end by itself
		select {
		case <-g.done:
			family = append(family, g.left...)
		case <-time.After(grace):
			family = append(family, append(Children(g.pid), g.Members()...)...)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		left := 0
		for _, p := range family {
			if p.Alive() {
				left++
				_ = syscall.Kill(p.PID, syscall.SIGKILL)
			}
		}
		if left == 0 {
			return
		}
	}
}
