package peer

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ticks is how often a second the kernel counts CPU time: USER_HZ, which is
// 100 on every Linux port that Go runs on.
const ticks = 100

// stat gives the fields of /proc/<pid>/stat after the command's name; field 0
// is the state, 1 the parent. Nil: there is no such process.
func stat(pid int) []string {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
}

// Family gives the process and all that descend from it, while it lives.
func Family(root int) []int {
	parent := map[int]int{}
	all, _ := os.ReadDir("/proc")
	for _, d := range all {
		pid, err := strconv.Atoi(d.Name())
		if f := stat(pid); err == nil && len(f) > 1 && f[0] != "Z" {
			parent[pid], _ = strconv.Atoi(f[1])
		}
	}
	var family []int
	for pid := range parent {
		for p := pid; p > 1; p = parent[p] {
			if p == root {
				family = append(family, pid)
				break
			}
		}
	}
	slices.Sort(family)
	return family
}

// CPU is the time, user and system, that all processes of the proxy have used.
func (p *Proxy) CPU() time.Duration {
	var sum int
	for _, pid := range Family(p.PID()) {
		if f := stat(pid); len(f) > 12 {
			user, _ := strconv.Atoi(f[11])
			system, _ := strconv.Atoi(f[12])
			sum += user + system
		}
	}
	return time.Duration(sum) * time.Second / ticks
}

// Memory is the resident size of each process of the proxy in bytes, by the
// role that its command line names, else by its command.
func (p *Proxy) Memory() map[string]int64 {
	sizes := map[string]int64{}
	for _, pid := range Family(p.PID()) {
		line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		words := strings.Split(string(line), "\x00")
		name := filepath.Base(words[0])
		if i := slices.Index(words, "process"); i > 0 && i+1 < len(words) {
			name = words[i+1]
		}
		if f := stat(pid); len(f) > 21 {
			pages, _ := strconv.ParseInt(f[21], 10, 64)
			sizes[name] += pages * int64(os.Getpagesize())
		}
	}
	return sizes
}
