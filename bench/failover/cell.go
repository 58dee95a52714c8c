package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/sparecloud/spare/bench/peer"
)

// slack is how much longer than the usual an answer may take before a user
// would notice.
const slack = 100 * time.Millisecond

// cell is what one proxy made of one fault. Counts and times are of the
// requests that were under way at the fault or sent after it; times count from
// when a request was to be sent.
type cell struct {
	Proxy        string         `json:"proxy"`
	Fault        string         `json:"fault"`
	Method       string         `json:"method"`
	Rate         int            `json:"rate"`
	BeforeS      float64        `json:"before_s"`
	AfterS       float64        `json:"after_s"`
	BaseMs       float64        `json:"base_ms"`       // median before the fault
	ErrorsBefore int            `json:"errors_before"` // anything but 0 spoils the cell
	Requests     int            `json:"requests"`
	Errors       int            `json:"errors"` // no whole 200, truncated ones included
	Truncated    int            `json:"truncated"`
	P999Ms       float64        `json:"p999_ms"`
	LongestMs    float64        `json:"longest_ms"`
	ClearS       float64        `json:"clear_s"` // from the fault to the last request that failed or was slow
	NeverClear   bool           `json:"never_clear"`
	Duplicates   int            `json:"duplicates"` // POSTs that arrived more than once
	Lost         int            `json:"lost"`       // POSTs answered 200 that no origin has
	Causes       map[string]int `json:"causes,omitempty"`
	Skipped      string         `json:"skipped,omitempty"`
}

// measure runs one cell in a folder of its own.
func (b *bench) measure(ctx context.Context, r row, k peer.Kind) (cell, error) {
	c := cell{Proxy: k.Name, Fault: r.fault, Method: r.method, Rate: r.rate, BeforeS: r.before.Seconds(), AfterS: r.after.Seconds()}
	dir, err := os.MkdirTemp("", "bench-failover-")
	if err != nil {
		return c, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	servers, setup, err := b.stage(dir)
	for _, s := range servers {
		defer s.stop()
	}
	if err != nil {
		return c, err
	}
	b.show(r, k, setup)
	proxy, err := k.Start(ctx, setup)
	if err != nil {
		return c, err
	}
	defer proxy.Stop()
	time.Sleep(time.Second) // health checks have seen both origins

	l := &load{addr: setup.Listen, method: r.method, path: r.path, want: small, rate: r.rate, id: k.Name}
	if r.path == "/large" {
		l.want = large
	}
	l.total = int((r.before + r.after).Seconds() * float64(r.rate))
	began := time.Now()
	strike := b.strikeAt(ctx, servers[0], r, began)
	shots := l.run(ctx, began)
	struck := <-strike
	struck.lift()
	if err := cmp.Or(ctx.Err(), struck.err); err != nil {
		return c, err
	}
	time.Sleep(700 * time.Millisecond) // what lay in queues arrives and is counted
	c.judge(shots, struck.at, r)
	return c, c.reconcile(l, shots, servers)
}

// stage starts the two origins. The active one has an address of its own, so
// that its packets can be dropped and no one else's.
func (b *bench) stage(dir string) ([]*server, peer.Setup, error) {
	setup := peer.Setup{Dir: dir, Binaries: b.binaries}
	var servers []*server
	for i, ip := range []string{"127.0.0.2", "127.0.0.3"} {
		addr, err := peer.FreeAddress(ip)
		if err != nil {
			return servers, setup, err
		}
		s, err := startServer(dir, fmt.Sprintf("origin-%d", i), addr)
		if err != nil {
			return servers, setup, err
		}
		servers = append(servers, s)
		setup.Origins = append(setup.Origins, addr)
	}
	var err error
	if setup.Listen, err = peer.FreeAddress("127.0.0.1"); err == nil {
		setup.API, err = peer.FreeAddress("127.0.0.4")
	}
	return servers, setup, err
}

type struck struct {
	at   time.Duration // since the beginning
	lift func()
	err  error
}

// strikeAt has the fault happen on time, and looks soon after that it did.
func (b *bench) strikeAt(ctx context.Context, s *server, r row, began time.Time) <-chan struck {
	done := make(chan struck, 1)
	go func() {
		out := struck{lift: func() {}}
		select {
		case <-ctx.Done():
			out.err = ctx.Err()
		case <-time.After(time.Until(began.Add(r.before))):
			out.at = time.Since(began)
			out.lift, out.err = s.strike(ctx, r.fault)
			if out.err == nil {
				select {
				case <-ctx.Done():
				case <-time.After(r.after / 2):
					out.err = s.prove(r.fault)
				}
			}
		}
		done <- out
	}()
	return done
}

// judge takes the figures from the shots.
func (c *cell) judge(shots []shot, fault time.Duration, r row) {
	var before, took []time.Duration
	c.Causes = map[string]int{}
	for _, s := range shots {
		if s.at+s.took >= fault {
			took = append(took, s.took)
			continue
		}
		before = append(before, s.took)
		if s.fail != "" {
			c.ErrorsBefore++
			c.Causes["before the fault: "+s.fail]++
		}
	}
	base := quantile(before, 0.5)
	last := time.Duration(-1)
	for _, s := range shots {
		if s.at+s.took < fault {
			continue
		}
		if s.fail != "" {
			c.Errors++
			c.Causes[s.fail]++
		}
		if s.cut {
			c.Truncated++
		}
		if s.fail != "" || s.took > base+slack {
			last = max(last, s.at-fault, 0)
		}
	}
	c.Requests = len(took)
	c.BaseMs, c.P999Ms, c.LongestMs = ms(base), ms(quantile(took, 0.999)), ms(quantile(took, 1))
	c.ClearS = max(0, math.Round(last.Seconds()*100)/100)
	c.NeverClear = last > r.after-r.after/10
}

// reconcile compares the ledgers of the origins with what the client was told.
func (c *cell) reconcile(l *load, shots []shot, servers []*server) error {
	if l.method != http.MethodPost {
		return nil
	}
	seen := map[string]int{}
	for _, s := range servers {
		f, err := os.Open(s.ledger)
		if err != nil {
			return err
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			seen[lines.Text()]++
		}
		_ = f.Close()
	}
	if len(seen) == 0 {
		return fmt.Errorf("no POST reached an origin")
	}
	for _, n := range seen {
		if n > 1 {
			c.Duplicates++
		}
	}
	for i, s := range shots {
		if s.fail == "" && seen[l.postID(i)] == 0 {
			c.Lost++
		}
	}
	return nil
}

// quantile gives the smallest value that at least the share q does not exceed.
func quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

func ms(d time.Duration) float64 { return math.Round(d.Seconds()*1e4) / 10 }
