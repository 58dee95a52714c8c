package load

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/demo/wire"
)

const body = "hello, customer"

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func options(addr string) Options {
	return Options{Addr: addr, Rate: 400, Conns: 8, Seed: 7, Items: 10, Timeout: time.Second,
		Pages: []Page{{"/", hash(body)}, {"/p", hash(body)}}, Downloads: []Page{{"/d", hash(body)}}}
}

// shop answers every request as it should be.
func shop(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Shop-Cloud", "cloud-a")
	if r.Method == http.MethodPost {
		w.WriteHeader(http.StatusCreated)
	}
	_, _ = io.WriteString(w, body)
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func runFor(t *testing.T, d time.Duration, o Options) []Entry {
	t.Helper()
	led := NewLedger(io.Discard)
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if err := Run(ctx, o, led); err != nil {
		t.Fatal(err)
	}
	if len(led.Entries()) == 0 {
		t.Fatal("nothing was sent")
	}
	return led.Entries()
}

func TestEveryRequestIsInTheLedgerOnce(t *testing.T) {
	var served atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { served.Add(1); shop(w, r) })
	var file bytes.Buffer
	led := NewLedger(&file)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := Run(ctx, options(addr), led); err != nil {
		t.Fatal(err)
	}
	entries := led.Entries()
	if int64(len(entries)) != served.Load() {
		t.Errorf("%d entries, %d requests arrived", len(entries), served.Load())
	}
	kinds := map[Kind]int{}
	for i, e := range entries {
		kinds[e.Kind]++
		if e.N != i+1 || e.Outcome != OK || e.Cloud != "cloud-a" {
			t.Fatalf("entry %d: %+v", i, e)
		}
	}
	if kinds[KindOrder] == 0 || kinds[KindDownload] == 0 || kinds[KindPage] < 2*kinds[KindOrder] {
		t.Errorf("mix: %v", kinds)
	}
	lines := 0
	for s := bufio.NewScanner(&file); s.Scan(); lines++ {
		var e Entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
	}
	if lines != len(entries) {
		t.Errorf("the file has %d lines for %d entries", lines, len(entries))
	}
}

func TestAcknowledgedOrdersAreToldAndNoOthers(t *testing.T) {
	var n atomic.Int64
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && n.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		shop(w, r)
	})
	var mu sync.Mutex
	told := map[string]bool{}
	o := options(addr)
	o.Orders = 2
	o.Acknowledged = func(e Entry) {
		mu.Lock()
		defer mu.Unlock()
		told[e.ID] = true
	}
	want, orders := map[string]bool{}, 0
	entries := runFor(t, 500*time.Millisecond, o)
	for _, e := range entries {
		if e.Kind == KindOrder {
			orders++
			if e.Outcome == OK {
				want[e.ID] = true
			}
		}
	}
	if d := cmp.Diff(want, told); d != "" || len(want) == orders {
		t.Errorf("%d of %d orders acknowledged: %s", len(want), orders, d)
	}
	if 10*orders < 4*len(entries) {
		t.Errorf("%d of %d requests are orders, want one in two", orders, len(entries))
	}
}

func TestSameSeedSameRequests(t *testing.T) {
	addr := serve(t, shop)
	plan := func(seed uint64) (out []string) {
		o := options(addr)
		o.Seed = seed
		for _, e := range runFor(t, 300*time.Millisecond, o)[:50] {
			out = append(out, string(e.Kind)+e.Path+e.ID)
		}
		return out
	}
	if d := cmp.Diff(plan(7), plan(7)); d != "" {
		t.Error(d)
	}
	if cmp.Equal(plan(7), plan(8)) {
		t.Error("another seed gives the same requests")
	}
}

// A server that stands still for a while is felt by all who were due in that
// time, not just by those who had a connection.
func TestLatencyCountsFromWhenARequestWasDue(t *testing.T) {
	var mu sync.Mutex
	var once sync.Once
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { mu.Lock(); time.AfterFunc(300*time.Millisecond, mu.Unlock) })
		mu.Lock()
		mu.Unlock() //nolint:staticcheck // waits for the stall to end
		shop(w, r)
	})
	slow := 0
	for _, e := range runFor(t, 700*time.Millisecond, options(addr)) {
		if e.MS > 100 {
			slow++
		}
	}
	// 400 a second were due in the 200 ms that are felt; 8 had a connection.
	if slow < 40 {
		t.Errorf("%d slow requests; want those due during the stall", slow)
	}
}

func TestWrongBytesAreAFailure(t *testing.T) {
	addr := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello, Customer") })
	for _, e := range runFor(t, 200*time.Millisecond, options(addr)) {
		if e.Kind != KindOrder && (e.Outcome != Failed || e.BodyOK) {
			t.Fatalf("entry %+v", e)
		}
	}
}

// net/http's client would send these GETs again and nobody would know.
func TestABrokenConnectionIsNotPaperedOver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // one good answer, then it hangs up on the next request
				r := bufio.NewReader(c)
				if _, err := http.ReadRequest(r); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n"+body)
					_, _ = http.ReadRequest(r)
				}
				_ = c.Close()
			}()
		}
	}()
	n := map[Outcome]int{}
	for _, e := range runFor(t, 300*time.Millisecond, options(l.Addr().String())) {
		n[e.Outcome]++
		if e.Outcome == MaybeApplied && e.Kind != KindOrder {
			t.Errorf("a read is %s", e.Outcome)
		}
	}
	if n[Failed] == 0 || n[MaybeApplied] == 0 || n[OK] == 0 {
		t.Errorf("outcomes: %v; want all three", n)
	}
}

func TestNobodyThereFailsEverythingAndEnds(t *testing.T) {
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	_ = l.Close()
	for _, e := range runFor(t, 200*time.Millisecond, options(l.Addr().String())) {
		if e.Outcome != Failed || !strings.Contains(e.Error, "connect") {
			t.Fatalf("entry %+v", e)
		}
	}
}

func TestAServerThatNeverAnswersDoesNotHoldTheRunUp(t *testing.T) {
	held := make(chan struct{})
	addr := serve(t, func(http.ResponseWriter, *http.Request) { <-held })
	defer close(held)
	o := options(addr)
	o.Rate, o.Timeout = 4000, 200*time.Millisecond
	begin := time.Now()
	entries := runFor(t, 300*time.Millisecond, o)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if len(entries) < 600 { // also those that never had a connection
		t.Errorf("%d entries", len(entries))
	}
}

func TestOutcomeOfOrders(t *testing.T) {
	broken := errors.New("connection reset")
	for _, c := range []struct {
		name   string
		status int
		header http.Header
		sent   bool
		err    error
		want   Outcome
	}{
		{"acknowledged", 201, nil, true, nil, OK},
		{"known already", 200, nil, true, nil, OK},
		{"acknowledged, body lost", 201, nil, true, broken, OK},
		{"never connected", 0, nil, false, broken, Failed},
		{"broken after sending", 0, nil, true, broken, MaybeApplied},
		{"the proxy does not know", 502, http.Header{"Spare-Maybe-Applied": {"true"}}, true, nil, MaybeApplied},
		{"the proxy knows that not", 502, http.Header{"Spare-Maybe-Applied": {"false"}}, true, nil, Failed},
		{"the proxy says nothing", 502, http.Header{}, true, nil, Failed},
		{"the shop does not know", 503, http.Header{"Shop-Outcome": {"unknown"}}, true, nil, MaybeApplied},
		{"refused", 400, http.Header{}, true, nil, Failed},
	} {
		got := outcome(Entry{Kind: KindOrder, Status: c.status, Maybe: c.header.Get("Spare-Maybe-Applied")},
			answer{Answer: wire.Answer{Sent: c.sent, Status: c.status, Header: c.header, Err: c.err}})
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestMeterShowsTheLastSecond(t *testing.T) {
	now := time.Now()
	led := NewLedger(io.Discard)
	for i := range 100 {
		led.began()
		led.add(Entry{Due: now.Add(-10 * time.Second), MS: 900, Cloud: "old", Outcome: Failed})
		led.began()
		led.add(Entry{Due: now.Add(-500 * time.Millisecond), MS: float64(i), Cloud: "new", Outcome: OK})
	}
	led.began()
	want := Meter{Sent: 200, Failed: 100, Waiting: 1, PerSecond: 100, P99MS: 99, Cloud: "new", Share: 1}
	if d := cmp.Diff(want, led.Meter(now)); d != "" {
		t.Error(d)
	}
}

func TestOptionsThatSendNothingAreRefused(t *testing.T) {
	if err := Run(context.Background(), Options{Addr: "127.0.0.1:1"}, NewLedger(io.Discard)); err == nil {
		t.Error("a load of nothing is accepted")
	}
}
