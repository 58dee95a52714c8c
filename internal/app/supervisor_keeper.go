package app

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

const (
	restartMin = 100 * time.Millisecond
	restartMax = 5 * time.Second
	steady     = 10 * time.Second // a child that lived so long is restarted at once
)

// keeper keeps one child of a role running: it restarts one that dies, and
// replaces one on demand.
type keeper struct {
	role    string
	log     *slog.Logger
	spawn   func(standby bool) (*process, error)
	standby bool          // for the first child: somebody else serves at the moment
	overlap bool          // a replacement starts, and gets ready, before the old one stops
	ready   time.Duration // bound for a replacement
	grace   time.Duration // bound for an end after SIGTERM
	force   <-chan struct{}

	signals  chan os.Signal  // for the child
	replaces chan chan error // requests, answered when done
	first    chan struct{}   // closed when a child was ready for the first time

	once     sync.Once
	retiring sync.WaitGroup
}

func (k *keeper) init() *keeper {
	k.signals = make(chan os.Signal, 1)
	k.replaces = make(chan chan error)
	k.first = make(chan struct{})
	return k
}

// run keeps the role filled until ctx ends, and then stops all its children.
func (k *keeper) run(ctx context.Context) error {
	defer k.retiring.Wait()
	pause := run.Backoff{Min: restartMin, Max: restartMax, Immediate: true}
	for {
		p, err := k.spawn(k.standby)
		if err == nil {
			k.log.Info("child started", "role", k.role, "pid", p.pid)
			p = k.tend(ctx, p)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			k.log.Error("child cannot be started", "role", k.role, "err", err)
		} else if time.Since(p.started) >= steady {
			pause.Reset()
		}
		k.standby = false
		if !k.rest(ctx, pause.Next()) {
			return nil
		}
	}
}

// tend watches a child, and those that take its place, until one dies or ctx
// ends. It gives the last.
func (k *keeper) tend(ctx context.Context, p *process) *process {
	k.watchReady(p)
	for {
		select {
		case <-ctx.Done():
			if p.stop(k.grace, k.force) {
				k.log.Warn("child killed, as it did not stop", "role", k.role, "pid", p.pid)
			}
			return p
		case <-p.exited:
			k.log.Error("child died", "role", k.role, "pid", p.pid, "outcome", p.outcome(), "lived", time.Since(p.started))
			return p
		case sig := <-k.signals:
			p.signal(sig)
		case done := <-k.replaces:
			next, err := k.succeed(ctx, p)
			if next != nil {
				p = next
				k.watchReady(p)
			}
			done <- err
		}
	}
}

// watchReady notes when a child is ready for the first time.
func (k *keeper) watchReady(p *process) {
	go func() {
		select {
		case <-p.ready:
			k.log.Info("child ready", "role", k.role, "pid", p.pid, "after", time.Since(p.started))
			k.once.Do(func() { close(k.first) })
		case <-p.exited:
		}
	}()
}

// succeed puts a new child in the place of p. When it gives none, p is still
// in charge; p may be dead by then.
func (k *keeper) succeed(ctx context.Context, p *process) (*process, error) {
	if !k.overlap {
		p.stop(k.grace, k.force)
	}
	next, err := k.spawn(k.overlap)
	if err != nil {
		return nil, err
	}
	k.log.Info("successor started", "role", k.role, "pid", next.pid, "predecessor", p.pid)
	if !k.overlap {
		return next, nil
	}
	if err := next.awaitFirst(k.ready, ctx.Done()); err != nil {
		next.kill()
		return nil, err
	}
	k.retiring.Go(func() {
		if p.stop(k.grace, k.force) {
			k.log.Warn("predecessor killed, as it did not drain in time", "role", k.role, "pid", p.pid)
			return
		}
		k.log.Info("predecessor has drained", "role", k.role, "pid", p.pid)
	})
	return next, nil
}

// rest waits before a restart, and says false when ctx has ended. Whoever asks
// for a replacement meanwhile gets it by the restart, at once.
func (k *keeper) rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-t.C:
			return true
		case <-k.signals: // the next child reads everything afresh
		case done := <-k.replaces:
			done <- nil
			return true
		}
	}
}

// replace asks for a new child from the binary on disk and waits for it.
func (k *keeper) replace(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case k.replaces <- done:
	case <-ctx.Done():
		return errs.Wrap(errs.Unavailable, ctx.Err(), "replace %s", k.role)
	}
	// Bounded by the ready and grace times.
	return <-done
}

// tell passes a signal on to the child; one that waits already will do.
func (k *keeper) tell(sig os.Signal) {
	select {
	case k.signals <- sig:
	default:
	}
}
