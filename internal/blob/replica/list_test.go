package replica

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/errs"
)

func TestListShowsWhatHeadShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, mixed3, 1)
		for i, key := range []string{"b", "a/1", "a", "c"} {
			g.put(key, strings.Repeat("x", i))
			time.Sleep(time.Second)
		}
		g.delete("c")
		p, err := g.b.List(t.Context(), blob.ListOptions{})
		if err != nil || len(p.Objects) != 3 || p.Next != "" {
			t.Fatalf("list gives %+v, %v", p, err)
		}
		for _, got := range p.Objects {
			want, err := g.b.Head(t.Context(), got.Key)
			if err != nil || got.Size != want.Size || got.ETag != want.ETag || !got.Modified.Equal(want.Modified) {
				t.Errorf("list gives %+v, head %+v, %v", got, want, err)
			}
		}
	})
}

func TestPrefixesOfDeletedKeysAloneDoNotShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, classes := range map[string][]blob.Class{"content": content3, "mixed": mixed3} {
			g := newTrio(t, classes, 1)
			for _, key := range []string{"dead/1", "dead/2", "half/1", "half/2", "live/1", "z"} {
				g.put(key, "x")
			}
			for _, key := range []string{"dead/1", "dead/2", "half/1"} {
				g.delete(key)
			}
			for _, pages := range []int{0, 1, 2} {
				g.pages = nil
				if pages > 0 {
					g.pages = func() int { return pages }
				}
				for limit := range 4 {
					t.Log(name, pages, limit)
					g.wantList(blob.ListOptions{Delimiter: "/", Limit: limit}, []string{"z"}, []string{"half/", "live/"})
					g.wantList(blob.ListOptions{Prefix: "dead/", Limit: limit}, nil, nil)
					g.wantList(blob.ListOptions{Prefix: "dead", Delimiter: "/", Limit: limit}, nil, nil)
				}
			}
		}
	})
}

func TestListGoesThroughManyTombstones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1)
		for i := range 2500 {
			g.bury(fmt.Sprintf("a/%04d", i))
		}
		g.put("a/9", "x")
		g.put("b", "x")
		g.wantList(blob.ListOptions{}, []string{"a/9", "b"}, nil)
		g.wantList(blob.ListOptions{Delimiter: "/"}, []string{"b"}, []string{"a/"})
		g.wantList(blob.ListOptions{Delimiter: "/", Limit: 1}, []string{"b"}, []string{"a/"})
		g.wantList(blob.ListOptions{Prefix: "a/0"}, nil, nil)
	})
}

// bury writes a tombstone at all members.
func (g *trio) bury(key string) {
	h := &head{stamp: stamp{1, newOp(g.t.Context())}, Key: key, Deleted: true, Modified: time.Now()}
	for i := range g.stores {
		g.plant(i, h)
	}
}

func TestListStopsInTimeAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1)
		for i := range 300 {
			g.bury(fmt.Sprintf("a/%04d", i))
		}
		g.put("a/9", "x")
		g.pages = func() int { return 10 }
		for i := range g.heads {
			g.fail(i, faultblob.Fault{Kind: faultblob.Latency, Delay: time.Second})
		}
		for _, delimiter := range []string{"", "/"} {
			after, calls := "", 0
			for {
				for i := range g.heads {
					g.heads[i].Clear()
					g.fail(i, faultblob.Fault{Kind: faultblob.Latency, Delay: time.Second, Methods: []string{"list"}})
				}
				began := time.Now()
				p, err := g.b.List(t.Context(), blob.ListOptions{Delimiter: delimiter, After: after})
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > listFor+2*time.Second {
					t.Fatalf("a page took %s", took)
				}
				calls++
				if len(p.Objects)+len(p.Prefixes) == 1 {
					break
				}
				if p.Next <= after {
					t.Fatalf("delimiter %q: the page behind %q is empty and goes on behind %q", delimiter, after, p.Next)
				}
				after = p.Next
			}
			if calls != 2 {
				t.Errorf("delimiter %q: %d calls, want 2", delimiter, calls)
			}
		}
	})
}

func TestListWithAMemberDownOrBehind(t *testing.T) {
	for _, classes := range [][]blob.Class{content3, mixed3} {
		for i := range 3 {
			synctest.Test(t, func(t *testing.T) {
				g := newTrio(t, classes, 0)
				g.put("deleted", "x")
				g.put("kept", "x")
				g.put("rewritten", "x")
				synctest.Wait()
				g.down(i)
				g.delete("deleted")
				g.put("new", "x")
				g.put("rewritten", "longer")
				want := []string{"kept", "new", "rewritten"}
				g.wantList(blob.ListOptions{}, want, nil)
				g.heal()
				for j := range 3 { // with any other member silent
					g.down(j)
					g.wantList(blob.ListOptions{}, want, nil)
					g.heal()
				}
				p, err := g.b.List(t.Context(), blob.ListOptions{})
				if err != nil || p.Objects[2].Size != int64(len("longer")) {
					t.Errorf("list gives %+v, %v", p, err)
				}
			})
		}
	}
}

func TestListReplacesAMemberThatIsLostInMidListing(t *testing.T) {
	for lost := range 3 {
		synctest.Test(t, func(t *testing.T) {
			g := newTrio(t, content3, 0)
			var want []string
			for i := range 40 {
				want = append(want, fmt.Sprintf("k%02d", i))
				g.put(want[i], "x")
			}
			g.delete("k00")
			want = want[1:]
			g.pages = func() int { return 5 }
			n := 0
			g.heads[lost] = faultblob.Wrap(&countedLists{Driver: g.heads[lost], each: func() {
				if n++; n == 3 {
					g.down(lost)
				}
			}})
			synctest.Wait() // what still publishes uses the member that is swapped
			g.b.members[lost].Heads = blob.New(siteNames[lost], g.heads[lost])
			g.wantList(blob.ListOptions{}, want, nil)
			if lost < 2 && n < 3 {
				t.Errorf("member %d was listed %d times: it was not lost", lost, n)
			}
		})
	}
}

// countedLists tells before each listing.
type countedLists struct {
	blob.Driver
	each func()
}

func (c *countedLists) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	c.each()
	return c.Driver.List(ctx, o)
}

func TestSilenceIsNotEmptiness(t *testing.T) {
	for _, kind := range []faultblob.Kind{faultblob.Down, faultblob.Error, faultblob.BlackHole, faultblob.Denied, faultblob.NoBucket} {
		synctest.Test(t, func(t *testing.T) {
			g := newTrio(t, content3, 1)
			g.put("k", "x")
			for i := range 2 {
				g.fail(i, faultblob.Fault{Kind: kind})
			}
			for _, prefix := range []string{"", "nothing there"} {
				if p, err := g.b.List(t.Context(), blob.ListOptions{Prefix: prefix}); !errs.Is(err, errs.Unavailable) {
					t.Errorf("%s: two of three members fail, and list of %q gives %+v, %v", kind, prefix, p, err)
				}
			}
		})
	}
}

func TestListDoesNotCountAMemberThatLostWhatItHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1)
		g.put("k", "x")
		g.down(2)
		g.b.loses(g.b.members[1])
		if p, err := g.b.List(t.Context(), blob.ListOptions{}); !errs.Is(err, errs.Unavailable) {
			t.Errorf("one member answers that counts, and list gives %+v, %v", p, err)
		}
		g.heal()
		g.wantList(blob.ListOptions{}, []string{"k"}, nil)
	})
}

func TestListRacesASlowMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1)
		g.put("k", "x")
		synctest.Wait() // all members hold the head: nothing is read but listings
		g.fail(0, faultblob.Fault{Kind: faultblob.BlackHole, Methods: []string{"list"}})
		began := time.Now()
		g.wantList(blob.ListOptions{}, []string{"k"}, nil)
		if took := time.Since(began); took > g.b.o.Timing.Attempt+time.Second {
			t.Errorf("the listing took %s", took)
		}
		synctest.Wait()
		if g.b.members[0].lastError() == nil {
			t.Error("nothing tells against the member that did not answer")
		}
	})
}

func TestListCompletesAWriteThatOneMemberHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1)
		g.put("k", "x")
		synctest.Wait()
		whole, err := g.b.read(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		deleted := &head{stamp: stamp{whole.Counter + 1, newOp(t.Context())}, Key: "k", Deleted: true}
		g.plant(0, deleted)
		g.down(2) // so that the reads meet it
		before := g.b.Status().Counts.WriteBacks
		g.wantList(blob.ListOptions{}, nil, nil)
		if n := g.b.Status().Counts.WriteBacks - before; n != 1 {
			t.Errorf("%d write-backs, want 1", n)
		}
		g.heal()
		g.down(0)
		g.wantList(blob.ListOptions{}, nil, nil) // it was not to be seen as deleted, and then be back
	})
}

func TestListCompletesAFirstWriteThatOneMemberHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1)
		g.plant(0, &head{stamp: stamp{1, newOp(t.Context())}, Key: "k", Size: 1, ETag: "x"})
		g.down(2)
		g.wantList(blob.ListOptions{}, []string{"k"}, nil)
		g.heal()
		g.down(0)
		g.wantList(blob.ListOptions{}, []string{"k"}, nil) // it was seen: it stays
	})
}

// TestTagsThatAreNoFingerprintsAreNotCompared: two providers may give the same
// one to different heads.
func TestTagsThatAreNoFingerprintsAreNotCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, unique3, 1)
		old := &head{stamp: stamp{1, newOp(t.Context())}, Key: "k", Size: 1, ETag: "x"}
		now := &head{stamp: stamp{2, newOp(t.Context())}, Key: "k", Size: 2, ETag: "x"}
		g.plant(0, old)
		g.plant(1, now)
		g.plant(2, now)
		r, err := g.b.round(t.Context(), headPrefix, blob.ListOptions{})
		if h := r.keys[0].heads; err != nil || h[0].tag != h[1].tag || h[0].size != h[1].size {
			t.Fatalf("the heads differ in tag or size: %+v, %v", h, err)
		}
		g.down(2)
		g.fail(1, faultblob.Fault{Kind: faultblob.Latency, Delay: time.Second, Methods: []string{"list"}}) // so that the first is asked for its head
		p, err := g.b.List(t.Context(), blob.ListOptions{})
		if err != nil || len(p.Objects) != 1 || p.Objects[0].Size != 2 {
			t.Errorf("list gives %+v, %v", p, err)
		}
	})
}

// TestAHeadThatChangesUnderTheListingIsReadAtAMajority: what one member holds by
// then may be a write that never completes.
func TestAHeadThatChangesUnderTheListingIsReadAtAMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1)
		g.put("k", "x")
		synctest.Wait()
		deleted := &head{stamp: stamp{100, newOp(t.Context())}, Key: "k", Deleted: true}
		g.b = g.open() // remembers no heads
		lists := &afterList{Driver: g.heads[0], then: func() { g.plant(0, deleted) }}
		g.b.members[0].Heads = blob.New(siteNames[0], lists)
		g.down(2)
		g.fail(1, faultblob.Fault{Kind: faultblob.Latency, Delay: time.Second, Methods: []string{"list"}}) // so that the first is asked for its head
		g.wantList(blob.ListOptions{}, nil, nil)
		g.heal()
		g.down(0)
		g.wantList(blob.ListOptions{}, nil, nil)
	})
}

// afterList does something behind each listing.
type afterList struct {
	blob.Driver
	then func()
}

func (a *afterList) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	defer a.then()
	return a.Driver.List(ctx, o)
}

func TestListReadsEachHeadOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		classes []blob.Class
		most    uint64 // reads of a head for each key
	}{"content": {content3, 1}, "mixed": {mixed3, 3}} {
		synctest.Test(t, func(t *testing.T) {
			g := newTrio(t, tt.classes, 1)
			const count = 100
			for i := range count {
				g.put(fmt.Sprintf("k%02d", i), "x")
			}
			for i := range count / 2 {
				g.delete(fmt.Sprintf("k%02d", i))
			}
			synctest.Wait()
			b := g.open() // remembers nothing
			defer func() { _ = b.Close() }()
			before := g.calls(b, "get")
			list := func() uint64 {
				p, err := b.List(t.Context(), blob.ListOptions{})
				if err != nil || len(p.Objects) != count/2 {
					t.Fatalf("%s: list gives %d objects, %v", name, len(p.Objects), err)
				}
				n := g.calls(b, "get") - before
				before += n
				return n
			}
			keys := uint64(count / 2) // of tombstones nothing is read where tags tell
			if name == "mixed" {
				keys = count
			}
			if n := list(); n == 0 || n > keys*tt.most {
				t.Errorf("%s: %d reads of heads, want 1 to %d", name, n, keys*tt.most)
			}
			if n := list(); n > 0 && name == "content" {
				t.Errorf("%s: %d reads of heads that were read before", name, n)
			}
		})
	}
}

func TestLargePrefixesAreSteppedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1)
		var want []string
		for _, dir := range []string{"a/", "b/", "c/", "d/"} {
			want = append(want, dir)
			for i := range 1500 {
				h := &head{stamp: stamp{1, newOp(t.Context())}, Key: fmt.Sprint(dir, i), Size: 1, ETag: "x"}
				for m := range g.stores {
					g.plant(m, h)
				}
			}
		}
		before := g.calls(g.b, "list")
		g.wantList(blob.ListOptions{Delimiter: "/"}, nil, want)
		if n := g.calls(g.b, "list") - before; n > 2*(1+1+3) { // flat, rolled up, one look into each prefix that the first did not show
			t.Errorf("%d listings for %d prefixes", n, len(want))
		}
		if n := g.calls(g.b, "get"); n > 10 {
			t.Errorf("%d reads for prefixes, whose listings tell that they are alive", n)
		}
	})
}

func TestAFullPageTakesOneListingOfAMajority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1)
		for i := range 20 {
			g.put(fmt.Sprintf("%02d", i), "x")
		}
		g.pages = func() int { return 10 }
		before := g.calls(g.b, "list")
		p, err := g.b.List(t.Context(), blob.ListOptions{Limit: 10})
		if err != nil || len(p.Objects) != 10 || p.Next != "09" {
			t.Errorf("list gives %+v, %v", p, err)
		}
		if n := g.calls(g.b, "list") - before; n != 2 {
			t.Errorf("%d listings for one page", n)
		}
	})
}

func TestManyPrefixesAreLookedIntoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1)
		var want []string
		for dir := range 40 {
			want = append(want, fmt.Sprintf("%02d/", dir))
			for i := range 25 {
				h := &head{stamp: stamp{1, newOp(t.Context())}, Key: fmt.Sprint(want[dir], i), Size: 1, ETag: "x"}
				for m := range g.stores {
					g.plant(m, h)
				}
			}
		}
		g.pages = func() int { return 20 }
		for i := range g.heads {
			g.fail(i, faultblob.Fault{Kind: faultblob.Latency, Delay: 100 * time.Millisecond})
		}
		began := time.Now()
		g.wantList(blob.ListOptions{Delimiter: "/"}, nil, want)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%d prefixes took %s", len(want), took)
		}
	})
}
