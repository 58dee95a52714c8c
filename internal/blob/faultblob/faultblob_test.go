package faultblob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/drivertest"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

func TestConformanceWithoutFaults(t *testing.T) {
	drivertest.Run(t, func(*testing.T) drivertest.Harness {
		open := func() *Driver { return Wrap(memblob.Open(memblob.Options{Versioned: true, Tags: blob.ClassUnique})) }
		return drivertest.Harness{Driver: open(), Other: open(), Class: blob.ClassUnique, Versions: true, Modified: true}
	})
}

func inject(t *testing.T, d *Driver, f Fault) *Injected {
	t.Helper()
	i, err := d.Inject(f)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func put(ctx context.Context, d blob.Driver, key, body string) error {
	_, err := d.Put(ctx, key, strings.NewReader(body), int64(len(body)), blob.PutOptions{})
	return err
}

func mustPut(t *testing.T, d blob.Driver, key, body string) {
	t.Helper()
	if err := put(t.Context(), d, key, body); err != nil {
		t.Fatal(err)
	}
}

// content gives what is under a key, "" for nothing.
func content(t *testing.T, d blob.Driver, key string) string {
	t.Helper()
	r, err := d.Get(t.Context(), key, blob.GetOptions{})
	if errs.Is(err, errs.NotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestFaultsTellWhatTheirCallerMayKnow is the package's promise: for each
// fault, what a write and a read are told, and what has happened.
func TestFaultsTellWhatTheirCallerMayKnow(t *testing.T) {
	for kind, want := range map[Kind]struct {
		of      errs.Kind
		is      error
		maybe   bool   // the write was told that it may have been applied
		drained bool   // its body was read
		after   string // what is there
		reads   bool   // reading passes
	}{
		Down:     {of: errs.Unavailable, after: "old"},
		Error:    {of: errs.Unavailable, maybe: true, drained: true, after: "old"},
		Lost:     {of: errs.Unavailable, maybe: true, drained: true, after: "new"},
		Late:     {of: errs.Unavailable, maybe: true, drained: true, after: "old", reads: true},
		Full:     {of: errs.Unavailable, is: blob.ErrFull, drained: true, after: "old", reads: true},
		Denied:   {of: errs.Denied, after: "old"},
		NoBucket: {of: errs.Unavailable, is: blob.ErrNoBucket, after: "old"},
		Skew:     {of: errs.Denied, is: blob.ErrSkew, after: "old"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			below := memblob.Open(memblob.Options{})
			mustPut(t, below, "k", "old")
			d := Wrap(below)
			defer func() { _ = d.Close() }() // it has no error: see below
			f := Fault{Kind: kind}
			if kind == Late {
				f.Delay = time.Hour
			}
			i := inject(t, d, f)
			body := strings.NewReader("new")
			_, err := blob.New("b", d).Put(t.Context(), "k", body, 3, blob.PutOptions{})
			if !errs.Is(err, want.of) || want.is != nil && !errors.Is(err, want.is) || errs.IsMaybeApplied(err) != want.maybe {
				t.Errorf("put: got %v (kind %s, maybe applied %v)", err, errs.KindOf(err), errs.IsMaybeApplied(err))
			}
			if drained := body.Len() == 0; drained != want.drained {
				t.Errorf("the body was read: %v, want %v", drained, want.drained)
			}
			if got := content(t, below, "k"); got != want.after {
				t.Errorf("there is %q, want %q", got, want.after)
			}
			for name, read := range map[string]func() error{
				"head": func() error { _, err := d.Head(t.Context(), "k"); return err },
				"get":  func() error { _, err := d.Get(t.Context(), "k", blob.GetOptions{}); return err },
				"list": func() error { _, err := d.List(t.Context(), blob.ListOptions{}); return err },
			} {
				err := read()
				if want.reads && err != nil || !want.reads && (!errs.Is(err, want.of) || errs.IsMaybeApplied(err)) {
					t.Errorf("%s: got %v", name, err)
				}
			}
			if n := i.Hits(); want.reads && n != 1 || !want.reads && n != 4 {
				t.Errorf("the fault met %d calls", n)
			}
			i.Clear()
			if err := put(t.Context(), d, "k", "newer"); err != nil || content(t, d, "k") != "newer" {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}

func TestEveryMutationIsMarkedAndDoneWhenItsAnswerIsLost(t *testing.T) {
	for name, call := range map[string]func(d *Driver) error{
		"put":    func(d *Driver) error { return put(t.Context(), d, "new", "x") },
		"copy":   func(d *Driver) error { _, err := d.Copy(t.Context(), "new", d, "k", blob.CopyOptions{}); return err },
		"delete": func(d *Driver) error { return d.Delete(t.Context(), "k", blob.DeleteOptions{}) },
		"create upload": func(d *Driver) error {
			_, err := d.CreateUpload(t.Context(), "k", blob.PutOptions{})
			return err
		},
		"upload part": func(d *Driver) error {
			_, err := d.UploadPart(t.Context(), "k", "u00000001", 2, strings.NewReader("y"), 1)
			return err
		},
		"complete upload": func(d *Driver) error {
			_, err := d.CompleteUpload(t.Context(), "k", "u00000001", []blob.Part{{Number: 1, ETag: "9dd4e461268c8034f5c8564e155c67a6"}}, blob.Condition{})
			return err
		},
		"abort upload": func(d *Driver) error { return d.AbortUpload(t.Context(), "k", "u00000001") },
	} {
		t.Run(name, func(t *testing.T) {
			below := memblob.Open(memblob.Options{})
			id, err := below.CreateUpload(t.Context(), "k", blob.PutOptions{})
			if err != nil || id != "u00000001" {
				t.Fatal(id, err)
			}
			if _, err := below.UploadPart(t.Context(), "k", id, 1, strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
			mustPut(t, below, "k", "old")
			d := Wrap(below)
			before := fmt.Sprint(state(t, below))
			inject(t, d, Fault{Kind: Lost})
			if err := call(d); !errs.Is(err, errs.Unavailable) || !errs.IsMaybeApplied(err) {
				t.Errorf("got %v", err)
			}
			if after := fmt.Sprint(state(t, below)); after == before {
				t.Errorf("nothing has happened: %s", after)
			}
		})
	}
}

// state is what a bucket shows.
func state(t *testing.T, d blob.Driver) []any {
	t.Helper()
	p, err := d.List(t.Context(), blob.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	uploads, err := d.ListUploads(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	all := []any{p, uploads}
	for _, u := range uploads {
		parts, _, err := d.ListParts(t.Context(), u.Key, u.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parts)
	}
	return all
}

func TestALostAnswerHidesAConflictToo(t *testing.T) {
	d := Wrap(memblob.Open(memblob.Options{}))
	mustPut(t, d, "k", "old")
	inject(t, d, Fault{Kind: Lost})
	_, err := d.Put(t.Context(), "k", strings.NewReader("x"), 1, blob.PutOptions{If: blob.Condition{Absent: true}})
	if !errs.Is(err, errs.Unavailable) || !errs.IsMaybeApplied(err) {
		t.Errorf("got %v", err)
	}
	_, err = d.Put(t.Context(), "k", strings.NewReader("x"), 2, blob.PutOptions{})
	if !errors.Is(err, blob.ErrShort) {
		t.Errorf("a short body: got %v", err)
	}
}

func TestAFullBucketCanBeReadAndEmptied(t *testing.T) {
	d := Wrap(memblob.Open(memblob.Options{}))
	mustPut(t, d, "k", "x")
	id, err := d.CreateUpload(t.Context(), "u", blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	inject(t, d, Fault{Kind: Full})
	if err := put(t.Context(), d, "k", "y"); !errors.Is(err, blob.ErrFull) || content(t, d, "k") != "x" {
		t.Errorf("put: %v", err)
	}
	if err := errors.Join(d.Delete(t.Context(), "k", blob.DeleteOptions{}), d.AbortUpload(t.Context(), "u", id)); err != nil {
		t.Errorf("delete and abort: %v", err)
	}
}

func TestABodyThatFailsIsToldBeforeTheFault(t *testing.T) {
	boom := errors.New("boom")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, f := range []Fault{{Kind: Error}, {Kind: Full}, {Kind: Late, Delay: time.Hour}} {
		d := Wrap(memblob.Open(memblob.Options{}))
		inject(t, d, f)
		for name, tt := range map[string]struct {
			ctx  context.Context
			body io.Reader
			want error
		}{
			"fails":   {t.Context(), iotest.ErrReader(boom), boom},
			"short":   {t.Context(), strings.NewReader("x"), blob.ErrShort},
			"is over": {ended, strings.NewReader("xy"), context.Canceled},
		} {
			_, put := d.Put(tt.ctx, "k", tt.body, 2, blob.PutOptions{})
			if !errors.Is(put, tt.want) {
				t.Errorf("%s: %s: got %v", f.Kind, name, put)
			}
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLatencyDelaysAndEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := Wrap(memblob.Open(memblob.Options{}))
		inject(t, d, Fault{Kind: Latency, Delay: 2 * time.Second})
		inject(t, d, Fault{Kind: Latency, Delay: time.Second, Methods: []string{"put"}})
		start := time.Now()
		if err := put(t.Context(), d, "k", "x"); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		err := put(ctx, d, "k", "y")
		if !errors.Is(err, context.DeadlineExceeded) || !errs.IsMaybeApplied(err) || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		_, err = d.Head(ctx, "k")
		if !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) {
			t.Errorf("head: %v", err)
		}
		inject(t, d, Fault{Kind: Down, Methods: []string{"get"}})
		start = time.Now()
		if _, err := d.Get(t.Context(), "k", blob.GetOptions{}); !errs.Is(err, errs.Unavailable) || time.Since(start) != 2*time.Second {
			t.Errorf("slow and down: %v after %s", err, time.Since(start))
		}
	})
}

func TestJitterStaysInItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := Wrap(memblob.Open(memblob.Options{}))
		inject(t, d, Fault{Kind: Latency, Delay: 10 * time.Millisecond, Jitter: 10 * time.Millisecond, Rand: rand.New(rand.NewPCG(1, 2))})
		seen := map[time.Duration]bool{}
		for range 50 {
			start := time.Now()
			mustPut(t, d, "k", "x")
			took := time.Since(start)
			seen[took] = true
			if took < 10*time.Millisecond || took > 20*time.Millisecond {
				t.Errorf("took %s", took)
			}
		}
		if len(seen) < 40 {
			t.Errorf("only %d delays in 50 calls", len(seen))
		}
	})
}

func TestBlackHoleAnswersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := memblob.Open(memblob.Options{})
		d := Wrap(below)
		inject(t, d, Fault{Kind: BlackHole})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		err := put(ctx, d, "k", "x")
		if !errors.Is(err, context.DeadlineExceeded) || !errs.Is(err, errs.Unavailable) || !errs.IsMaybeApplied(err) || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		start = time.Now()
		if _, err := d.Head(t.Context(), "k"); !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) || time.Since(start) != MaxAge {
			t.Errorf("without a deadline: %v after %s", err, time.Since(start))
		}
		if got := content(t, below, "k"); got != "" {
			t.Errorf("there is %q", got)
		}
	})
}

func TestLateWritesOvertakeNewerOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := memblob.Open(memblob.Options{})
		d := Wrap(below)
		i := inject(t, d, Fault{Kind: Late, Delay: 10 * time.Second})
		ctx, cancel := context.WithCancel(t.Context())
		meta := map[string]string{"a": "1"}
		body := []byte("late")
		_, err := d.Put(ctx, "k", bytes.NewReader(body), 4, blob.PutOptions{Meta: meta})
		if !errs.IsMaybeApplied(err) {
			t.Errorf("got %v", err)
		}
		cancel() // its caller is gone, and uses its memory for other things
		meta["a"] = "2"
		copy(body, "gone")
		i.Clear()
		mustPut(t, d, "k", "newer")
		time.Sleep(9 * time.Second)
		if got := content(t, below, "k"); got != "newer" {
			t.Errorf("there is %q too early", got)
		}
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		if o, err := below.Head(t.Context(), "k"); content(t, below, "k") != "late" || o.Meta["a"] != "1" || err != nil {
			t.Errorf("there is %q with %q, %v", content(t, below, "k"), o.Meta, err)
		}
	})
}

func TestCloseGivesUpLateWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := memblob.Open(memblob.Options{})
		d := Wrap(below)
		inject(t, d, Fault{Kind: Late, Delay: 10 * time.Second})
		for range 3 {
			if err := put(t.Context(), d, "k", "late"); !errs.IsMaybeApplied(err) {
				t.Errorf("got %v", err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Settle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("settle: %v", err)
		}
		start := time.Now()
		if err := errors.Join(d.Close(), d.Close()); err != nil || time.Since(start) != 0 {
			t.Errorf("close: %v after %s", err, time.Since(start))
		}
		time.Sleep(time.Minute)
		if got := content(t, below, "k"); got != "" {
			t.Errorf("there is %q", got)
		}
	})
}

func TestLateWritesHoldBoundedMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := memblob.Open(memblob.Options{})
		d := Wrap(below)
		inject(t, d, Fault{Kind: Late, Delay: time.Second})
		large := strings.Repeat("x", maxLate/2)
		for _, key := range []string{"a", "b", "c"} {
			if err := put(t.Context(), d, key, large); !errs.IsMaybeApplied(err) {
				t.Errorf("got %v", err)
			}
		}
		body := io.LimitReader(endless{}, maxLate+1)
		if _, err := d.Put(t.Context(), "d", body, maxLate+1, blob.PutOptions{}); !errs.IsMaybeApplied(err) {
			t.Errorf("got %v", err)
		}
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got []string
		p, err := below.List(t.Context(), blob.ListOptions{})
		for _, o := range p.Objects {
			got = append(got, o.Key)
		}
		if fmt.Sprint(got) != "[a b]" || err != nil {
			t.Errorf("applied were %q, %v", got, err)
		}
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestRollbackForgetsOnce(t *testing.T) {
	below := memblob.Open(memblob.Options{})
	d := Wrap(below)
	mustPut(t, d, "k", "one")
	snapshot := below.Snapshot()
	mustPut(t, d, "k", "two")
	inject(t, d, Fault{Kind: Rollback, Restore: func() { below.Restore(snapshot) }, Methods: []string{"get"}})
	if o, err := d.Head(t.Context(), "k"); err != nil || content(t, below, "k") != "two" {
		t.Errorf("before: %+v, %v", o, err)
	}
	if got := content(t, d, "k"); got != "one" {
		t.Errorf("got %q", got)
	}
	mustPut(t, d, "k", "three")
	if got := content(t, d, "k"); got != "three" {
		t.Errorf("it came again: %q", got)
	}
}
