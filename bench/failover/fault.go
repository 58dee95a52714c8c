package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The faults, by the name that the command line and the tables use.
const (
	faultKill    = "kill -9"
	faultStop    = "SIGSTOP"
	faultRefuse  = "refuse"
	faultHole    = "black hole"
	fault500     = "500s"
	fault500Half = "500s, half"
	faultSlow    = "slow body"
	faultMidBody = "death in mid-body"
)

// row is a fault under one kind of requests: a table of the report.
type row struct {
	fault  string
	method string
	path   string
	rate   int // requests a second
	before time.Duration
	after  time.Duration
}

// rows is the whole matrix. Faults that a proxy forgets about and meets again
// (fail_timeout) need the full 15 s; the others show all they have in fewer.
func rows() []row {
	var all []row
	for _, method := range []string{"GET", "POST"} {
		for _, fault := range []string{faultKill, faultStop, faultRefuse, faultHole} {
			all = append(all, row{fault, method, "/", 1000, 5 * time.Second, 15 * time.Second})
		}
		for _, fault := range []string{fault500, fault500Half, faultSlow} {
			all = append(all, row{fault, method, "/", 1000, 4 * time.Second, 8 * time.Second})
		}
		// 125 a second with 200 ms each keep 27 bodies under way.
		all = append(all, row{faultMidBody, method, "/large", 125, 4 * time.Second, 8 * time.Second})
	}
	return all
}

func (r row) String() string { return r.fault + ", " + r.method }

// server is an origin process as the benchmark holds it.
type server struct {
	addr   string
	ledger string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
}

// startServer runs this program again, as an origin.
func startServer(dir, name, addr string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{addr: addr, ledger: filepath.Join(dir, name+".ledger")}
	s.cmd = exec.Command(self, "origin", "-listen", addr, "-name", name, "-ledger", s.ledger)
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := s.out.ReadString('\n'); err != nil {
		s.stop()
		return nil, fmt.Errorf("origin %s did not start: %w", name, err)
	}
	return s, nil
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL)
	_ = s.cmd.Wait()
}

// strike puts the fault in force and reports how it can be seen to be. What
// lift does ends it as far as requests that still lie in a queue may then
// arrive: they belong to the count of duplicates.
func (s *server) strike(ctx context.Context, fault string) (lift func(), err error) {
	none := func() {}
	switch fault {
	case faultKill, faultMidBody:
		if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			return none, err
		}
		return none, nil
	case faultStop:
		if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			return none, err
		}
		return func() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }, nil
	case faultHole:
		host, _, _ := net.SplitHostPort(s.addr)
		if err := filter(ctx, "-A", host); err != nil {
			return none, err
		}
		return func() { _ = filter(context.WithoutCancel(ctx), "-D", host) }, nil
	}
	if _, err := fmt.Fprintln(s.in, fault); err != nil {
		return none, err
	}
	_, err = s.out.ReadString('\n')
	return none, err
}

// filter drops, or no longer drops, every packet from and to the address. It
// is done where packets arrive, so that senders notice nothing.
func filter(ctx context.Context, what, host string) error {
	for _, side := range []string{"-d", "-s"} {
		out, err := exec.CommandContext(ctx, "iptables", "-w", what, "INPUT", side, host, "-j", "DROP").CombinedOutput()
		if err != nil {
			return fmt.Errorf("iptables %s: %w: %s", what, err, out)
		}
	}
	return nil
}

// errUnproved says that a cell measured no fault at all.
var errUnproved = errors.New("the fault did not happen")

// prove looks at the origin from outside: a benchmark without its fault would
// flatter everybody.
func (s *server) prove(fault string) error {
	saw := s.look()
	want := map[string]string{faultKill: "refused", faultMidBody: "refused", faultRefuse: "refused", faultStop: "silent", faultHole: "no connection", fault500: "500", fault500Half: "200 500", faultSlow: "slow"}[fault]
	for _, w := range strings.Fields(want) {
		if strings.Contains(saw, w) || want == saw {
			return nil
		}
	}
	return fmt.Errorf("%w: %s, but the origin is seen as %q", errUnproved, fault, saw)
}

// look sends one check to the origin.
func (s *server) look() string {
	const patience = 200 * time.Millisecond
	c, err := net.DialTimeout("tcp", s.addr, patience)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case err != nil:
		return "no connection"
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got, err := io.ReadAll(c)
	switch {
	case len(got) == 0:
		return "silent"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "slow"
	}
	return strings.Fields(string(got))[1]
}
