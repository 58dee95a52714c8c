package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// turn is what one proxy did in one turn with one size.
type turn struct {
	Proxy     string  `json:"proxy"`
	Size      string  `json:"size"`
	Round     int     `json:"round"`
	Requests  int     `json:"requests"`
	PerSecond float64 `json:"per_second"`
	CPUMicros float64 `json:"cpu_us_per_request"`
	P99Ms     float64 `json:"p99_ms"`
	Errors    int     `json:"errors"` // anything but 2xx or 3xx, and broken connections
}

var (
	perSecond = regexp.MustCompile(`Requests/sec:\s+([\d.]+)`)
	requests  = regexp.MustCompile(`(\d+) requests in`)
	p99       = regexp.MustCompile(`99%\s+([\d.]+\w+)`)
	statuses  = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	sockets   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

// wrk asks for the path for so long and reads what wrk prints.
func wrk(ctx context.Context, addr, path string, conns int, d time.Duration) (turn, error) {
	out, err := exec.CommandContext(ctx, "wrk", "-t1", "--latency", "-c", strconv.Itoa(conns), "-d", strconv.Itoa(max(1, int(d.Seconds())))+"s", "http://"+addr+path).CombinedOutput()
	if err != nil {
		return turn{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	var t turn
	t.Requests = int(number(requests, out))
	t.PerSecond = number(perSecond, out)
	t.Errors = int(number(statuses, out))
	if m := sockets.FindSubmatch(out); m != nil {
		for _, n := range m[1:] {
			v, _ := strconv.Atoi(string(n))
			t.Errors += v
		}
	}
	if m := p99.FindSubmatch(out); m != nil {
		if d, err := time.ParseDuration(string(m[1])); err == nil {
			t.P99Ms = d.Seconds() * 1000
		}
	}
	if t.Requests == 0 {
		return t, fmt.Errorf("wrk got no answer: %s", out)
	}
	return t, nil
}

func number(re *regexp.Regexp, out []byte) float64 {
	m := re.FindSubmatch(out)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(string(m[1]), 64)
	return v
}
