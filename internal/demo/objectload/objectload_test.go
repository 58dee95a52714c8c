package objectload

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/fileblob"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/s3api"
)

// serve gives a bucket "b" over a folder, as S3 behind wrap.
func serve(t *testing.T, wrap func(http.Handler) http.Handler) Target {
	t.Helper()
	drv, err := fileblob.Open(filepath.Join(t.TempDir(), "b"), fileblob.Options{Make: true})
	if err != nil {
		t.Fatal(err)
	}
	api := s3api.New(s3api.Options{Log: slog.New(slog.DiscardHandler)})
	api.Swap(&s3api.Table{Buckets: map[string]s3api.Store{"b": blob.New("b", drv)},
		Credentials: []s3api.Credential{{AccessKey: "me", SecretKey: "12345678", Rights: s3api.Write}}})
	var h http.Handler = api
	if wrap != nil {
		h = wrap(api)
	}
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.Close(); _ = drv.Close() })
	return Target{Addr: s.Listener.Addr().String(), Bucket: "b", Keys: Keys{"me", "12345678"}, Timeout: 5 * time.Second}
}

// runFor gives the ledger of a load, whose receipts are of the orders named.
func runFor(t *testing.T, d time.Duration, target Target, orders ...string) ([]Entry, *bytes.Buffer) {
	t.Helper()
	var file bytes.Buffer
	led := NewLedger(&file)
	l := New(Options{Target: target, Rate: 200, Workers: 4, Seed: 7}, led)
	for _, id := range orders {
		l.Archive(load.Entry{ID: id, Item: 1, Qty: 2, Due: time.Now(), Cloud: "cloud-a"})
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return led.Entries(), &file
}

func TestEveryOperationIsInTheLedgerAndRight(t *testing.T) {
	target := serve(t, nil)
	entries, file := runFor(t, 1500*time.Millisecond, target, "o1", "o2")
	ops, receipts := map[Op]int{}, 0
	for i, e := range entries {
		ops[e.Op]++
		if strings.HasPrefix(e.Key, ReceiptPrefix) {
			receipts++
		}
		if e.N != i+1 || e.Outcome != load.OK || len(e.Wrong) > 0 || e.Due.IsZero() || e.Began.Before(e.Due) {
			t.Fatalf("entry %d: %+v", i, e)
		}
	}
	if ops[Put] == 0 || ops[Get] == 0 || ops[Delete] == 0 || ops[List] == 0 || receipts != 2 {
		t.Errorf("mix: %v, %d receipts", ops, receipts)
	}
	var again []Entry
	for s := bufio.NewScanner(file); s.Scan(); {
		var e Entry
		if err := json.Unmarshal(s.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		again = append(again, e)
	}
	slices.SortFunc(again, func(a, b Entry) int { return a.N - b.N })
	if d := cmp.Diff(Replay(entries).Keys(), Replay(again).Keys()); d != "" {
		t.Errorf("the file says something else: %s", d)
	}
	// What the ledger says is what is there.
	c, m := NewClient(target), Replay(entries)
	defer c.Close()
	for _, key := range m.Keys() {
		if e := c.Get(key); e.Outcome != load.OK || e.SHA256 != m.Expect(key).SHA256 {
			t.Errorf("%s: %+v", key, e)
		}
	}
}

func TestReceiptsThatAreLeftAtTheEndAreArchived(t *testing.T) {
	var ids []string
	for i := range 400 {
		ids = append(ids, fmt.Sprint("o", i))
	}
	entries, _ := runFor(t, 20*time.Millisecond, serve(t, nil), ids...)
	m := Replay(entries)
	for _, id := range ids {
		if m.Expect(ReceiptPrefix+id).SHA256 == "" {
			t.Fatalf("order %s has no receipt", id)
		}
	}
}

func TestListingsGoOnOverPages(t *testing.T) {
	target := serve(t, nil)
	c := NewClient(target)
	defer c.Close()
	for _, key := range []string{"p/a", "p/b", "p/c", "q"} {
		if e := c.Put(key, []byte(key)); e.Outcome != load.OK {
			t.Fatalf("%+v", e)
		}
	}
	one := serve(t, func(http.Handler) http.Handler { // one key a page
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			key := map[string]string{"": "p/a", "1": "p/b", "2": "p/c"}[r.URL.Query().Get("continuation-token")]
			next := map[string]string{"p/a": "1", "p/b": "2"}[key]
			_, _ = io.WriteString(w, "<ListBucketResult><IsTruncated>"+map[bool]string{true: "true", false: "false"}[next != ""]+"</IsTruncated><NextContinuationToken>"+next+
				"</NextContinuationToken><Contents><Key>"+key+"</Key></Contents></ListBucketResult>")
		})
	})
	for _, to := range []Target{target, one} {
		c := NewClient(to)
		if e := c.List("p/"); e.Outcome != load.OK || !slices.Equal(e.Listed, []string{"p/a", "p/b", "p/c"}) {
			t.Errorf("%+v", e)
		}
		c.Close()
	}
}

// A server that forgets, or remembers what was deleted, is caught as it goes.
func TestWhatDoesNotMatchIsNotedAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		swallow string // method that is answered and not done
		want    Fault
	}{
		"writes that are swallowed":  {http.MethodPut, Stale},
		"deletes that are swallowed": {http.MethodDelete, Resurrected},
	} {
		entries, _ := runFor(t, 800*time.Millisecond, serve(t, func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != c.swallow {
					h.ServeHTTP(w, r)
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
			})
		}))
		found := map[Fault]bool{}
		for _, e := range entries {
			for _, w := range e.Wrong {
				found[w.Fault] = true
			}
		}
		if !found[c.want] {
			t.Errorf("%s: %v", name, found)
		}
	}
}

func TestOutcomeOfOperations(t *testing.T) {
	for _, c := range []struct {
		name string
		op   Op
		h    http.HandlerFunc
		want load.Outcome
	}{
		{"stored", Put, func(http.ResponseWriter, *http.Request) {}, load.OK},
		{"deleted", Delete, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, load.OK},
		{"refused", Put, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, load.Failed},
		{"not known", Put, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Spare-May-Have-Applied", "true")
			w.WriteHeader(503)
		}, load.MaybeApplied},
		{"no answer to a write", Delete, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, load.MaybeApplied},
		{"no answer to a read", Get, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, load.Failed},
		{"half an answer", Get, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "12345")
		}, load.Failed},
		{"none there", Get, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
		}, load.OK},
		{"not even a bucket", Get, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			_, _ = io.WriteString(w, "<Error><Code>NoSuchBucket</Code></Error>")
		}, load.Failed},
		{"no listing", List, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, load.Failed},
	} {
		c2 := NewClient(serve(t, func(http.Handler) http.Handler { return c.h }))
		e := map[Op]func() Entry{Put: func() Entry { return c2.Put("k", []byte("x")) }, Get: func() Entry { return c2.Get("k") },
			Delete: func() Entry { return c2.Delete("k") }, List: func() Entry { return c2.List("") }}[c.op]()
		if e.Outcome != c.want {
			t.Errorf("%s: %+v", c.name, e)
		}
		c2.Close()
	}
	nobody := NewClient(Target{Addr: "127.0.0.1:1", Bucket: "b"})
	if e := nobody.Put("k", nil); e.Outcome != load.Failed {
		t.Errorf("never connected: %+v", e)
	}
}

// A stall is felt by all operations that were due in it, of every worker.
func TestLatencyCountsFromWhenAnOperationWasDue(t *testing.T) {
	var stall sync.Once
	var gate sync.RWMutex
	entries, _ := runFor(t, 700*time.Millisecond, serve(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stall.Do(func() { gate.Lock(); time.AfterFunc(400*time.Millisecond, gate.Unlock) })
			gate.RLock()
			defer gate.RUnlock()
			h.ServeHTTP(w, r)
		})
	}))
	slow := 0
	for _, e := range entries {
		if e.MS > 100 {
			slow++
		}
	}
	if slow < 30 { // 200 a second were due in the 300 ms that are felt, 4 had a connection
		t.Errorf("%d of %d were slow", slow, len(entries))
	}
}

func TestSameSeedSameContent(t *testing.T) {
	if !bytes.Equal(content(1, "k", 2, 1000), content(1, "k", 2, 1000)) {
		t.Error("the same write has other bytes")
	}
	seen := map[string]bool{}
	all := [][]byte{content(1, "k", 2, 64), content(2, "k", 2, 64), content(1, "l", 2, 64)}
	for version := range 256 {
		all = append(all, content(1, "k", version, 1))
	}
	for _, c := range all {
		if seen[string(c)] {
			t.Error("two writes have the same bytes")
		}
		seen[string(c)] = true
	}
}

func TestMeterShowsTheLastSecond(t *testing.T) {
	now := time.Now()
	led := NewLedger(io.Discard)
	for range 10 {
		led.add(Entry{Due: now.Add(-10 * time.Second), Outcome: load.Failed})
	}
	for range 20 {
		led.add(Entry{Due: now.Add(-time.Second / 2), Outcome: load.OK})
	}
	led.add(Entry{Due: now.Add(-time.Second / 2), Outcome: load.OK, Wrong: []Wrong{{"a", Stale}}})
	if d := cmp.Diff(Meter{Done: 31, Failed: 11, PerSecond: 21}, led.Meter(now)); d != "" {
		t.Error(d)
	}
}

func TestOptionsThatDoNothingAreRefused(t *testing.T) {
	if err := New(Options{}, NewLedger(io.Discard)).Run(t.Context()); err == nil {
		t.Error("a load of nothing is accepted")
	}
}
