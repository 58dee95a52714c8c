package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/durable"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/link"
	"github.com/sparecloud/spare/internal/run"
)

// The roles of the supervisor's children.
const (
	RoleData    = "data"
	RoleControl = "control"
)

// SuperviseOptions say what [Supervise] runs. DataDir, Listen and Log are
// required, and ConfigPath where Command is nil.
type SuperviseOptions struct {
	ConfigPath string
	DataDir    string   // state folder; created if need be
	Listen     []string // addresses of the data process, "host:port"
	// Command makes the command of a child; descriptors and environment are
	// added to it. nil runs `process ROLE -c ConfigPath` of this program's
	// binary as it is on disk at that time.
	Command func(role string) *exec.Cmd
	Log     *slog.Logger
	Stderr  *os.File // for the children's logs; nil discards them

	ReadyTimeout   time.Duration // for a new data process on SIGUSR2; 0 = 10 s
	DrainTimeout   time.Duration // for an old data process to end; 0 = 35 s
	ControlTimeout time.Duration // for control to end; 0 = 10 s
	AdoptTimeout   time.Duration // for an address in use to be offered or released; 0 = 12 s
}

func (o SuperviseOptions) withDefaults() (SuperviseOptions, error) {
	for d, v := range map[*time.Duration]time.Duration{
		&o.ReadyTimeout: 10 * time.Second, &o.DrainTimeout: 35 * time.Second,
		&o.ControlTimeout: 10 * time.Second, &o.AdoptTimeout: 12 * time.Second,
	} {
		if *d == 0 {
			*d = v
		}
	}
	if o.Command == nil {
		path, err := binaryPath()
		if err != nil {
			return o, err
		}
		o.Command = func(role string) *exec.Cmd {
			return exec.Command(path, "process", role, "-c", o.ConfigPath)
		}
	}
	return o, nil
}

// Supervise runs the data and the control process until ctx ends or SIGTERM or
// SIGINT comes; then data drains, then control ends, then Supervise returns
// nil. A second such signal kills both at once. SIGHUP goes to control.
// SIGUSR2 replaces both by what is on disk, see the package comment.
//
// Conflict: another supervisor has the folder, or another program a listening
// address.
func Supervise(ctx context.Context, o SuperviseOptions) (err error) {
	o, err = o.withDefaults()
	if err != nil {
		return err
	}
	// From the first moment on, a signal means what it says here.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return errs.Wrap(errs.Unavailable, err, "make the state folder")
	}
	lock, err := durable.Lock(filepath.Join(o.DataDir, "supervisor.lock"))
	if err != nil {
		return errs.WithHint(errs.Wrap(errs.KindOf(err), err, "take the state folder"),
			"one spare run at a time can use a state folder")
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	s := &supervisor{opt: o, force: make(chan struct{}), upgrades: make(chan struct{}, 1)}
	return s.run(ctx, signals)
}

type supervisor struct {
	opt      SuperviseOptions
	lifeline *os.File // read end, for the children
	sockets  []*socket
	data     *keeper
	control  *keeper
	force    chan struct{} // closed when patience is over
	upgrades chan struct{} // has a token when one is wanted
}

func (s *supervisor) run(ctx context.Context, signals <-chan os.Signal) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	// The write end is the lifeline: it closes when this process ends.
	defer func() { _, _ = read.Close(), write.Close() }()
	s.lifeline = read
	s.control = (&keeper{
		role: RoleControl, log: s.opt.Log, grace: s.opt.ControlTimeout, force: s.force,
		spawn: func(standby bool) (*process, error) { return s.spawn(RoleControl, nil, standby) },
	}).init()
	s.data = (&keeper{
		role: RoleData, log: s.opt.Log, grace: s.opt.DrainTimeout, force: s.force,
		overlap: true, ready: s.opt.ReadyTimeout,
		spawn: func(standby bool) (*process, error) { return s.spawn(RoleData, s.sockets, standby) },
	}).init()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	defer close(ended)
	go s.obey(signals, stop, ended)
	ln, err := link.ListenUnix("unixpacket", adoptPath(s.opt.DataDir))
	if err != nil {
		return err
	}
	g := run.New(ctx)
	a := &adopter{
		ln: ln, log: s.opt.Log, grace: s.opt.DrainTimeout, force: s.force,
		ready: s.data.first, news: make(chan struct{}, 1),
	}
	g.Go("adoption", a.run)
	if err := s.start(ctx, g, a); err != nil {
		stopped := ctx.Err() != nil
		stop()
		if werr := g.Wait(); stopped {
			return werr
		}
		return err
	}
	return g.Wait()
}

// start gets the sockets and starts the children on them.
func (s *supervisor) start(ctx context.Context, g *run.Group, a *adopter) error {
	sockets, err := a.gather(ctx, s.opt.Listen, s.opt.AdoptTimeout)
	s.data.standby = a.settle(err == nil)
	if err != nil {
		return err
	}
	s.sockets = sockets
	g.Go(RoleControl, s.control.run)
	g.Go(RoleData, s.data.run)
	// Before data drains: what comes then is refused, and does not wait in a
	// queue that nobody serves.
	g.Defer("listeners", func() error {
		closeSockets(sockets)
		return nil
	})
	g.Go("upgrade", s.upgrade)
	s.opt.Log.Info("supervising", "pid", os.Getpid(), "addresses", s.opt.Listen, "folder", s.opt.DataDir)
	return nil
}

func (s *supervisor) spawn(role string, sockets []*socket, standby bool) (*process, error) {
	return spawn(s.opt.Command(role), s.opt.Stderr, s.lifeline, sockets, standby)
}

// obey acts on signals until ended is closed, also while the parts stop.
func (s *supervisor) obey(signals <-chan os.Signal, stop func(), ended <-chan struct{}) {
	stopping := false
	for {
		select {
		case <-ended:
			return
		case sig := <-signals:
			s.opt.Log.Info("signal received", "signal", sig.String())
			switch {
			case sig == syscall.SIGHUP:
				s.control.tell(sig)
			case sig == syscall.SIGUSR2:
				select {
				case s.upgrades <- struct{}{}:
				default: // one is waiting already
				}
			case !stopping:
				stopping = true
				stop()
			default:
				close(s.force)
				return
			}
		}
	}
}

// upgrade replaces data, and then control, on demand.
func (s *supervisor) upgrade(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.upgrades:
		}
		if err := s.data.replace(ctx); err != nil {
			s.opt.Log.Error("data process not replaced, the old one goes on", "err", err)
			continue
		}
		if err := s.control.replace(ctx); err != nil {
			s.opt.Log.Error("control process not replaced", "err", err)
			continue
		}
		s.opt.Log.Info("upgraded")
	}
}
