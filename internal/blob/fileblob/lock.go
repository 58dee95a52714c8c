package fileblob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

// turns makes the goroutines of this process that want one stripe wait in the
// order in which they came, and lets them give up. Between processes a kernel
// lock on the stripe's file decides (flock: it goes with the process, however
// that ends).
type turns [stripes]chan struct{}

func newTurns() *turns {
	var t turns
	for i := range t {
		t[i] = make(chan struct{}, 1)
	}
	return &t
}

// lock takes a stripe for a change. unlock must be called.
func (d *Driver) lock(ctx context.Context, f *folder, stripe uint32) (unlock func(), err error) {
	turn := d.turns[stripe]
	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ended(ctx)
	}
	file, err := f.flock(ctx, stripe, syscall.LOCK_EX)
	if err != nil {
		<-turn
		return nil, err
	}
	return func() {
		_ = file.Close() // which releases the lock; nothing was written to it
		<-turn
	}, nil
}

// tryLock takes a stripe if nobody has it. It gives nil if somebody does, or if
// it cannot be told.
func (d *Driver) tryLock(f *folder, stripe uint32) (unlock func()) {
	turn := d.turns[stripe]
	select {
	case turn <- struct{}{}:
	default:
		return nil
	}
	file, err := f.openLock(stripe, os.O_CREATE)
	if err == nil {
		if err = flock(file, syscall.LOCK_EX); err != nil {
			_ = file.Close()
		}
	}
	if err != nil {
		<-turn
		return nil
	}
	return func() {
		_ = file.Close()
		<-turn
	}
}

// lockShared keeps changes of a stripe out. Without a lock file there has been
// no change yet.
func (d *Driver) lockShared(ctx context.Context, f *folder, stripe uint32) (unlock func(), err error) {
	turn := d.turns[stripe] // behind a change that waits: readers never starve it
	select {
	case turn <- struct{}{}:
		<-turn
	case <-ctx.Done():
		return nil, ended(ctx)
	}
	file, err := f.flock(ctx, stripe, syscall.LOCK_SH)
	if errors.Is(err, fs.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = file.Close() }, nil
}

// settled waits until no change of the stripe is between becoming visible and
// being durable: what was read before it is then on the disk, and no loss of
// power takes it back.
func (d *Driver) settled(ctx context.Context, f *folder, stripe uint32) error {
	unlock, err := d.lockShared(ctx, f, stripe)
	if err == nil {
		unlock()
	}
	return err
}

func lockName(stripe uint32) string { return fmt.Sprintf("%03x", stripe) }

func (f *folder) openLock(stripe uint32, flag int) (*os.File, error) {
	if f.locks == nil {
		return nil, fs.ErrNotExist
	}
	return f.locks.OpenFile(lockName(stripe), os.O_RDONLY|flag, 0o644)
}

// flock waits for the kernel's lock on a stripe. Waiting in the kernel could
// not be given up, so it asks again and again.
func (f *folder) flock(ctx context.Context, stripe uint32, how int) (*os.File, error) {
	flag := 0
	if how == syscall.LOCK_EX {
		flag = os.O_CREATE
	}
	file, err := f.openLock(stripe, flag)
	if err != nil {
		return nil, failed(err, "open a lock")
	}
	pause := run.Backoff{Min: 100 * time.Microsecond, Max: 10 * time.Millisecond, Jitter: 0.5}
	for {
		err := flock(file, how)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			_ = file.Close()
			return nil, failed(err, "lock")
		}
		if err := run.Sleep(ctx, pause.Next()); err != nil {
			_ = file.Close()
			return nil, errs.Wrap(errs.Unavailable, err, "wait for another writer of the object")
		}
	}
}

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
