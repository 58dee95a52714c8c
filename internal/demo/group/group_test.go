package group

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

func start(t *testing.T, script string) (*Host, *Group) {
	t.Helper()
	h := Open()
	t.Cleanup(h.Close)
	g, err := h.Start(Spec{Name: "sh", Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	return h, g
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestKillReachesTheWholeGroupAndTheKernelSaysSo(t *testing.T) {
	_, g := start(t, "sleep 60 & sleep 60 & wait")
	await(t, "three members", func() bool { return len(g.Members()) == 3 })
	if _, ok := g.Status(); ok {
		t.Fatal("a running group has a wait status")
	}
	if err := g.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-g.Done()
	ws, ok := g.Status()
	if !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
		t.Fatalf("status %v, %v; want killed", ws, ok)
	}
	await(t, "no members", func() bool { return len(g.Members()) == 0 })
}

func TestAnExitIsNotAKill(t *testing.T) {
	_, g := start(t, "exit 9")
	<-g.Done()
	if ws, _ := g.Status(); ws.Signaled() {
		t.Fatalf("status %v looks like a signal", ws)
	}
}

func TestStopAndContinueShowInTheProcessState(t *testing.T) {
	_, g := start(t, "exec sleep 60") // one process: a shell stopped within vfork shows as D
	state := func() byte { p, _ := Find(g.PID()); return p.State }
	if err := g.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	await(t, "stopped", func() bool { return state() == 'T' })
	if err := g.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await(t, "running", func() bool { return state() != 'T' })
}

// A child that left the group for its own, and one that ignores SIGTERM and
// is frozen, must not outlive the Host.
func TestCloseLeavesNothingBehind(t *testing.T) {
	h, g := start(t, "trap '' TERM; setsid sleep 60 & sleep 60 & wait; sleep 60")
	await(t, "the children", func() bool { return len(Children(g.PID())) >= 2 })
	family := append(Children(g.PID()), g.Members()...)
	if err := g.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h.Close()
	for _, p := range family {
		if p.Alive() {
			t.Errorf("process %d (%v) is left", p.PID, p.Args())
		}
	}
	if _, err := h.Start(Spec{Name: "late", Path: "/bin/true", Log: os.DevNull}); !errs.Is(err, errs.Unavailable) {
		t.Errorf("start after Close: %v", err)
	}
}

// The kernel ends the groups when the demo itself is killed with -9.
func TestGroupsDieWithTheirStarter(t *testing.T) {
	if os.Getenv("GROUP_STARTER") != "" {
		g, err := Open().Start(Spec{Name: "sleep", Path: "/bin/sleep", Args: []string{"60"}, Log: os.DevNull})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("pid", g.PID())
		select {}
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestGroupsDieWithTheirStarter$")
	cmd.Env = append(os.Environ(), "GROUP_STARTER=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	for s := bufio.NewScanner(out); pid == 0 && s.Scan(); {
		_, _ = fmt.Sscanf(s.Text(), "pid %d", &pid)
	}
	p, err := Find(pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	await(t, "the group's end", func() bool { return !p.Alive() })
}

func TestStatLineWithBracketsInTheName(t *testing.T) {
	line := "42 (a) b (c)) T 7 42 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9876 0 0"
	p, err := parseStat([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	if p != (Process{PID: 42, PPID: 7, PGID: 42, State: 'T', Start: 9876}) {
		t.Errorf("got %+v", p)
	}
	for _, bad := range []string{"", "x", "42 (a", "42 (a) T 1 2", strings.Repeat(" ", 99)} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q is read as a state", bad)
		}
	}
}
