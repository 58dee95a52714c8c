package replica

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
)

// someOp gives an operation's name.
func someOp(c string) string { return strings.Repeat(c, len(noOp)) }

func stageRaw(t *testing.T, s store, key, op, body string) {
	t.Helper()
	if _, err := s.heads.Put(t.Context(), staged(key, op), strings.NewReader(body), int64(len(body)), blob.PutOptions{Meta: bodyMeta(op, nil)}); err != nil {
		t.Fatal(err)
	}
}

func wantStaged(t *testing.T, s store, when string, want ...string) {
	t.Helper()
	if got := names(t, s.heads, stagePrefix); !slices.Equal(got, want) {
		t.Errorf("%s %q are staged, want %q", when, got, want)
	}
}

func TestBodiesThatNoHeadNamesGoAfterGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "k", "x")
		synctest.Wait()
		current := "k/" + headOf(t, g.all[0], "k").Op
		time.Sleep(time.Minute)
		stageRaw(t, g.all[0], "k", someOp("f"), "y")
		stageRaw(t, g.all[0], "none", someOp("e"), "y")
		left := []string{current, "k/" + someOp("f"), "none/" + someOp("e")}
		slices.Sort(left)
		if p := mustRepair(t, b); p.Swept != 0 {
			t.Errorf("%d were swept at once", p.Swept)
		}
		wantStaged(t, g.all[0], "at once", left...)
		// The current one is old enough first, and waits for the other of its key.
		time.Sleep(b.o.Timing.Grace - 30*time.Second)
		mustRepair(t, b)
		wantStaged(t, g.all[0], "before the grace is over", left...)
		wantStaged(t, g.all[1], "before the grace is over")
		time.Sleep(time.Minute)
		mustRepair(t, b)
		mustRepair(t, b)
		wantStaged(t, g.all[0], "after the grace")
		g.wantWhole(t)
	})
}

func TestABodyThatARegisterMayNameStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "k", "x")
		synctest.Wait()
		b.reclaims.queue = nil
		op := someOp("f")
		stageRaw(t, g.all[0], "k", op, "y")
		stageRaw(t, g.all[1], "k", op, "y")
		time.Sleep(2 * b.o.Timing.Grace)
		// The witness alone holds a write that nobody else knows of.
		h := *headOf(t, g.all[2], "k")
		h.Counter, h.Op, h.Rev, h.Size, h.SHA256, h.ETag = 2, op, 0, 1, "", "415290769594460e2e485922904f345d"
		data, err := h.encode(2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.all[2].heads.Put(t.Context(), headPrefix+"k", strings.NewReader(string(data)), int64(len(data)), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		g.fault(t, 2, faultblob.Fault{Kind: faultblob.Down, Keys: headPrefix + "k"})
		if gone, err := b.takeBack(t.Context(), b.members[1], "k", op, time.Now()); gone || err != nil {
			t.Errorf("the body was taken back: %v, %v", gone, err)
		}
		_, _ = b.Repair(t.Context(), RepairOptions{})
		if n := names(t, g.all[1].heads, stagePrefix); !slices.Contains(n, "k/"+op) {
			t.Fatalf("the body went while a member was silent that names it: %q", n)
		}
		g.heal(t)
		time.Sleep(minBreak)
		mustRepair(t, b)
		if got := g.wantWholeBodies(t, "k"); got != "y" {
			t.Errorf("the write that was half done gives %q", got)
		}
	})
}

// wantWholeBodies gives what all plain keys hold.
func (g *fleet) wantWholeBodies(t *testing.T, key string) (body string) {
	t.Helper()
	for i := range g.all[:len(g.all)-g.witnesses] {
		got, _ := contents(t, g.all[i].body, key)
		if i > 0 && got != body {
			t.Errorf("%s holds %q, others %q", siteNames[i], got, body)
		}
		body = got
	}
	return body
}

func TestTheCurrentBodyStaysStagedWhileAnOlderOneDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "k", "x")
		synctest.Wait()
		stageRaw(t, g.all[0], "k", someOp("f"), "y")
		time.Sleep(b.o.Timing.Grace + time.Second)
		if _, err := g.heads[0].Inject(faultblob.Fault{Kind: faultblob.Down, Methods: []string{"delete"}, Keys: staged("k", someOp("f"))}); err != nil {
			t.Fatal(err)
		}
		mustRepair(t, b)
		wantStaged(t, g.all[0], "while the older one stays", "k/"+headOf(t, g.all[0], "k").Op, "k/"+someOp("f"))
		g.heal(t)
		mustRepair(t, b)
		mustRepair(t, b)
		wantStaged(t, g.all[0], "afterwards")
	})
}

func TestTheCurrentBodyStaysStagedWhereItIsNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		if _, err := g.body[0].Inject(faultblob.Fault{Kind: faultblob.Full}); err != nil {
			t.Fatal(err)
		}
		mustPut(t, b, "k", "x")
		synctest.Wait()
		g.heal(t)
		time.Sleep(2 * b.o.Timing.Grace)
		if _, err := g.body[0].Inject(faultblob.Fault{Kind: faultblob.Full}); err != nil {
			t.Fatal(err)
		}
		if p, err := b.Repair(t.Context(), RepairOptions{}); err == nil || p.Failed != 1 {
			t.Errorf("repair gives %+v, %v", p, err)
		}
		wantStaged(t, g.all[0], "where it is not published", "k/"+headOf(t, g.all[0], "k").Op)
		wantStaged(t, g.all[1], "where it is published")
		g.heal(t)
		mustRepair(t, b)
		wantStaged(t, g.all[0], "after it was published")
		g.wantWhole(t)
	})
}

// skewed is a provider whose clock differs from ours.
type skewed struct {
	blob.Driver
	by time.Duration
}

func (d skewed) Head(ctx context.Context, key string) (blob.Object, error) {
	o, err := d.Driver.Head(ctx, key)
	o.Modified = o.Modified.Add(d.by)
	return o, err
}

func (d skewed) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	p, err := d.Driver.List(ctx, o)
	for i := range p.Objects {
		p.Objects[i].Modified = p.Objects[i].Modified.Add(d.by)
	}
	return p, err
}

func TestAgeIsByTheProvidersClock(t *testing.T) {
	for _, by := range []time.Duration{-48 * time.Hour, 48 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			g := newFleet(3, 1)
			b := g.open(t)
			b.members[0].Heads = blob.New(siteNames[0], skewed{g.all[0].heads, by})
			stageRaw(t, g.all[0], "k", someOp("f"), "y")
			time.Sleep(b.o.Timing.Grace - time.Second)
			mustRepair(t, b)
			wantStaged(t, g.all[0], "before the grace is over", "k/"+someOp("f"))
			time.Sleep(2 * time.Second)
			mustRepair(t, b)
			wantStaged(t, g.all[0], "after the grace")
		})
	}
}

func TestRepairLeavesAWriteOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b, other := g.open(t), g.open(t)
		for i := range 3 {
			if _, err := g.heads[i].Inject(faultblob.Fault{Kind: faultblob.Latency, Delay: time.Second, Methods: []string{"put"}, Keys: headPrefix + "*"}); err != nil {
				t.Fatal(err)
			}
		}
		done := make(chan error)
		go func() {
			_, err := b.Put(t.Context(), "k", strings.NewReader("x"), 1, blob.PutOptions{})
			done <- err
		}()
		for range 30 {
			if p := mustRepair(t, other); p.Swept+p.Lost != 0 {
				t.Errorf("repair gives %+v", p)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mustRepair(t, other)
		g.wantWhole(t)
	})
}

func TestABodyOfAnUploadUnderWayStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		op := someOp("f")
		k := marker{Key: "k", Op: op, State: markOpen}
		write := func() {
			data, err := json.Marshal(k)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range g.all {
				if _, err := s.heads.Put(t.Context(), markerKey("k", op), strings.NewReader(string(data)), int64(len(data)), blob.PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		stageRaw(t, g.all[0], "k", op, "y") // dated back to when the upload began, as S3 does
		time.Sleep(3 * b.o.Timing.Grace)
		write()
		mustRepair(t, b)
		wantStaged(t, g.all[0], "while the upload is open", "k/"+op)
		k.State, k.First, k.Head = markPinned, time.Now(), &head{stamp: stamp{1, op}, Key: "k"}
		write()
		mustRepair(t, b)
		wantStaged(t, g.all[0], "while its head may still be written", "k/"+op)
		time.Sleep(b.o.Timing.Grace + time.Second)
		mustRepair(t, b)
		wantStaged(t, g.all[0], "when its head can no longer be written")
	})
}

func TestRepairAbortsUploadsThatWereGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		old, err := b.CreateUpload(t.Context(), "old", blob.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.UploadPart(t.Context(), "old", old, 1, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(uploadAge - time.Hour)
		if _, err := b.CreateUpload(t.Context(), "young", blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		mustRepair(t, b)
		if all, err := b.ListUploads(t.Context(), ""); err != nil || len(all) != 2 {
			t.Fatalf("uploads are %v, %v", all, err)
		}
		time.Sleep(2 * time.Hour)
		if p := mustRepair(t, b); p.Swept != 1 {
			t.Errorf("progress is %+v", p)
		}
		if all, err := b.ListUploads(t.Context(), ""); err != nil || len(all) != 1 || all[0].Key != "young" {
			t.Errorf("uploads are %v, %v", all, err)
		}
		if all, err := g.all[0].heads.ListUploads(t.Context(), ""); err != nil || len(all) != 1 {
			t.Errorf("virginia has the uploads %v, %v", all, err)
		}
	})
}
