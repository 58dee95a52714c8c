package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/sparecloud/spare/bench/peer"
)

// settle is how long the program has until it is held to be at rest: each
// origin was then found up, by three checks.
const settle = 45 * time.Second

// patience is how long a reload may take; the table then says that.
const patience = time.Minute

// program is one spare run from outside.
type program struct {
	bench       *bench
	n           int
	dir, file   string
	listen, api string
	front       *http.Client
}

// originMain is a child process: an origin that answers everything, until its
// parent has gone.
func originMain(args []string) error {
	flags := flag.NewFlagSet("origin", flag.ExitOnError)
	listen := flags.String("listen", "", "address")
	closing := flags.Bool("close", false, "close the connection after each answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})}
	srv.SetKeepAlivesEnabled(!*closing)
	go func() { _ = srv.Serve(ln) }()
	fmt.Println("ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// startOrigins runs this program again, as each of the origins. They are
// processes of their own because each keeps a connection for every service.
func (b *bench) startOrigins(closing bool) (stop func(), err error) {
	var running []*exec.Cmd
	stop = func() {
		for _, cmd := range running {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	self, err := os.Executable()
	if err != nil {
		return stop, err
	}
	for i, ip := range []string{"127.0.0.2", "127.0.0.3"} {
		if b.origins[i], err = peer.FreeAddress(ip); err != nil {
			return stop, err
		}
		cmd := exec.Command(self, "origin", "-listen", b.origins[i], fmt.Sprintf("-close=%t", closing))
		cmd.Stderr = os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		out, err := cmd.StdoutPipe()
		if err != nil {
			return stop, err
		}
		if _, err := cmd.StdinPipe(); err != nil { // its end tells the child that we are gone
			return stop, err
		}
		if err := cmd.Start(); err != nil {
			return stop, err
		}
		running = append(running, cmd)
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			return stop, fmt.Errorf("origin %d did not start: %w", i, err)
		}
	}
	return stop, nil
}

// start runs the program and gives the time until its last service answers.
func (p *program) start(ctx context.Context) (*peer.Proxy, time.Duration, error) {
	spare, err := peer.Lookup("spare")
	if err != nil {
		return nil, 0, err
	}
	s := peer.Setup{Dir: p.dir, Listen: p.listen, API: p.api, Host: host(p.n - 1), Binaries: peer.Binaries{"spare": p.bench.binary}}
	began := time.Now()
	run, err := peer.Launch(ctx, spare, s, []string{"run", "-c", p.file})
	return run, time.Since(began), err
}

// measure starts the program twice, lets it rest, and reloads it.
func (p *program) measure(ctx context.Context, f *figures) error {
	p.front = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	run, took, err := p.start(ctx)
	if err != nil {
		return err
	}
	f.Values["first start ms"] = took.Seconds() * 1e3
	run.Stop()
	if run, took, err = p.start(ctx); err != nil {
		return err
	}
	defer run.Stop()
	f.Values["start from last table ms"] = took.Seconds() * 1e3
	if err := rest(ctx, settle); err != nil {
		return err
	}
	cpu := run.CPU()
	f.Values["CPU until settled s"] = cpu.Seconds()
	if err := rest(ctx, 5*time.Second); err != nil {
		return err
	}
	f.Values["CPU at rest, % of a core"] = (run.CPU() - cpu).Seconds() / 5 * 100
	for role, bytes := range run.Memory() {
		switch role {
		case "data", "control":
			f.Values["memory of "+role+" MiB"] = float64(bytes) / (1 << 20)
		}
	}
	took, err = p.reload(ctx, run)
	f.Values["reload ms"] = took.Seconds() * 1e3
	return err
}

// reload gives one service a host more and waits until that is served.
func (p *program) reload(ctx context.Context, run *peer.Proxy) (time.Duration, error) {
	more := "reloaded.example"
	switch status, err := p.ask(ctx, more); {
	case err != nil:
		return 0, err
	case status != http.StatusNotFound:
		return 0, fmt.Errorf("%s answers %d before it is declared", more, status)
	}
	if err := p.write(more); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := syscall.Kill(run.PID(), syscall.SIGHUP); err != nil {
		return 0, err
	}
	for time.Since(began) < patience {
		if status, err := p.ask(ctx, more); err == nil && status == http.StatusOK {
			return time.Since(began), nil
		}
		if err := rest(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
	fmt.Fprintf(os.Stderr, "estate: the reloaded file is not in force after %v; the end of the log: %s\n", patience, run.Log())
	return patience, nil
}

// ask gives the status that the host's front page is answered with.
func (p *program) ask(ctx context.Context, name string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen+"/", nil)
	if err != nil {
		return 0, err
	}
	req.Host = name
	resp, err := p.front.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
