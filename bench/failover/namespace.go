package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// inside marks the process that runs in a network namespace of its own.
const inside = "SPARE_BENCH_NETNS"

// isolate runs this program again in a new network namespace and gives its
// exit status. There every port is free, dropped packets are dropped for
// nobody else, and the kernel takes it all away with the last process, however
// the run ends. It gives an error when the machine does not allow it.
func isolate(ctx context.Context) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) || err == nil {
		return cmd.ProcessState.ExitCode(), nil
	}
	return 1, nil
}

// raise brings up the loopback device of the new namespace and says why
// packets cannot be dropped in it, or "".
func raise(ctx context.Context) (unable string, err error) {
	if err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").Run(); err != nil {
		return "", err
	}
	if out, err := exec.CommandContext(ctx, "iptables", "-w", "-L", "INPUT").CombinedOutput(); err != nil {
		return "iptables does not work here: " + string(out), nil
	}
	return "", nil
}
