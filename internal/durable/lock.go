package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/sparecloud/spare/internal/errs"
)

// FileLock is a lock held by this process. The kernel drops it when the
// process ends, however that happens.
type FileLock struct{ f *os.File }

// Lock takes the lock that path stands for, creating the file if need be, and
// writes this process's ID into it. The file stays when the lock is released.
//
// Conflict: another process holds it; the error names its process ID.
func Lock(path string) (*FileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "lock")
	}
	if err := flock(f); err != nil {
		holder := readHolder(f)
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errs.E(errs.Conflict, "%s is locked by %s", path, holder)
		}
		return nil, errs.Wrap(errs.Unavailable, err, "lock %s", path)
	}
	if err := writeHolder(f); err != nil {
		_ = f.Close()
		return nil, errs.Wrap(errs.Unavailable, err, "write process ID into %s", path)
	}
	return &FileLock{f: f}, nil
}

// Unlock releases the lock.
func (l *FileLock) Unlock() error {
	// The next holder must not be taken for this one while it has not written
	// its own ID yet.
	return errors.Join(l.f.Truncate(0), l.f.Close())
}

func flock(f *os.File) error {
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func writeHolder(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(f, "%d\n", os.Getpid())
	return err
}

// readHolder names the holder. What is in the file is only shown to people.
func readHolder(f *os.File) string {
	b, _ := io.ReadAll(io.LimitReader(f, 32))
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d", pid)
}
