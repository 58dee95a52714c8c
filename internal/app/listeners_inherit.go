package app

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/sparecloud/spare/internal/errs"
)

// inheritVariable holds a manifest in a child's environment.
const inheritVariable = "SPARE_INHERIT"

// manifest names the descriptors that a child inherits.
type manifest struct {
	Lifeline int              `json:"lifeline"`
	Ready    int              `json:"ready"`
	Standby  bool             `json:"standby,omitempty"`
	Sockets  []manifestSocket `json:"sockets,omitempty"`
}

type manifestSocket struct {
	Addr string `json:"addr"`
	FD   int    `json:"fd"`
}

// Listener is an inherited listener under the address that the configuration
// names.
type Listener struct {
	net.Listener
	Address string
}

// Inherited is what a supervised process was given by its supervisor.
type Inherited struct {
	Listeners []Listener
	// Standby says that another process serves the listeners at present: take
	// the time to become ready before accepting anything.
	Standby bool
	// SupervisorGone is closed when the supervisor has died.
	SupervisorGone <-chan struct{}

	once  sync.Once
	ready *os.File
}

// Inherit takes over the descriptors that the supervisor passed. A child calls
// it once, first of all.
//
// It also makes the process deaf to what is meant for the supervisor: SIGINT
// and SIGHUP from a terminal, SIGUSR2 to all processes of that name; and to
// SIGPIPE, since whoever reads the log may die with the supervisor. A signal
// that the child wants it asks for afterwards, with signal.Notify.
//
// Invalid: the process was not started by a supervisor.
func Inherit() (*Inherited, error) {
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGPIPE)
	text, ok := os.LookupEnv(inheritVariable)
	if !ok {
		err := errs.E(errs.Invalid, "this process was not started by a supervisor")
		return nil, errs.WithHint(err, "start it with: spare run")
	}
	// What this process starts must not take itself for a child of ours.
	if err := os.Unsetenv(inheritVariable); err != nil {
		return nil, err
	}
	var m manifest
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "read %s", inheritVariable)
	}
	return m.open()
}

func (m manifest) open() (*Inherited, error) {
	i := &Inherited{Standby: m.Standby}
	for _, s := range m.Sockets {
		f, err := inheritedFile(s.FD, s.Addr)
		if err != nil {
			return nil, err
		}
		ln, err := net.FileListener(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, errs.Wrap(errs.Invalid, err, "inherit the listener at %s", s.Addr)
		}
		i.Listeners = append(i.Listeners, Listener{Listener: ln, Address: s.Addr})
	}
	ready, err := inheritedFile(m.Ready, "ready")
	if err != nil {
		return nil, err
	}
	i.ready = ready
	lifeline, err := inheritedFile(m.Lifeline, "lifeline")
	if err != nil {
		return nil, err
	}
	gone := make(chan struct{})
	i.SupervisorGone = gone
	go func() { // for as long as the process lives
		_, _ = io.Copy(io.Discard, lifeline)
		close(gone)
	}()
	return i, nil
}

// inheritedFile wraps a descriptor, and keeps it from this process's children.
func inheritedFile(fd int, name string) (*os.File, error) {
	if fd < 3 {
		return nil, errs.E(errs.Invalid, "%s names descriptor %d as %s", inheritVariable, fd, name)
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(fd, &st); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "inherit descriptor %d (%s)", fd, name)
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name), nil
}

// Ready tells the supervisor that this process does its work. Only the first
// call counts.
func (i *Inherited) Ready() error {
	var err error
	i.once.Do(func() {
		_, err = i.ready.Write([]byte{1})
		err = errors.Join(err, i.ready.Close())
		if errors.Is(err, syscall.EPIPE) {
			err = nil // the supervisor has died; its lifeline says so
		}
	})
	return err
}
