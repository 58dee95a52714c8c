package peer

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// Machine says on what a measurement was made.
type Machine struct {
	At     time.Time `json:"at"`
	CPU    string    `json:"cpu"`
	Cores  int       `json:"cores"`
	Memory string    `json:"memory"`
	Kernel string    `json:"kernel"`
	Go     string    `json:"go"`
	Load   string    `json:"load"` // 1, 5 and 15 minutes, before the run
}

// ThisMachine looks.
func ThisMachine() Machine {
	load, _ := os.ReadFile("/proc/loadavg")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	fields := strings.Fields(string(load))
	return Machine{
		At: time.Now().UTC().Truncate(time.Second), CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(),
		Memory: field("/proc/meminfo", "MemTotal"), Kernel: strings.TrimSpace(string(kernel)), Go: runtime.Version(),
		Load: strings.Join(fields[:min(3, len(fields))], " "),
	}
}

// String is one line for a report.
func (m Machine) String() string {
	return fmt.Sprintf("%s: %d cores (%s), %s memory, Linux %s, %s, load before %s", m.At.Format("2006-01-02 15:04 UTC"), m.Cores, m.CPU, m.Memory, m.Kernel, m.Go, m.Load)
}

// field gives the value of the first "name : value" line of a file.
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
