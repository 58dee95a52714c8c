// Command failover measures what a client sees of an origin's fault through
// Spare, HAProxy, nginx and Caddy.
//
// Two origins, one active and one spare, serve each request in 20 ms. A client
// sends requests by the clock and repeats none. In the middle the active
// origin suffers a fault, which lasts to the end. Every proxy is measured for
// one fault before any is for the next, so that neighbours in a table saw the
// same machine:
//
//	row      a fault and a method          fault.go
//	cell     a row through one proxy       cell.go
//	origin   this program, run again       origin.go
//	client   open loop, checks each body   client.go
//	report   Markdown and JSON             report.go
//
// Everything runs in a network namespace of its own, where the machine allows
// that.
//
//	go run ./bench/failover -short -fault SIGSTOP -method GET -proxy spare,haproxy
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sparecloud/spare/bench/peer"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "origin" {
		exit(originMain(os.Args[2:]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	exit(run(ctx))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "failover:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is one run.
type bench struct {
	binaries peer.Binaries
	kinds    []peer.Kind
	rows     []row
	out      string
	verbose  bool
	noHole   string // why packets cannot be dropped, or ""
	report   report
}

func run(ctx context.Context) error {
	b, err := parse()
	if err != nil {
		return err
	}
	if os.Getenv(inside) == "" {
		code, err := isolate(ctx)
		if err == nil {
			os.Exit(code)
		}
		b.noHole = fmt.Sprintf("no network namespace (%v)", err)
		fmt.Fprintln(os.Stderr, "failover:", b.noHole)
	} else if b.noHole, err = raise(ctx); err != nil {
		return fmt.Errorf("set up the network namespace: %w", err)
	}
	return b.matrix(ctx)
}

func parse() (*bench, error) {
	b := &bench{binaries: peer.Binaries{}}
	for _, p := range []string{"spare", "haproxy", "nginx", "caddy"} {
		flag.Func(p, "program to run as "+p, func(path string) error { b.binaries[p] = path; return nil })
		b.binaries[p] = p
	}
	proxies := flag.String("proxy", "spare,haproxy,haproxy-tuned,nginx,caddy", "proxies, in order; there is nginx-tuned too")
	faults := flag.String("fault", "", "faults, separated by ';' (default: all)")
	methods := flag.String("method", "", "GET or POST (default: both)")
	short := flag.Bool("short", false, "2 s before the fault and 4 s after it")
	flag.StringVar(&b.out, "out", "bin/bench", "folder for failover.md and failover.json")
	flag.BoolVar(&b.verbose, "v", false, "print every proxy's configuration and what failed")
	flag.Parse()
	b.report.Short = *short
	for _, name := range strings.Split(*proxies, ",") {
		k, err := peer.Lookup(strings.TrimSpace(name))
		if err != nil {
			return nil, err
		}
		b.kinds = append(b.kinds, k)
	}
	known := rows()
	wanted := strings.FieldsFunc(*faults, func(r rune) bool { return r == ';' })
	for _, f := range wanted {
		if !slices.ContainsFunc(known, func(r row) bool { return r.fault == f }) {
			return nil, fmt.Errorf("no fault %q: there are %q", f, known)
		}
	}
	for _, r := range known {
		if (len(wanted) > 0 && !slices.Contains(wanted, r.fault)) || (*methods != "" && *methods != r.method) {
			continue
		}
		if *short {
			r.before, r.after = 2*time.Second, 4*time.Second
		}
		b.rows = append(b.rows, r)
	}
	return b, nil
}

// matrix measures cell by cell, and saves after each row what there is.
func (b *bench) matrix(ctx context.Context) error {
	b.report.Machine = peer.ThisMachine()
	b.report.Versions = map[string]string{}
	for _, k := range b.kinds {
		if k.Missing(b.binaries) == "" {
			b.report.Versions[k.Name] = k.Version(ctx, b.binaries)
		}
	}
	var faulty error
	for _, r := range b.rows {
		for _, k := range b.kinds {
			c, err := b.try(ctx, r, k)
			if ctx.Err() != nil {
				return errors.Join(b.report.save(b.out), ctx.Err())
			}
			if err != nil {
				faulty = errors.Join(faulty, fmt.Errorf("%s, %s: %w", r, k.Name, err))
				c.Skipped = strings.Join(strings.Fields(err.Error()), " ")
			}
			b.report.Cells = append(b.report.Cells, c)
			fmt.Fprintf(os.Stderr, "%-24s %s\n", r, c.line())
			if b.verbose && len(c.Causes) > 0 {
				fmt.Fprintf(os.Stderr, "%-24s %v\n", "", c.Causes)
			}
		}
		if err := b.report.save(b.out); err != nil {
			return err
		}
	}
	_, _ = io.WriteString(os.Stdout, b.report.markdown())
	return faulty
}

// try measures a cell if it can be measured here.
func (b *bench) try(ctx context.Context, r row, k peer.Kind) (cell, error) {
	why := k.Missing(b.binaries)
	if r.fault == faultHole && why == "" {
		why = b.noHole
	}
	if why != "" {
		return cell{Proxy: k.Name, Fault: r.fault, Method: r.method, Rate: r.rate, BeforeS: r.before.Seconds(), AfterS: r.after.Seconds(), Skipped: why}, nil
	}
	return b.measure(ctx, r, k)
}

// show prints the proxy's configuration.
func (b *bench) show(r row, k peer.Kind, s peer.Setup) {
	if b.verbose {
		fmt.Fprintf(os.Stderr, "--- %s: %s\n%s---\n", r, k.Name, k.Config(s))
	}
}
