package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestJudgeCountsWhatTheFaultTouched(t *testing.T) {
	const fault = 2 * time.Second
	var shots []shot
	for at := time.Duration(0); at < 10*time.Second; at += 10 * time.Millisecond {
		shots = append(shots, shot{at: at, took: 20 * time.Millisecond})
	}
	shots[10].fail = "before"                                       // answered long before the fault
	shots[199].fail, shots[199].cut = "body cut: closed", true      // under way at the fault
	shots[230].took = 300 * time.Millisecond                        // slow, 0.3 s after it
	shots[300].took = 20*time.Millisecond + slack - time.Nanosecond // not slow enough to matter
	var c cell
	c.judge(shots, fault, row{after: 8 * time.Second})
	if c.ErrorsBefore != 1 || c.Errors != 1 || c.Truncated != 1 || c.Requests != 802 {
		t.Errorf("%d errors before, %d errors, %d truncated of %d; want 1, 1, 1 of 802", c.ErrorsBefore, c.Errors, c.Truncated, c.Requests)
	}
	if c.BaseMs != 20 || c.LongestMs != 300 || c.ClearS != 0.3 || c.NeverClear {
		t.Errorf("base %v ms, longest %v ms, clear after %v s (never: %t); want 20, 300, 0.3", c.BaseMs, c.LongestMs, c.ClearS, c.NeverClear)
	}
	shots[999].fail = "last"
	c = cell{}
	if c.judge(shots, fault, row{after: 8 * time.Second}); !c.NeverClear {
		t.Error("an error at the end of the run counts as clear")
	}
}

func TestReconcileFindsWhatArrivedTwiceAndWhatIsLost(t *testing.T) {
	dir := t.TempDir()
	ledger := func(name, text string) *server {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return &server{ledger: path}
	}
	servers := []*server{ledger("a", "x-0\nx-1\n"), ledger("b", "x-1\nx-2\n")}
	shots := []shot{{}, {}, {fail: "status 502"}, {}, {fail: "status 502"}} // 3 was acknowledged and is nowhere
	var c cell
	if err := c.reconcile(&load{method: "POST", id: "x"}, shots, servers); err != nil {
		t.Fatal(err)
	}
	if c.Duplicates != 1 || c.Lost != 1 {
		t.Errorf("%d twice, %d lost; want 1, 1", c.Duplicates, c.Lost)
	}
}

func TestClientSeesWhatIsWrongWithAnAnswer(t *testing.T) {
	wrong := []byte(strings.Repeat("x", smallSize))
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		cut    bool
		fail   string
	}{
		"whole":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(small) }, false, ""},
		"other bytes":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(wrong) }, false, "body wrong"},
		"short":        {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(small[:100]) }, true, "body cut: short"},
		"broken off":   {broken, true, "body cut: closed"},
		"status":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, false, "status 502"},
		"hangs up":     {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, "no answer: closed"},
		"hangs up now": {nil, false, "connect: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &load{method: "GET", path: "/", want: small, rate: 1000, total: 5}
			if c.answer == nil {
				ln, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				l.addr = ln.Addr().String()
				_ = ln.Close()
			} else {
				srv := httptest.NewServer(c.answer)
				defer srv.Close()
				l.addr = srv.Listener.Addr().String()
			}
			for i, s := range l.run(context.Background(), time.Now()) {
				if s.cut != c.cut || s.fail != c.fail {
					t.Errorf("request %d: cut %t, %q; want %t, %q", i, s.cut, s.fail, c.cut, c.fail)
				}
			}
		})
	}
}

// broken declares more than it sends.
func broken(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(smallSize))
	_, _ = w.Write(small[:500])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func TestReportNamesWhereSpareIsNotBest(t *testing.T) {
	r := report{Cells: []cell{
		{Proxy: "spare", Fault: faultKill, Method: "GET", Errors: 1, P999Ms: 100},
		{Proxy: "nginx", Fault: faultKill, Method: "GET", P999Ms: 95},
		{Proxy: "spare", Fault: faultKill, Method: "POST", Errors: 24},
		{Proxy: "nginx", Fault: faultKill, Method: "POST", Errors: 20},
	}}
	got := r.worse()
	if len(got) != 1 || !strings.Contains(got[0], "errors 1 against 0") || strings.Contains(got[0], "p99.9") {
		t.Errorf("got %q; want the one error of the GETs alone", got)
	}
}
