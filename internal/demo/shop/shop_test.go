package shop

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// shops is a few clouds in this process.
type shops struct {
	t    *testing.T
	opts map[string]Options
	stop map[string]func()
}

func open(t *testing.T, names ...string) *shops {
	s := &shops{t: t, opts: map[string]Options{}, stop: map[string]func(){}}
	inside := map[string]string{}
	for _, n := range names {
		inside[n] = free(t)
	}
	for _, n := range names {
		peers := map[string]string{}
		for p, addr := range inside {
			if p != n {
				peers[p] = addr
			}
		}
		s.opts[n] = Options{Name: n, Front: free(t), Inside: inside[n], Peers: peers, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	}
	return s
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.5:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (s *shops) start(name string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, s.opts[name]) }()
	s.stop[name] = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
	})
	s.t.Cleanup(s.stop[name])
	await(s.t, name+" healthy", func() bool { code, _, _ := s.call(name, "GET", "/healthz", ""); return code == 200 })
}

func (s *shops) call(name, method, path, body string) (int, string, http.Header) {
	req, _ := http.NewRequest(method, "http://"+s.opts[name].Front+path, strings.NewReader(body))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer func() { _ = res.Body.Close() }()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(b), res.Header
}

func (s *shops) want(status int, name, method, path, body string) {
	s.t.Helper()
	if code, text, _ := s.call(name, method, path, body); code != status {
		s.t.Fatalf("%s %s at %s: %d %s; want %d", method, path, name, code, text, status)
	}
}

func (s *shops) logged(name, id string) (lines []string) {
	recs, err := ReadLog(s.opts[name].Dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range recs {
		if r.ID == id {
			lines = append(lines, r.Via)
		}
	}
	return lines
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 2000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestAcknowledgedOrderIsOnDiskOfTwoClouds(t *testing.T) {
	s := open(t, "a", "b", "c")
	s.start("a")
	s.start("b")
	s.start("c")
	s.want(201, "a", "POST", "/orders", `{"id":"o1","item":3,"qty":2}`)
	if got := len(s.logged("a", "o1")) + len(s.logged("b", "o1")) + len(s.logged("c", "o1")); got < 2 {
		t.Fatalf("acknowledged with %d copies on disk", got)
	}
	await(t, "third copy", func() bool { return len(s.logged("b", "o1")) == 1 && len(s.logged("c", "o1")) == 1 })
	s.want(200, "c", "GET", "/orders/o1", "")
	s.want(404, "c", "GET", "/orders/nope", "")
}

func TestOrderWithoutASecondCloudIsUnknownNotAcknowledged(t *testing.T) {
	s := open(t, "a", "b", "c")
	s.start("a")
	code, _, head := s.call("a", "POST", "/orders", `{"id":"o1","item":3,"qty":2}`)
	if code != 503 || head.Get(OutcomeHeader) != "unknown" {
		t.Fatalf("got %d, outcome %q; want 503, unknown", code, head.Get(OutcomeHeader))
	}
	s.want(503, "a", "GET", "/orders/other", "") // b or c may have it
	s.want(200, "a", "GET", "/orders/o1", "")
}

func TestSameOrderTwiceIsOneOrderAndTwoArrivals(t *testing.T) {
	s := open(t, "a", "b")
	s.start("a")
	s.start("b")
	s.want(201, "a", "POST", "/orders", `{"id":"o1","item":3,"qty":2}`)
	s.want(200, "a", "POST", "/orders", `{"id":"o1","item":3,"qty":2}`)
	s.want(409, "b", "POST", "/orders", `{"id":"o1","item":4,"qty":2}`)
	if d := cmp.Diff([]string{ViaFront, ViaFront}, s.logged("a", "o1")); d != "" {
		t.Error(d)
	}
}

func TestBadOrdersAreRefused(t *testing.T) {
	s := open(t, "a")
	s.start("a")
	for _, body := range []string{"", "{", `{"id":"","item":1,"qty":1}`, `{"id":"a/b","item":1,"qty":1}`,
		`{"id":"a","item":0,"qty":1}`, `{"id":"a","item":99999,"qty":1}`, `{"id":"a","item":1,"qty":0}`,
		`{"id":"` + strings.Repeat("x", 9000) + `","item":1,"qty":1}`} {
		s.want(400, "a", "POST", "/orders", body)
	}
}

func TestRestartedCloudCatchesUpBeforeItIsHealthy(t *testing.T) {
	s := open(t, "a", "b", "c")
	s.start("a")
	s.start("b")
	s.start("c")
	s.stop["a"]()
	for i := range 50 {
		s.want(201, "b", "POST", "/orders", fmt.Sprintf(`{"id":"o%d","item":1,"qty":1}`, i))
	}
	s.start("a") // returns when a is healthy
	for i := range 50 {
		if len(s.logged("a", fmt.Sprintf("o%d", i))) != 1 {
			t.Fatalf("a is healthy and lacks order o%d", i)
		}
	}
}

func TestTornLastLineIsCutOffAndTheLogGoesOn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, LogName)
	whole := `{"id":"o1","item":1,"qty":1,"via":"front"}` + "\n"
	if err := os.WriteFile(path, []byte(whole+`{"id":"o2-that-is-longer-than-the-next","item":1,"qt`), 0o644); err != nil {
		t.Fatal(err)
	}
	if recs, err := ReadLog(dir); err != nil || len(recs) != 1 {
		t.Fatalf("from outside: %v, %v; want one record", recs, err)
	}
	l, err := OpenLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Append(Record{Order{"o3", 1, 1}, ViaPeer}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(Record{Order{"o4", 1, 1}, ViaPeer}); err == nil {
		t.Error("a closed log takes orders")
	}
	b, _ := os.ReadFile(path)
	if d := cmp.Diff(whole+`{"id":"o3","item":1,"qty":1,"via":"peer"}`+"\n", string(b)); d != "" {
		t.Error(d)
	}
}

func TestDamageInTheMiddleOfALogIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, LogName), []byte("{\"id\":\"o1\"}\n????\n{\"id\":\"o2\"}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLog(dir); err == nil || !strings.Contains(err.Error(), ":2:") {
		t.Errorf("got %v; want an error that names line 2", err)
	}
	if _, err := OpenLog(dir); err == nil {
		t.Error("a damaged log opens")
	}
}

func TestConcurrentAppendsAreAllOnDisk(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := l.Append(Record{Order{fmt.Sprint("o", i%100), 1, 1}, ViaPeer}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if recs, err := ReadLog(dir); err != nil || len(recs) != 100 {
		t.Errorf("%d records, %v; want each of 100 once", len(recs), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestPagesAreTheSameAtEveryCloudAndResumable(t *testing.T) {
	s := open(t, "a", "b")
	s.start("a")
	s.start("b")
	for _, p := range []Page{Pages()[0], Pages()[1], Pages()[len(Pages())-1]} {
		_, atA, headA := s.call("a", "GET", p.Path, "")
		_, atB, headB := s.call("b", "GET", p.Path, "")
		sum := sha256.Sum256([]byte(atA))
		if atA != atB || hex.EncodeToString(sum[:]) != p.Digest() || headA.Get("ETag") != headB.Get("ETag") {
			t.Errorf("%s differs between clouds", p.Path)
		}
		if e := headA.Get("ETag"); !strings.HasPrefix(e, `"`) || headA.Get("Accept-Ranges") != "bytes" {
			t.Errorf("%s cannot be resumed: ETag %s, Accept-Ranges %s", p.Path, e, headA.Get("Accept-Ranges"))
		}
	}
	cat := Pages()[len(Pages())-1]
	req, _ := http.NewRequest("GET", "http://"+s.opts["b"].Front+cat.Path, nil)
	req.Header.Set("Range", "bytes=500000-")
	req.Header.Set("If-Range", `"`+cat.Digest()[:16]+`"`)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	rest, _ := io.ReadAll(res.Body)
	if res.StatusCode != 206 || !bytes.Equal(rest, cat.Body[500000:]) {
		t.Errorf("range: %s, %d bytes", res.Status, len(rest))
	}
}

func TestStatsCountCustomersNotHealthChecks(t *testing.T) {
	s := open(t, "a", "b")
	s.start("a")
	s.start("b")
	s.want(200, "a", "GET", "/", "")
	s.want(200, "a", "GET", "/healthz", "")
	res, err := http.Get("http://" + s.opts["a"].Inside + "/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var st Stats
	if err := json.NewDecoder(res.Body).Decode(&st); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Stats{Name: "a", Served: 1, Ready: true}, st); d != "" {
		t.Error(d)
	}
}

func TestPortThatIsTakenIsSaid(t *testing.T) {
	s := open(t, "a", "b")
	s.start("a")
	o := s.opts["b"]
	o.Front = s.opts["a"].Front
	if err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}
