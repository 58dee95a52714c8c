package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/demo/depot"
	"github.com/sparecloud/spare/internal/demo/group"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/objectload"
	"github.com/sparecloud/spare/internal/demo/proof"
	"github.com/sparecloud/spare/internal/demo/shop"
	"github.com/sparecloud/spare/internal/errs"
)

// play runs a short demo against the stand-in.
func play(t *testing.T, h hooks) *Report {
	t.Helper()
	t.Parallel()
	if h.pace == nil {
		h.pace = &pace{rate: 100, conns: 20, orders: 15, ops: 10, rto: 10 * time.Second, settle: 1500 * time.Millisecond, watch: 2500 * time.Millisecond, calm: 300 * time.Millisecond, steady: 5 * time.Second, sure: time.Second, back: 30 * time.Second}
	}
	var out, log bytes.Buffer
	dir := filepath.Join(t.TempDir(), "demo")
	r, err := Run(context.Background(), Options{JSON: true, Seed: 11, Dir: dir, Stdout: &out, Stderr: &log, hooks: h})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("timeline:\n%s\nreport:\n%s\nlog:\n%s", &log, &out, tail(filepath.Join(dir, "spare.log")))
		}
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.Hint(err))
	}
	var doc Report
	dec := json.NewDecoder(&out)
	if err := dec.Decode(&doc); err != nil || dec.More() {
		t.Errorf("stdout is not one document: %v", err)
	}
	leftovers(t, r.Dir)
	return r
}

// leftovers finds processes that still name the demo's folder.
func leftovers(t *testing.T, dir string) {
	t.Helper()
	for _, p := range group.Children(1) {
		if args := strings.Join(p.Args(), " "); strings.Contains(args, dir) && p.Alive() {
			t.Errorf("process %d is left: %s", p.PID, args)
		}
	}
}

func wantBroken(t *testing.T, r *Report, reason string) {
	t.Helper()
	if r.OK {
		t.Fatal("the demo succeeded")
	}
	if !slices.ContainsFunc(r.Broken, func(s string) bool { return strings.Contains(s, reason) }) {
		t.Errorf("broken: %q; want a reason with %q", r.Broken, reason)
	}
}

func TestAllPromisesKept(t *testing.T) {
	r := play(t, hooks{})
	if !r.OK {
		t.Fatalf("broken: %q", r.Broken)
	}
	if len(r.Faults) != 3 || len(r.Incidents) < 2 || r.Orders.Acknowledged == 0 || r.Orders.Found != r.Orders.Acknowledged {
		t.Errorf("report: %+v", r)
	}
	o := r.Objects
	if o.Acknowledged == 0 || o.Readable != o.Acknowledged || o.Deleted == 0 || o.Receipts != r.Orders.Acknowledged || o.ProviderRequests < uint64(o.Operations) {
		t.Errorf("objects: %+v", o)
	}
	if a, b := r.Faults[0].Site, r.Faults[1].Site; a != "cloud-a" || b == a {
		t.Errorf("killed %s, froze %s; want two different clouds", a, b)
	}
}

// A signal that is never sent, for each kind of fault.
func TestFaultsThatDoNotHappenCannotPass(t *testing.T) {
	reasons := map[proof.Kind]string{
		proof.Kill:        "does not say that process ",
		proof.Stop:        "as stopped throughout",
		proof.KillControl: " is not gone",
	}
	for _, kind := range proof.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			r := play(t, hooks{kinds: []proof.Kind{kind}, inject: func(k proof.Kind, send func() error) error {
				return nil
			}})
			wantBroken(t, r, reasons[kind])
		})
	}
}

func TestAnOrderThatTwoCloudsLostIsMissing(t *testing.T) {
	r := play(t, hooks{kinds: []proof.Kind{}, audit: func(dir string) {
		for _, name := range []string{"cloud-a", "cloud-b"} {
			path := filepath.Join(dir, name, shop.LogName)
			b, _ := os.ReadFile(path)
			i := bytes.IndexByte(b, '\n')
			_ = os.WriteFile(path, b[i+1:], 0o644)
		}
	}})
	wantBroken(t, r, "is on disk at ")
	if r.Orders.Missing == 0 {
		t.Errorf("orders: %+v", r.Orders)
	}
}

// anObject gives the oldest write of the ledger that must still be there: Spare
// is done with it.
func anObject(entries []objectload.Entry) *objectload.Entry {
	m := objectload.Replay(entries)
	for i := range entries {
		if e := &entries[i]; e.Op == objectload.Put && e.Outcome == load.OK && m.Expect(e.Key).SHA256 == e.SHA256 {
			return e
		}
	}
	return nil
}

func TestAnObjectThatTwoCloudsLostIsMissing(t *testing.T) {
	var at string // the demo's folder
	r := play(t, hooks{kinds: []proof.Kind{},
		audit: func(dir string) { at = dir },
		ledger: func(entries []objectload.Entry) []objectload.Entry {
			key := filepath.FromSlash(anObject(entries).Key)
			for _, name := range []string{"cloud-a", "cloud-b"} {
				_ = os.Remove(filepath.Join(at, name, depot.Bucket, key))
				_ = os.RemoveAll(filepath.Join(at, name, depot.Companion, "b", key))
			}
			return entries
		}})
	wantBroken(t, r, "is on disk at 1 clouds")
	if r.Objects.Missing != 1 || r.Objects.Readable != r.Objects.Acknowledged-1 {
		t.Errorf("objects: %+v", r.Objects)
	}
}

// What the ledger says and nobody has, and what somebody has and the ledger
// says is gone.
func TestALedgerOfObjectsThatDoesNotMatchIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func([]objectload.Entry) []objectload.Entry
		reason string
	}{
		"a write that never was": {func(l []objectload.Entry) []objectload.Entry {
			e := *anObject(l)
			e.N, e.Key = e.N+1, "load/00/never"
			return append(l, e)
		}, "acknowledged object load/00/never is on disk at 0 clouds, Spare says: there is no such object and does not list it"},
		"other bytes": {func(l []objectload.Entry) []objectload.Entry {
			anObject(l).SHA256 = strings.Repeat("0", 64)
			return l
		}, "acknowledged objects are missing"},
		"a delete that never was": {func(l []objectload.Entry) []objectload.Entry {
			e := *anObject(l)
			e.N, e.Op = l[len(l)-1].N+1, objectload.Delete
			return append(l, e)
		}, "1 objects showed that were deleted"},
	} {
		t.Run(name, func(t *testing.T) {
			r := play(t, hooks{kinds: []proof.Kind{}, ledger: c.spoil})
			wantBroken(t, r, c.reason)
		})
	}
}

func TestALoadThatSendsNothingProvesNothing(t *testing.T) {
	r := play(t, hooks{load: func(ctx context.Context, _ load.Options, _ *load.Ledger) error { <-ctx.Done(); return nil }})
	wantBroken(t, r, "one cloud serves")
	wantBroken(t, r, "0 requests were sent")
}

func TestInterruptionEndsTheDemoAndLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	dir := filepath.Join(t.TempDir(), "demo")
	h := hooks{
		pace: &pace{rate: 50, conns: 5, ops: 10, rto: time.Second, settle: time.Minute},
		load: func(ctx context.Context, o load.Options, l *load.Ledger) error { cancel(); return load.Run(ctx, o, l) },
	}
	r, err := Run(ctx, Options{Dir: dir, Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, hooks: h})
	if r != nil || !errors.Is(err, context.Canceled) || !errs.Is(err, errs.Unavailable) {
		t.Errorf("got %v, %v", r, err)
	}
	leftovers(t, dir)
}

func TestASpareThatDoesNotStartIsSaidWithItsLog(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	script := filepath.Join(t.TempDir(), "spare")
	text := "#!/bin/sh\n[ \"$1\" = run ] && { echo no such luck; exit 3; }\nexec " + os.Args[0] + " \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Run(context.Background(), Options{Dir: dir, Binary: script, Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}})
	if !errs.Is(err, errs.Unavailable) || !strings.Contains(errs.Hint(err), "no such luck") {
		t.Errorf("got %v, hint %q", err, errs.Hint(err))
	}
	leftovers(t, dir)
}

func TestFolderInUseIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(context.Background(), Options{Dir: dir}); !errs.Is(err, errs.Invalid) {
		t.Errorf("got %v", err)
	}
}
