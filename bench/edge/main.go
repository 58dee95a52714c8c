// Command edge measures throughput, and CPU time per request, of Spare beside
// HAProxy, nginx and Caddy. wrk asks for 1 KiB and 100 KiB over kept
// connections as fast as it is answered; two nginx processes are the origins.
// Every proxy takes its turn in each of several rounds, so that all see the
// same machine, and the medians are given as ratios to HAProxy's. CPU time is
// that of all processes of the proxy, user and system.
//
//	go run ./bench/edge -rounds 1 -time 2s -proxy spare,haproxy
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sparecloud/spare/bench/peer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "edge:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	dir      string
	out      string
	binaries peer.Binaries
	kinds    []peer.Kind
	rounds   int
	conns    int
	time     time.Duration
	verbose  bool
	origins  []string
	running  []*peer.Proxy // the origins
	report   report
}

// sizes are the bodies that are asked for, by path.
var sizes = []struct {
	name, path string
	bytes      int
}{{"1 KiB", "/1k", 1 << 10}, {"100 KiB", "/100k", 100 << 10}}

func run(ctx context.Context) error {
	b := &bench{binaries: peer.Binaries{"wrk": "wrk"}}
	for _, p := range []string{"spare", "haproxy", "nginx", "caddy"} {
		flag.Func(p, "program to run as "+p, func(path string) error { b.binaries[p] = path; return nil })
		b.binaries[p] = p
	}
	proxies := flag.String("proxy", "spare,haproxy,nginx,caddy", "proxies, in order")
	flag.IntVar(&b.rounds, "rounds", 3, "turns of each proxy")
	flag.IntVar(&b.conns, "conns", 64, "connections")
	flag.DurationVar(&b.time, "time", 8*time.Second, "length of a turn, for each size")
	flag.StringVar(&b.out, "out", "bin/bench", "folder for edge.md and edge.json")
	flag.BoolVar(&b.verbose, "v", false, "print every proxy's configuration")
	flag.Parse()
	for _, name := range strings.Split(*proxies, ",") {
		k, err := peer.Lookup(name)
		if err != nil {
			return err
		}
		if why := k.Missing(b.binaries); why != "" {
			fmt.Fprintln(os.Stderr, "edge: left out:", why)
			continue
		}
		b.kinds = append(b.kinds, k)
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		return fmt.Errorf("this needs wrk (apt-get install wrk): %w", err)
	}
	var err error
	if b.dir, err = os.MkdirTemp("", "bench-edge-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	return b.measure(ctx)
}

func (b *bench) measure(ctx context.Context) error {
	defer b.stopOrigins()
	if err := b.startOrigins(ctx); err != nil {
		return err
	}
	b.report.Machine = peer.ThisMachine()
	b.report.Versions = map[string]string{}
	b.report.Conns, b.report.Seconds = b.conns, b.time.Seconds()
	for _, k := range b.kinds {
		b.report.Versions[k.Name] = k.Version(ctx, b.binaries)
	}
	for round := range b.rounds {
		for i := range b.kinds {
			// Each round begins with another one: who comes first meets a cold machine.
			if err := b.turn(ctx, round, b.kinds[(i+round)%len(b.kinds)]); err != nil {
				return err
			}
		}
	}
	if err := b.report.save(b.out); err != nil {
		return err
	}
	_, _ = io.WriteString(os.Stdout, b.report.markdown())
	return nil
}

// turn starts the proxy, warms it and has wrk ask for each size.
func (b *bench) turn(ctx context.Context, round int, k peer.Kind) error {
	dir, err := os.MkdirTemp(b.dir, k.Name)
	if err != nil {
		return err
	}
	s := peer.Setup{Dir: dir, Origins: b.origins, Binaries: b.binaries}
	if s.Listen, err = peer.FreeAddress("127.0.0.1"); err != nil {
		return err
	}
	if s.API, err = peer.FreeAddress("127.0.0.4"); err != nil {
		return err
	}
	if b.verbose && round == 0 {
		fmt.Fprintf(os.Stderr, "--- %s\n%s---\n", k.Name, k.Config(s))
	}
	p, err := k.Start(ctx, s)
	if err != nil {
		return err
	}
	defer p.Stop()
	time.Sleep(time.Second)
	for _, size := range sizes {
		if _, err := wrk(ctx, s.Listen, size.path, b.conns, time.Second); err != nil {
			return err
		}
		cpu := p.CPU()
		got, err := wrk(ctx, s.Listen, size.path, b.conns, b.time)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", k.Name, size.name, err)
		}
		got.Proxy, got.Size, got.Round = k.Name, size.name, round+1
		got.CPUMicros = float64((p.CPU() - cpu).Microseconds()) / max(1, float64(got.Requests))
		b.report.Turns = append(b.report.Turns, got)
		fmt.Fprintf(os.Stderr, "round %d, %-8s %-14s %9.0f requests/s, %6.1f us CPU each, p99 %.1f ms, %d errors\n", round+1, size.name, k.Name, got.PerSecond, got.CPUMicros, got.P99Ms, got.Errors)
	}
	return nil
}

// startOrigins runs nginx twice with the files to ask for. It costs least of
// all servers, and what the origins use is not the proxies'.
func (b *bench) startOrigins(ctx context.Context) error {
	files := filepath.Join(b.dir, "files")
	if err := os.MkdirAll(files, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(b.dir, 0o755); err != nil { // nginx reads as another user
		return err
	}
	names := map[string]int{"healthz": 3, "index.html": 3}
	for _, s := range sizes {
		names[s.path[1:]] = s.bytes
	}
	for name, n := range names {
		if err := os.WriteFile(filepath.Join(files, name), []byte(strings.Repeat("x", n)), 0o644); err != nil {
			return err
		}
	}
	nginx, err := peer.Lookup("nginx")
	if err != nil {
		return err
	}
	for i, ip := range []string{"127.0.0.2", "127.0.0.3"} {
		addr, err := peer.FreeAddress(ip)
		if err != nil {
			return err
		}
		dir := filepath.Join(b.dir, fmt.Sprintf("origin-%d", i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		file := filepath.Join(dir, "origin.conf")
		if err := os.WriteFile(file, []byte(originConfig(dir, files, addr)), 0o644); err != nil {
			return err
		}
		p, err := peer.Launch(ctx, nginx, peer.Setup{Dir: dir, Listen: addr, Binaries: b.binaries}, []string{"-p", dir, "-c", file})
		if err != nil {
			return err
		}
		b.running, b.origins = append(b.running, p), append(b.origins, addr)
	}
	return nil
}

func (b *bench) stopOrigins() {
	for _, p := range b.running {
		p.Stop()
	}
}

func originConfig(dir, files, addr string) string {
	return fmt.Sprintf(`daemon off;
worker_processes 1;
worker_rlimit_nofile 8192;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log error;
events { worker_connections 4000; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 60s;
    keepalive_requests 100000000;
    open_file_cache max=16;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    default_type text/plain;
    server { listen %[3]s; root %[2]s; }
}
`, dir, files, addr)
}
