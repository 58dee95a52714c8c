package replica

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

// adopts opens a bucket whose objects virginia had before.
func adopts(o *Options) { o.Adopt = "virginia" }

// putPast writes an object as a tool does that knows nothing of Spare.
func putPast(t *testing.T, s store, key, body string) blob.Object {
	t.Helper()
	o, err := s.body.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{
		Header: blob.Header{Type: "text/plain", CacheControl: "no-store"}, Meta: map[string]string{"who": "tool"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func mustAdopt(t *testing.T, b *Bucket) Progress {
	t.Helper()
	p, err := b.AdoptAll(t.Context(), RepairOptions{})
	if err != nil {
		t.Fatalf("adopt: %v (%+v)", err, p)
	}
	synctest.Wait() // for the third member
	return p
}

// multipartPast writes an object of two parts.
func multipartPast(t *testing.T, s store, key string, parts ...string) blob.Object {
	t.Helper()
	id, err := s.body.CreateUpload(t.Context(), key, blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var sent []blob.Part
	for i, p := range parts {
		v, err := s.body.UploadPart(t.Context(), key, id, i+1, strings.NewReader(p), int64(len(p)))
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, v)
	}
	o, err := s.body.CompleteUpload(t.Context(), key, id, sent, blob.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestAdoptionGivesEveryObjectAHeadAndCopies(t *testing.T) {
	for _, shape := range []struct{ members, witnesses int }{{3, 1}, {3, 0}, {5, 2}} {
		synctest.Test(t, func(t *testing.T) {
			g := newFleet(shape.members, shape.witnesses)
			want := map[string]string{}
			for i := range 30 {
				key, body := fmt.Sprintf("dir%d/k%02d", i%3, i), strings.Repeat("x", i*i)
				want[key] = body
				putPast(t, g.all[0], key, body)
			}
			want["parts"] = strings.Repeat("a", 100) + "b"
			multi := multipartPast(t, g.all[0], "parts", strings.Repeat("a", 100), "b")
			want["large"] = strings.Repeat("0123456789abcdef", 5*smallBody/16)
			large := putPast(t, g.all[0], "large", want["large"])
			time.Sleep(time.Hour)

			b := g.open(t, adopts)
			if got, err := readAll(t, b, "large"); err != nil || got != want["large"] {
				t.Fatalf("before the adoption get gives %d bytes, %v", len(got), err)
			}
			p := mustAdopt(t, b)
			if p.Adopted != len(want) || !p.Done || p.Failed != 0 || p.Pass != 2 || p.Total != len(want) {
				t.Errorf("progress is %+v", p)
			}
			if diff := cmp.Diff(want, g.wantWhole(t)); diff != "" {
				t.Error(diff)
			}
			wantStaged(t, g.all[0], "at the source")
			if o, err := b.Head(t.Context(), "large"); err != nil || o.ETag != large.ETag || !o.Modified.Equal(large.Modified) ||
				o.Header != large.Header || o.Meta["who"] != "tool" || len(o.Meta) != 1 {
				t.Errorf("head gives %+v, %v, want %+v", o, err, large)
			}
			if o, err := b.Head(t.Context(), "parts"); err != nil || o.ETag != multi.ETag {
				t.Errorf("head gives %+v, %v", o, err)
			}
			_ = b.Close()
			b = g.open(t, adopts)
			if b.config.Adopt != "" || b.config.Adopted != "virginia" || b.config.Epoch != 2 {
				t.Errorf("the record is %+v", b.config)
			}
			if p := mustAdopt(t, b); p.Keys != 0 {
				t.Errorf("an adoption that has ended begins again: %+v", p)
			}
			// The source is no longer needed, neither now nor once the staged copies have gone.
			time.Sleep(b.o.Timing.Grace + time.Second)
			mustRepair(t, b)
			wantStaged(t, g.all[1], "after the grace")
			g.fault(t, 0, faultblob.Fault{Kind: faultblob.Down})
			for key, body := range want {
				if got, err := readAll(t, b, key); err != nil || got != body {
					t.Errorf("without the source get %q gives %d bytes, %v", key, len(got), err)
				}
			}
		})
	}
}

func TestAnAdoptedObjectIsOverwrittenDeletedAndRepairedAsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		for _, key := range []string{"over", "gone", "emptied", "stays"} {
			putPast(t, g.all[0], key, "old "+key)
		}
		b := g.open(t, adopts)
		mustAdopt(t, b)
		mustPut(t, b, "over", "new")
		mustDelete(t, b, "gone")
		synctest.Wait()
		_ = g.all[0].body.Delete(t.Context(), "emptied", blob.DeleteOptions{})
		time.Sleep(b.o.Timing.Grace + time.Minute)
		b.reclaimDue(t.Context())
		mustRepair(t, b)
		want := map[string]string{"over": "new", "emptied": "old emptied", "stays": "old stays"}
		if diff := cmp.Diff(want, g.wantWhole(t)); diff != "" {
			t.Error(diff)
		}
		if h := headOf(t, g.all[0], "emptied"); len(h.Plain) != 0 {
			t.Errorf("the head still says that virginia has it at %v", h.Plain)
		}
		if h := headOf(t, g.all[0], "stays"); len(h.Plain) != 1 {
			t.Errorf("the head does not say where virginia has it: %v", h.Plain)
		}
	})
}

func TestAdoptionGoesOnWhereItStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 200
		g := newFleet(3, 1)
		for i := range keys {
			putPast(t, g.all[0], fmt.Sprintf("k%03d", i), "x")
		}
		time.Sleep(time.Minute)
		reads := &counting{Driver: g.body[0], n: map[string]int{}}
		copies := 0
		for run := 0; ; run++ {
			b := g.open(t, adopts, func(o *Options) { o.Members[0].Body = blob.New("virginia", reads) })
			ctx, stop := context.WithCancel(t.Context())
			first := true
			p, err := b.AdoptAll(ctx, RepairOptions{Progress: func(p Progress) {
				if first && p.Keys < 40*run {
					t.Errorf("run %d begins with %d keys", run, p.Keys)
				}
				first = false
				if copies = reads.count("get"); copies > 60*(run+1) {
					stop()
				}
			}})
			stop()
			_ = b.Close()
			if err == nil {
				if run < 2 || p.Pass < 2 {
					t.Errorf("it ended in run %d: %+v", run, p)
				}
				break
			}
			if ctx.Err() == nil {
				t.Fatal(err)
			}
		}
		if n := reads.count("get"); n > keys+3*repairers {
			t.Errorf("%d objects were read for %d keys", n, keys)
		}
		mustRepair(t, g.open(t)) // what the runs that were stopped left at the third member
		if got := g.wantWhole(t); len(got) != keys {
			t.Errorf("%d keys, want %d", len(got), keys)
		}
	})
}

// counting counts calls, and takes a moment for each.
type counting struct {
	blob.Driver
	mu sync.Mutex
	n  map[string]int
}

func (c *counting) count(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[method]
}

func (c *counting) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	c.mu.Lock()
	c.n["get"]++
	c.mu.Unlock()
	time.Sleep(50 * time.Millisecond)
	return c.Driver.Get(ctx, key, o)
}

// hooked runs something once, before its nth call.
type hooked struct {
	blob.Driver
	hook *hook
}

type hook struct {
	mu   sync.Mutex
	only string // calls that count; "" = all
	at   int    // calls until then
	do   func()
	on   string // what the call was
}

func (h *hook) pass(what string) {
	h.mu.Lock()
	now := false
	if h.only == "" || h.only == what {
		h.at--
		if now = h.at == 0; now {
			h.on = what
		}
	}
	h.mu.Unlock()
	if now {
		h.do()
	}
}

func (h hooked) Head(ctx context.Context, key string) (blob.Object, error) {
	h.hook.pass("head " + key)
	return h.Driver.Head(ctx, key)
}

func (h hooked) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	h.hook.pass("get " + key)
	return h.Driver.Get(ctx, key, o)
}

func (h hooked) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	h.hook.pass("put " + key)
	return h.Driver.Put(ctx, key, body, size, o)
}

func (h hooked) Copy(ctx context.Context, dst string, from blob.Driver, src string, o blob.CopyOptions) (blob.Object, error) {
	h.hook.pass("copy " + dst)
	if f, ok := from.(hooked); ok {
		from = f.Driver
	}
	return h.Driver.Copy(ctx, dst, from, src, o)
}

func (h hooked) Delete(ctx context.Context, key string, o blob.DeleteOptions) error {
	h.hook.pass("delete " + key)
	return h.Driver.Delete(ctx, key, o)
}

func (h hooked) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	h.hook.pass("list " + o.Prefix)
	return h.Driver.List(ctx, o)
}

// TestWhoeverComesBetweenWinsOverAnAdoption tries every call that an adoption
// makes as the moment at which somebody else changes the object.
func TestWhoeverComesBetweenWinsOverAnAdoption(t *testing.T) {
	for name, change := range map[string]struct {
		do   func(t *testing.T, g *fleet, client *Bucket)
		want []string // what the key may hold; "" = nothing
		late []string // and if it is changed in the last pass, or behind it
	}{
		"overwritten through Spare": {func(t *testing.T, _ *fleet, client *Bucket) { mustPut(t, client, "k", "new") }, []string{"new"}, nil},
		"deleted through Spare":     {func(t *testing.T, _ *fleet, client *Bucket) { mustDelete(t, client, "k") }, []string{""}, nil},
		"deleted and written again": {func(t *testing.T, _ *fleet, client *Bucket) {
			mustDelete(t, client, "k")
			mustPut(t, client, "k", "again")
		}, []string{"again"}, nil},
		"overwritten past Spare":                   {func(t *testing.T, g *fleet, _ *Bucket) { putPast(t, g.all[0], "k", "tool") }, []string{"tool"}, []string{"old"}},
		"overwritten past Spare by the same bytes": {func(t *testing.T, g *fleet, _ *Bucket) { putPast(t, g.all[0], "k", "old") }, []string{"old"}, nil},
		// Where it had a head before, that counts: a delete goes through Spare.
		"deleted past Spare": {func(t *testing.T, g *fleet, _ *Bucket) {
			_ = g.all[0].body.Delete(t.Context(), "k", blob.DeleteOptions{})
		}, []string{"", "old"}, nil},
		"read": {func(t *testing.T, _ *fleet, client *Bucket) {
			if got, err := readAll(t, client, "k"); got != "old" || err != nil {
				t.Errorf("get gives %q, %v", got, err)
			}
		}, []string{"old"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				reached := false
				synctest.Test(t, func(t *testing.T) { reached = adoptBetween(t, at, change.do, slices.Clone(change.want), change.late) })
				if !reached || t.Failed() {
					if at < 30 {
						t.Errorf("only %d moments were tried", at)
					}
					return
				}
			}
		})
	}
}

func adoptBetween(t *testing.T, at int, change func(*testing.T, *fleet, *Bucket), want, late []string) (reached bool) {
	g := newFleet(3, 0)
	putPast(t, g.all[0], "k", "old")
	client := g.open(t, adopts)
	h := &hook{at: 1 << 30}
	var seen, behind atomic.Bool // the first pass has seen the key when its progress is told
	h.do = func() {
		change(t, g, client)
		behind.Store(seen.Load())
	}
	b := g.open(t, adopts, func(o *Options) {
		for i := range o.Members {
			o.Members[i].Body = blob.New(siteNames[i], hooked{g.body[i], h})
			o.Members[i].Heads = blob.New(siteNames[i], hooked{g.heads[i], h})
		}
	})
	h.at = at
	if _, err := b.AdoptAll(t.Context(), RepairOptions{Progress: func(Progress) { seen.Store(true) }}); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if reached = h.on != ""; !reached {
		return false
	}
	if behind.Load() {
		want = append(want, late...)
	}
	check := func(when string, b *Bucket) {
		got, err := readAll(t, b, "k")
		if err != nil && !errs.Is(err, errs.NotFound) || !slices.Contains(want, got) {
			t.Errorf("changed before call %d (%s), %s get gives %q, %v; want %q", at, h.on, when, got, err, want)
		}
	}
	check("through the adopting process", b)
	synctest.Wait()
	fresh := g.open(t)
	check("anew", fresh)
	mustRepair(t, fresh)
	check("after repair", fresh)
	g.wantWhole(t, "k") // a tool that deleted it may have written it behind the last look
	return true
}

func TestObjectsThatComePastSpareDuringTheAdoptionAreAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		want := map[string]string{}
		for i := range 20 {
			want[fmt.Sprintf("k%02d", i)] = "x"
			putPast(t, g.all[0], fmt.Sprintf("k%02d", i), "x")
		}
		time.Sleep(time.Minute)
		h := &hook{only: "put sys/adopt", at: 1} // the first pass is over
		h.do = func() {
			putPast(t, g.all[0], "a", "behind the pass")
			putPast(t, g.all[0], "k00", "overwritten")
			putPast(t, g.all[0], "k19", "overwritten too")
		}
		b := g.open(t, adopts, func(o *Options) { o.Members[2].Heads = blob.New("paris", hooked{g.heads[2], h}) })
		p := mustAdopt(t, b)
		if h.at > 0 || p.Pass != 3 {
			t.Fatalf("adopt gives %+v", p)
		}
		want["a"], want["k00"], want["k19"] = "behind the pass", "overwritten", "overwritten too"
		mustRepair(t, b)
		if diff := cmp.Diff(want, g.wantWhole(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRepairLeavesToTheAdoptionWhatItHasNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		putPast(t, g.all[0], "k", "old")
		putPast(t, g.all[0], "new", "x")
		b := g.open(t, adopts)
		if p, err := b.AdoptAll(t.Context(), RepairOptions{Prefix: "k"}); err != nil || p.Adopted != 1 {
			t.Fatalf("adopt of a prefix gives %+v, %v", p, err)
		}
		putPast(t, g.all[0], "k", "overwritten")
		p, err := b.Repair(t.Context(), RepairOptions{})
		if err == nil || p.Failed != 1 || p.Foreign != 1 {
			t.Errorf("repair gives %+v, %v", p, err)
		}
		if got, _ := contents(t, g.all[0].body, "k"); got != "overwritten" {
			t.Fatalf("repair put %q over what a tool had written", got)
		}
		mustAdopt(t, b)
		mustRepair(t, b)
		if diff := cmp.Diff(map[string]string{"k": "overwritten", "new": "x"}, g.wantWhole(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestAdoptionWithTooFewMembersFailsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		for i := range 5 {
			putPast(t, g.all[0], fmt.Sprint("k", i), "x")
		}
		b := g.open(t, adopts)
		g.fault(t, 1, faultblob.Fault{Kind: faultblob.Full})
		if p, err := b.AdoptAll(t.Context(), RepairOptions{}); !errs.Is(err, errs.Unavailable) || p.Failed != 5 || p.Reason == "" {
			t.Errorf("adopt gives %+v, %v", p, err)
		}
		if n := names(t, g.all[0].heads, headPrefix); len(n) != 0 {
			t.Errorf("heads without enough bodies: %q", n)
		}
		g.heal(t)
		time.Sleep(maxBreak)
		mustAdopt(t, b)
		if got := g.wantWhole(t); len(got) != 5 {
			t.Errorf("%d keys", len(got))
		}
	})
}

func TestAdoptionWithoutOneOfThreeLeavesTheRestToRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 0)
		for i := range 5 {
			putPast(t, g.all[0], fmt.Sprint("k", i), "x")
		}
		b := g.open(t, adopts)
		g.fault(t, 2, faultblob.Fault{Kind: faultblob.Down})
		if p := mustAdopt(t, b); p.Adopted != 5 {
			t.Errorf("adopt gives %+v", p)
		}
		synctest.Wait()
		if n, _, _ := b.dirty.behind("paris"); n != 5 {
			t.Errorf("paris is known to be behind on %d keys, want 5", n)
		}
		g.heal(t)
		time.Sleep(maxBreak)
		mustRepair(t, b)
		g.wantWhole(t)
		if r := b.readConfig(t.Context(), b.members[2]); r.config == nil || r.config.Adopt != "" {
			t.Errorf("paris has the record %+v", r.config)
		}
	})
}

func TestWhatSpareWroteIsNotAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		putPast(t, g.all[0], "k", "x")
		if _, err := g.all[0].body.Put(t.Context(), "ours", strings.NewReader("y"), 1, blob.PutOptions{Meta: bodyMeta(someOp("a"), nil)}); err != nil {
			t.Fatal(err)
		}
		b := g.open(t, adopts)
		if p := mustAdopt(t, b); p.Adopted != 1 {
			t.Errorf("adopt gives %+v", p)
		}
		if n := names(t, g.all[0].heads, headPrefix); !slices.Equal(n, []string{"k"}) {
			t.Errorf("heads of %q", n)
		}
	})
}

func TestKeysThatCannotBeAdoptedKeepTheAdoptionFromEnding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		long := strings.Repeat("k", blob.MaxKey-5)
		putPast(t, g.all[0], long, "x")
		putPast(t, g.all[0], "ok", "x")
		b := g.open(t, adopts)
		p, err := b.AdoptAll(t.Context(), RepairOptions{})
		if err == nil || p.Failed != 1 || p.Adopted != 1 || !strings.Contains(p.Reason, "at most") {
			t.Errorf("adopt gives %+v, %v", p, err)
		}
		if r := b.readConfig(t.Context(), b.members[0]); r.config.Adopt != "virginia" {
			t.Error("the adoption has ended")
		}
		_ = g.all[0].body.Delete(t.Context(), long, blob.DeleteOptions{})
		mustAdopt(t, b)
		g.wantWhole(t)
	})
}

func TestSeveralAdoptionsAtOnceAreHarmless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 0)
		for i := range 50 {
			putPast(t, g.all[0], fmt.Sprintf("k%02d", i), fmt.Sprint("body ", i))
		}
		done := make(chan error)
		for range 3 {
			b := g.open(t, adopts)
			go func() {
				_, err := b.AdoptAll(t.Context(), RepairOptions{})
				done <- err
			}()
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		synctest.Wait()
		mustRepair(t, g.open(t))
		if got := g.wantWhole(t); len(got) != 50 {
			t.Errorf("%d keys", len(got))
		}
	})
}

// retagged is a provider whose ETags look like MD5s and are none.
type retagged struct{ *memblob.Driver }

func flip(tag string) string {
	b := []byte(tag)
	slices.Reverse(b)
	return string(b)
}

func (d retagged) Head(ctx context.Context, key string) (blob.Object, error) {
	o, err := d.Driver.Head(ctx, key)
	o.ETag = flip(o.ETag)
	return o, err
}

func (d retagged) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	o.Match = flip(o.Match)
	r, err := d.Driver.Get(ctx, key, o)
	if err == nil {
		r.ETag = flip(r.ETag)
	}
	return r, err
}

func TestETagsThatAreNoMD5AreFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		for i := range 20 {
			putPast(t, g.all[0], fmt.Sprintf("k%02d", i), "x")
		}
		time.Sleep(time.Minute)
		reads := &counting{Driver: retagged{g.all[0].body}, n: map[string]int{}}
		b := g.open(t, adopts, func(o *Options) { o.Members[0].Body = blob.New("virginia", reads) })
		mustAdopt(t, b)
		if n := reads.count("get"); n <= 20 || n > 20+repairers {
			t.Errorf("%d reads, want some more than 20", n)
		}
		if got, err := readAll(t, b, "k00"); got != "x" || err != nil {
			t.Errorf("get gives %q, %v", got, err)
		}
	})
}

func TestACorruptReadIsNotAdopted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		putPast(t, g.all[0], "k", "body")
		b := g.open(t, adopts)
		f, err := g.body[0].Inject(faultblob.Fault{Kind: faultblob.Corrupt, Times: 1})
		if err != nil {
			t.Fatal(err)
		}
		p, err := b.AdoptAll(t.Context(), RepairOptions{})
		if f.Hits() != 1 || err == nil && p.Adopted != 1 {
			t.Errorf("adopt gives %+v, %v", p, err)
		}
		mustAdopt(t, b)
		mustRepair(t, b)
		if diff := cmp.Diff(map[string]string{"k": "body"}, g.wantWhole(t)); diff != "" {
			t.Error(diff)
		}
	})
}
