// Package peer runs Spare and the proxies it is measured against: it writes
// each one's configuration into a folder, starts it, waits until it serves,
// and accounts for the CPU time and memory of all its processes.
//
// A [Kind] is a proxy with one choice of settings; [Kinds] lists them. Each is
// set up as someone would who wants failover from it, and its configuration is
// in full in config.go.
//
//	k, err := peer.Lookup("haproxy")
//	p, err := k.Start(ctx, peer.Setup{Dir: dir, Listen: "127.0.0.1:8080", Origins: origins, Binaries: bins})
//	defer p.Stop()
package peer

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Kind is a proxy with one choice of settings.
type Kind struct {
	Name    string
	About   string   // what is special about these settings
	program string   // key in Binaries
	version []string // arguments that print the version; none: it is in the file, put there by Go
	config  func(Setup) (file, text string, args []string)
}

// Binaries names the programs by proxy: "spare", "haproxy", "nginx", "caddy".
type Binaries map[string]string

// Setup is what a proxy is started with.
type Setup struct {
	Dir      string // for the configuration, logs and state; must exist
	Listen   string // "127.0.0.1:8080"
	API      string // Spare's API, "127.0.0.1:7700"
	Origins  []string
	Host     string // asked for to see whether the proxy serves; "" = its address
	Binaries Binaries
}

// Lookup gives the kind with the name.
func Lookup(name string) (Kind, error) {
	var names []string
	for _, k := range Kinds {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, fmt.Errorf("no proxy %q: there are %s", name, strings.Join(names, ", "))
}

// Missing says why the kind cannot run here, or "".
func (k Kind) Missing(b Binaries) string {
	if _, err := exec.LookPath(b[k.program]); err != nil {
		return fmt.Sprintf("%s is not installed (%q)", k.program, b[k.program])
	}
	return ""
}

// Config gives the configuration that Start would write.
func (k Kind) Config(s Setup) string {
	_, text, _ := k.config(s)
	return text
}

// Version gives the first line that says which version the program is.
func (k Kind) Version(ctx context.Context, b Binaries) string {
	if k.version == nil {
		path, _ := exec.LookPath(b[k.program])
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return fmt.Sprintf("unknown (%v)", err)
		}
		return fmt.Sprintf("%s %s (%s)", info.Main.Path, info.Main.Version, info.GoVersion)
	}
	out, err := exec.CommandContext(ctx, b[k.program], k.version...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if err != nil {
		return fmt.Sprintf("unknown (%v)", err)
	}
	return line
}

// Proxy is one that runs.
type Proxy struct {
	Kind Kind
	cmd  *exec.Cmd
	done chan struct{}
	log  string
}

// Start writes the configuration, starts the proxy and returns once it
// answers. The proxy dies with this process.
func (k Kind) Start(ctx context.Context, s Setup) (*Proxy, error) {
	file, text, args := k.config(s)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return Launch(ctx, k, s, args)
}

// Launch starts the proxy with arguments of the caller's own.
func Launch(ctx context.Context, k Kind, s Setup, args []string) (*Proxy, error) {
	p := &Proxy{Kind: k, done: make(chan struct{}), log: filepath.Join(s.Dir, k.Name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	program, err := exec.LookPath(s.Binaries[k.program])
	if err == nil {
		program, err = filepath.Abs(program) // it runs in a folder of its own
	}
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = s.Dir, log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	if err := p.await(ctx, s); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s: %w; its log: %s", k.Name, err, p.Log())
	}
	return p, nil
}

// await polls until the proxy answers 200.
func (p *Proxy) await(ctx context.Context, s Setup) error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Listen+"/", nil)
	if err != nil {
		return err
	}
	req.Host = s.Host
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("ended at once")
		default:
		}
		resp, err := client.Do(req)
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
	return fmt.Errorf("does not answer 200 on %s", s.Listen)
}

// PID is the first process of the proxy.
func (p *Proxy) PID() int { return p.cmd.Process.Pid }

// Log gives the end of what the proxy wrote.
func (p *Proxy) Log() string {
	b, _ := os.ReadFile(p.log)
	return string(b[max(0, len(b)-2000):])
}

// Stop ends every process of the proxy.
func (p *Proxy) Stop() {
	pids := Family(p.PID())
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(2 * time.Second):
	}
	for _, pid := range pids {
		if slices.Contains(Family(pid), pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	<-p.done
}

// FreeAddress gives an address on the IP that nobody listens on. Its port is
// below those that the kernel hands out.
func FreeAddress(ip string) (string, error) {
	for port := 18000; port < 32000; port++ {
		if l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", ip, port)); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", fmt.Errorf("no free port on %s", ip)
}
