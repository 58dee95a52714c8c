package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

// adopter takes the listeners of data processes whose supervisor has died, and
// tells these to drain once there is another to serve.
type adopter struct {
	ln    *net.UnixListener
	log   *slog.Logger
	grace time.Duration   // for an orphan to drain
	force <-chan struct{} // no more patience
	ready <-chan struct{} // our own data process serves

	mu      sync.Mutex
	pool    []*socket     // offered, and not taken
	orphans int           // connected
	settled bool          // all sockets that we need are ours
	news    chan struct{} // has a token after an offer
}

// run serves orphans until ctx ends, and then until they are gone.
func (a *adopter) run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	stop := context.AfterFunc(ctx, func() { _ = a.ln.Close() })
	defer stop()
	for {
		conn, err := a.ln.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close() // it will find nobody, or somebody else
			}
			return nil
		case err != nil:
			a.log.Warn("cannot accept a data process without supervisor", "err", err)
			_ = run.Sleep(ctx, time.Second)
		default:
			all.Go(func() { a.serve(ctx, conn) })
		}
	}
}

// serve goes with one orphan to its end.
func (a *adopter) serve(ctx context.Context, conn *net.UnixConn) {
	defer func() { _ = conn.Close() }()
	o, sockets, err := receiveOffer(conn)
	if err != nil {
		a.log.Warn("offer of listeners not understood", "err", err)
		return
	}
	pid := peerPID(conn)
	a.log.Info("data process without supervisor found", "pid", pid, "incarnation", o.Incarnation, "addresses", o.Addrs)
	a.add(sockets)
	defer a.leave()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_ = conn.SetReadDeadline(time.Time{})
		_, _ = conn.Read(make([]byte, 1)) // an orphan says no more: this is its end
	}()
	select {
	case <-gone:
		return
	case <-a.ready:
	case <-ctx.Done():
		if !a.isSettled() {
			return // we do not start: the orphan goes on, and waits for another
		}
	}
	a.drain(conn, pid, gone)
}

func (a *adopter) drain(conn *net.UnixConn, pid int, gone <-chan struct{}) {
	doc, err := json.Marshal(answer{Drain: true})
	if err == nil {
		err = conn.SetWriteDeadline(time.Now().Add(offerWait))
	}
	if err == nil {
		_, err = conn.Write(doc)
	}
	if err != nil {
		a.log.Warn("data process without supervisor not told to drain", "pid", pid, "err", err)
	}
	t := time.NewTimer(a.grace)
	defer t.Stop()
	select {
	case <-gone:
		a.log.Info("data process without supervisor has drained", "pid", pid)
		return
	case <-t.C:
	case <-a.force:
	}
	// Its end of the connection is open, so the number is still its own.
	a.log.Warn("data process without supervisor killed, as it did not drain", "pid", pid)
	if pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
		<-gone
	}
}

// peerPID is the process at the other end, by the kernel's word; 0 if unknown.
func peerPID(conn *net.UnixConn) int {
	rc, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = rc.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// add puts offered sockets where gather finds them.
func (a *adopter) add(sockets []*socket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.orphans++
	if a.settled {
		closeSockets(sockets)
		return
	}
	a.pool = append(a.pool, sockets...)
	select {
	case a.news <- struct{}{}:
	default:
	}
}

func (a *adopter) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.orphans--
}

func (a *adopter) isSettled() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.settled
}

// take gives the offered socket that covers addr, or nil.
func (a *adopter) take(addr string) *socket {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.pool, func(s *socket) bool { return s.covers(addr) })
	if i < 0 {
		return nil
	}
	s := a.pool[i]
	a.pool = slices.Delete(a.pool, i, i+1)
	s.addr = addr
	return s
}

// settle ends the taking. It says whether an orphan serves at the moment.
func (a *adopter) settle(took bool) (serving bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	closeSockets(a.pool)
	a.pool = nil
	a.settled = took
	return a.orphans > 0
}

// gather gives a socket for each address: bound anew, or adopted where the
// address is in use. An address that is neither offered nor released within
// wait is a Conflict.
func (a *adopter) gather(ctx context.Context, addrs []string, wait time.Duration) ([]*socket, error) {
	deadline := time.Now().Add(wait)
	var out []*socket
	for _, addr := range addrs {
		s, err := a.obtain(ctx, addr, deadline)
		if err != nil {
			closeSockets(out)
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (a *adopter) obtain(ctx context.Context, addr string, deadline time.Time) (*socket, error) {
	for said := false; ; said = true {
		if s := a.take(addr); s != nil {
			a.log.Info("listener adopted", "address", addr)
			return s, nil
		}
		s, err := bind(addr)
		switch {
		case err == nil:
			return s, nil
		case !errors.Is(err, syscall.EADDRINUSE):
			return nil, errs.Wrap(errs.Unavailable, err, "listen on %s", addr)
		case time.Now().After(deadline):
			err = errs.Wrap(errs.Conflict, err, "listen on %s", addr)
			return nil, errs.WithHint(err, "another program has this address: stop it, or change listen in the file")
		}
		if !said {
			a.log.Info("address is in use, waiting for whoever holds it", "address", addr)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-a.news:
		case <-time.After(2 * offerPause):
		}
	}
}

func closeSockets(sockets []*socket) {
	for _, s := range sockets {
		_ = s.close()
	}
}
