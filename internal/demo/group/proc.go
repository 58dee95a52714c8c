package group

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/sparecloud/spare/internal/errs"
)

// Process is what the kernel says of one process. PID and Start together name
// it for good: a pid alone is used again.
type Process struct {
	PID   int
	PPID  int
	PGID  int
	State byte   // as in proc(5): R, S, D, T, Z ...
	Start uint64 // clock ticks after boot
}

// Find reads one process. A process that is gone is NotFound.
func Find(pid int) (Process, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return Process{}, errs.Wrap(errs.NotFound, err, "read the state of process %d", pid)
	}
	return parseStat(b)
}

// parseStat reads a line of proc(5). The name stands in brackets and may hold
// anything, brackets too, so the fields are counted from its last bracket.
func parseStat(b []byte) (Process, error) {
	end := bytes.LastIndexByte(b, ')')
	var p Process
	if _, err := fmt.Sscanf(string(b), "%d", &p.PID); err != nil || end < 0 {
		return Process{}, errs.E(errs.Invalid, "not a process state: %q", b)
	}
	f := strings.Fields(string(b[end+1:]))
	if len(f) < 20 {
		return Process{}, errs.E(errs.Invalid, "process %d: %d fields of state, want 20", p.PID, len(f))
	}
	p.State = f[0][0]
	p.PPID, _ = strconv.Atoi(f[1])
	p.PGID, _ = strconv.Atoi(f[2])
	p.Start, _ = strconv.ParseUint(f[19], 10, 64)
	return p, nil
}

// Alive reports whether this very process still runs; one that has ended and
// waits for its parent does not.
func (p Process) Alive() bool {
	now, err := Find(p.PID)
	return err == nil && now.Start == p.Start && now.State != 'Z' && now.State != 'X'
}

// Args gives the process's command line, nil once it has ended.
func (p Process) Args() []string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.PID), "cmdline"))
	if err != nil || len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// all lists every process of the machine that we may see.
func all() []Process {
	names, _ := filepath.Glob("/proc/[0-9]*")
	out := make([]Process, 0, len(names))
	for _, n := range names {
		pid, err := strconv.Atoi(filepath.Base(n))
		if err != nil {
			continue
		}
		if p, err := Find(pid); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// Children gives the processes that pid started, and theirs, without pid.
func Children(pid int) []Process {
	below := map[int][]Process{}
	for _, p := range all() {
		below[p.PPID] = append(below[p.PPID], p)
	}
	var out []Process
	for todo := []int{pid}; len(todo) > 0; todo = todo[1:] {
		for _, p := range below[todo[0]] {
			out = append(out, p)
			todo = append(todo, p.PID)
		}
	}
	return out
}
