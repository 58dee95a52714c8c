// Command estate measures how Spare grows with the number of services: to
// read and check the estate file, to put a table in force, to find a request's
// service, to start, to reload, and what it holds in memory. Each service has
// two origins. The first half calls the packages, the second runs the program:
//
//	parts.go    config and edge, in this process
//	program.go  spare run, from outside
//
// All origins are two small servers, so checks are made rarer than
// they are by default: 10,000 services with two origins each and the default
// of 1 s would load the machine with 20,000 checks a second at both ends.
//
//	go run ./bench/estate -services 100,1000
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/sparecloud/spare/bench/peer"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "origin" {
		if err := originMain(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "estate:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "estate:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	binary  string
	dir     string
	every   string // between checks
	origins [2]string
	files   uint64 // how many one process may have open
}

func run(ctx context.Context) error {
	var b bench
	flag.StringVar(&b.binary, "spare", "spare", "program to run")
	flag.StringVar(&b.every, "every", "10s", "time between two checks of an origin")
	services := flag.String("services", "100,1000,10000", "numbers of services")
	out := flag.String("out", "bin/bench", "folder for estate.md and estate.json")
	flag.Parse()
	b.files = openFiles()
	var err error
	if b.dir, err = os.MkdirTemp("", "bench-estate-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	r := report{Machine: peer.ThisMachine(), Every: b.every}
	spare, err := peer.Lookup("spare")
	if err != nil {
		return err
	}
	r.Version = spare.Version(ctx, peer.Binaries{"spare": b.binary})
	for _, word := range strings.Split(*services, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("-services: %w", err)
		}
		f, err := b.size(ctx, n)
		if err != nil {
			return fmt.Errorf("%d services: %w", n, err)
		}
		r.Sizes = append(r.Sizes, f)
	}
	if err := r.save(*out); err != nil {
		return err
	}
	_, _ = io.WriteString(os.Stdout, r.markdown())
	return nil
}

// openFiles raises the limit of open files as far as it goes.
func openFiles() uint64 {
	const want = 65536
	var limit syscall.Rlimit
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: want, Max: want}) == nil {
		return want
	}
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	return limit.Cur
}

// size measures all figures at one number of services.
func (b *bench) size(ctx context.Context, n int) (figures, error) {
	f := figures{Services: n, Values: map[string]float64{}}
	// Spare keeps a connection for the checks of each origin.
	if f.Closing = b.files < uint64(2*n+500); f.Closing {
		fmt.Fprintf(os.Stderr, "estate: at most %d open files here: the origins of %d services close the connection after each check\n", b.files, n)
	}
	stop, err := b.startOrigins(f.Closing)
	defer stop()
	if err != nil {
		return f, err
	}
	dir, err := os.MkdirTemp(b.dir, "size-")
	if err != nil {
		return f, err
	}
	file := filepath.Join(dir, "spare.yaml")
	listen, err := peer.FreeAddress("127.0.0.1")
	if err != nil {
		return f, err
	}
	api, err := peer.FreeAddress("127.0.0.4")
	if err != nil {
		return f, err
	}
	p := &program{bench: b, n: n, dir: dir, file: file, listen: listen, api: api}
	if err := p.write(""); err != nil {
		return f, err
	}
	if err := b.parts(ctx, file, &f); err != nil {
		return f, err
	}
	return f, p.measure(ctx, &f)
}

// host is the host name of a service.
func host(i int) string { return fmt.Sprintf("service-%05d.example", i) }

// write writes the estate file; the last service gets one host more.
func (p *program) write(more string) error {
	var s strings.Builder
	fmt.Fprintf(&s, "version: 1\ndata: %q\nlisten: {http: %q, api: %q}\nsites:\n", filepath.Join(p.dir, "state"), p.listen, p.api)
	s.WriteString("  one: {provider: alder, region: alder-1}\n  two: {provider: birch, region: birch-1}\nservices:\n")
	for i := range p.n {
		hosts := host(i)
		if i == p.n-1 && more != "" {
			hosts += ", " + more
		}
		fmt.Fprintf(&s, "  service-%05d:\n    hosts: [%s]\n    origins:\n      one: {url: \"http://%s\"}\n      two: {url: \"http://%s\"}\n    check: {http: {path: /healthz}, every: %s, fresh: 60s}\n",
			i, hosts, p.bench.origins[0], p.bench.origins[1], p.bench.every)
	}
	half := p.file + ".new"
	if err := os.WriteFile(half, []byte(s.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(half, p.file)
}
