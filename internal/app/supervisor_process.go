package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// process is one child.
type process struct {
	pid     int
	started time.Time
	ready   chan struct{} // closed when it said that it is ready
	exited  chan struct{} // closed when it has ended; err is set then
	err     error

	cmd *exec.Cmd
}

// spawn starts a child on the sockets. The child must not have them from cmd
// already.
func spawn(cmd *exec.Cmd, stderr, lifeline *os.File, sockets []*socket, standby bool) (*process, error) {
	readyRead, readyWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// The child has its own copies, or there is no child.
	passed := []*os.File{readyWrite}
	defer func() {
		for _, f := range passed {
			_ = f.Close()
		}
	}()
	m := manifest{Standby: standby, Lifeline: inherit(cmd, lifeline), Ready: inherit(cmd, readyWrite)}
	for _, s := range sockets {
		f, err := s.file()
		if err != nil {
			_ = readyRead.Close()
			return nil, err
		}
		passed = append(passed, f)
		m.Sockets = append(m.Sockets, manifestSocket{Addr: s.addr, FD: inherit(cmd, f)})
	}
	if err := start(cmd, stderr, m); err != nil {
		_ = readyRead.Close()
		return nil, errs.Wrap(errs.Unavailable, err, "start %s", cmd.Path)
	}
	p := &process{
		pid: cmd.Process.Pid, started: time.Now(), cmd: cmd,
		ready: make(chan struct{}), exited: make(chan struct{}),
	}
	go p.awaitReady(readyRead)
	go p.awaitExit()
	return p, nil
}

// inherit adds f to what the child gets, and gives its number there.
func inherit(cmd *exec.Cmd, f *os.File) int {
	cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	return 2 + len(cmd.ExtraFiles)
}

func start(cmd *exec.Cmd, stderr *os.File, m manifest) error {
	doc, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, inheritVariable+"="+string(doc))
	// A file, and not a copying goroutine: the child's log must not end with
	// the supervisor.
	if cmd.Stderr == nil && stderr != nil {
		cmd.Stderr = stderr
	}
	if cmd.Stdout == nil && stderr != nil {
		cmd.Stdout = stderr
	}
	return cmd.Start()
}

func (p *process) awaitReady(pipe *os.File) {
	defer func() { _ = pipe.Close() }()
	if n, _ := pipe.Read(make([]byte, 1)); n == 1 {
		close(p.ready)
	}
}

func (p *process) awaitExit() {
	p.err = p.cmd.Wait()
	close(p.exited)
}

// signal is lost on a process that has ended, as it should be.
func (p *process) signal(sig os.Signal) { _ = p.cmd.Process.Signal(sig) }

// stop asks the process to end, kills it after grace, or when force is closed,
// and returns when it has ended. It says whether that took a kill.
func (p *process) stop(grace time.Duration, force <-chan struct{}) (killed bool) {
	p.signal(syscall.SIGTERM)
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.exited:
		return false
	case <-t.C:
	case <-force:
	}
	p.kill()
	return true
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// awaitFirst waits until the process is ready. Unavailable: it has ended, or is
// not ready in time.
func (p *process) awaitFirst(timeout time.Duration, stop <-chan struct{}) error {
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-p.ready:
		return nil
	case <-p.exited:
		return errs.E(errs.Unavailable, "process %d ended before it was ready: %s", p.pid, p.outcome())
	case <-t.C:
		return errs.E(errs.Unavailable, "process %d is not ready after %s", p.pid, timeout)
	case <-stop:
		return errs.E(errs.Unavailable, "the supervisor is stopping")
	}
}

// outcome says how a process ended.
func (p *process) outcome() string {
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return "exit status 0"
	case errors.As(p.err, &exit):
		return exit.String()
	default:
		return fmt.Sprint(p.err)
	}
}
