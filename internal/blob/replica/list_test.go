package replica

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
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

func TestListWhileAdopting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, pages := range []int{0, 1, 3} {
			g := newTrio(t, content3, 1, func(o *Options) { o.Adopt = siteNames[0] })
			if pages > 0 {
				g.pages = func() int { return pages }
			}
			for _, key := range []string{"a", "d/1", "d/2", "deleted", "e/1", "overwritten"} {
				g.plain(0, key, "old one")
			}
			g.plain(1, "elsewhere", "not the source's")
			g.put("overwritten", "new")
			g.put("written", "new")
			g.delete("deleted")
			g.delete("e/1")
			g.wantList(blob.ListOptions{}, []string{"a", "d/1", "d/2", "overwritten", "written"}, nil)
			g.wantList(blob.ListOptions{Limit: 1}, []string{"a", "d/1", "d/2", "overwritten", "written"}, nil)
			g.wantList(blob.ListOptions{Delimiter: "/", Limit: 2}, []string{"a", "overwritten", "written"}, []string{"d/"})
			p, err := g.b.List(t.Context(), blob.ListOptions{})
			if err != nil || p.Objects[0].Size != 7 || p.Objects[0].ETag == "" || p.Objects[0].Modified.IsZero() || p.Objects[3].Size != 3 {
				t.Errorf("list gives %+v, %v", p, err)
			}
			g.down(0)
			if p, err := g.b.List(t.Context(), blob.ListOptions{}); !errs.Is(err, errs.Unavailable) {
				t.Errorf("the source is down, and list gives %+v, %v", p, err)
			}
			g.heal()
		}
	})
}

func TestReservedKeysAreNotListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1, func(o *Options) {
			o.Adopt = siteNames[0]
			o.Reserved = []string{"m/own/"}
		})
		for i := range 200 {
			g.plain(0, fmt.Sprintf("m/own/%03d", i), "x")
		}
		g.plain(0, "m/a", "x")
		g.plain(0, "m/z", "x")
		for _, pages := range []int{0, 2} {
			if pages > 0 {
				g.pages = func() int { return pages }
			}
			before := g.b.members[0].Body.Stats().Requests()
			defer func() {
				if n := g.b.members[0].Body.Stats().Requests() - before; n > 20 {
					t.Errorf("%d requests: the reserved keys are gone through", n)
				}
			}()
			for _, level := range []Level{Strong, Local} {
				g.b.o.Level = level
				p, err := g.b.List(t.Context(), blob.ListOptions{Prefix: "m/", Limit: 50})
				for err == nil && p.Next != "" {
					var more blob.Page
					more, err = g.b.List(t.Context(), blob.ListOptions{Prefix: "m/", Limit: 50, After: p.Next})
					p = blob.Page{Objects: append(p.Objects, more.Objects...), Prefixes: append(p.Prefixes, more.Prefixes...), Next: more.Next}
				}
				if err != nil || len(p.Objects) != 2 || len(p.Prefixes) != 0 {
					t.Errorf("%s: list gives %+v, %v", level, p, err)
				}
			}
		}
	})
}

func TestLocalListIsThePlainKeysOfWhoAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 1, func(o *Options) { o.Level = Local })
		g.plain(0, "first", "x")
		g.plain(1, "second", "x")
		g.wantList(blob.ListOptions{}, []string{"first"}, nil)
		g.down(0)
		g.wantList(blob.ListOptions{}, []string{"second"}, nil)
		g.down(1)
		if p, err := g.b.List(t.Context(), blob.ListOptions{}); !errs.Is(err, errs.Unavailable) {
			t.Errorf("no member answers, and list gives %+v, %v", p, err)
		}
	})
}

func TestListRefusesWhatCannotBeAPrefix(t *testing.T) {
	b := openTest(t, stores(3), 1)
	defer func() { _ = b.Close() }()
	for _, o := range []blob.ListOptions{
		{Prefix: strings.Repeat("k", blob.MaxKey+1)}, {Prefix: "\xff"}, {After: "\xff"}, {Delimiter: "\xff"}, {Delimiter: strings.Repeat("k", blob.MaxKey+1)},
	} {
		if p, err := b.List(t.Context(), o); !errs.Is(err, errs.Invalid) {
			t.Errorf("list %.20q gives %+v, %v", fmt.Sprint(o), p, err)
		}
	}
}

// TestListEqualsAModel writes and deletes at random, with a member away now and
// then, and compares listings of all kinds with what was written.
func TestListEqualsAModel(t *testing.T) {
	const rounds = 500
	seed := uint64(time.Now().UnixNano())
	if given := modelSeed; given != 0 {
		seed = given
	}
	for round := range rounds {
		ok := t.Run(fmt.Sprint(round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel(t, rand.New(rand.NewPCG(seed, uint64(round))))
				for range 4 {
					m.change()
					for range 4 {
						m.compare()
					}
				}
			})
		})
		if !ok {
			t.Fatalf("seed %d, round %d", seed, round)
		}
	}
}

// modelSeed repeats a run that failed, if it is set here.
const modelSeed uint64 = 0

type model struct {
	*trio
	rng  *rand.Rand
	live map[string]bool
	used map[string]bool
}

func newModel(t *testing.T, rng *rand.Rand) *model {
	classes := make([]blob.Class, 3)
	for i := range classes {
		classes[i] = []blob.Class{blob.ClassContent, blob.ClassContent, blob.ClassUnique}[rng.IntN(3)]
	}
	adopting := rng.IntN(4) == 0
	g := newTrio(t, classes, 0, func(o *Options) {
		if adopting {
			o.Adopt = siteNames[rng.IntN(3)]
		}
	})
	m := &model{g, rng, map[string]bool{}, map[string]bool{}}
	if adopting {
		for range 10 {
			key := m.key()
			m.plain(m.b.source().index, key, "adopted")
			m.live[key] = true
		}
	}
	if most := rng.IntN(5); most > 0 {
		g.pages = func() int { return 1 + rng.IntN(most) }
	}
	return m
}

// key draws from few, so that many meet.
func (m *model) key() string {
	parts := []string{"a", "b", "c", "d-", "\U0010FFFF"}
	key := parts[m.rng.IntN(len(parts))]
	for range m.rng.IntN(3) {
		key += []string{"/", "/", "-", ""}[m.rng.IntN(4)] + parts[m.rng.IntN(len(parts))]
	}
	return key
}

// change writes and deletes. The page lengths come from the same generator, so
// nothing may list meanwhile.
func (m *model) change() {
	if m.rng.IntN(2) == 0 {
		m.down(m.rng.IntN(3))
	}
	for range 1 + m.rng.IntN(12) {
		key := m.key()
		if m.rng.IntN(5) < 2 {
			m.put(key, "x")
			m.live[key] = true
			continue
		}
		m.delete(key)
		delete(m.live, key)
	}
	synctest.Wait()
	if m.rng.IntN(2) == 0 {
		m.b.heads = newHeadCache(1 + m.rng.IntN(4))
	}
	m.heal()
}

func (m *model) compare() {
	o := blob.ListOptions{Limit: 1 + m.rng.IntN(5), Delimiter: []string{"", "/", "-", "a"}[m.rng.IntN(4)]}
	if m.rng.IntN(2) == 0 {
		o.Prefix = strings.TrimSuffix(m.key(), "\U0010FFFF")
	}
	if m.rng.IntN(3) == 0 && m.b.o.Adopt == "" {
		m.down(m.rng.IntN(3))
	}
	keys, prefixes := rollUp(slices.Sorted(maps.Keys(m.live)), o)
	m.pagesFromOneAtATime(func() { m.wantList(o, keys, prefixes) })
	m.heal()
}

// pagesFromOneAtATime makes the generator safe for listings that run at once.
func (m *model) pagesFromOneAtATime(f func()) {
	pages := m.pages
	if pages != nil {
		most := pages()
		m.pages = func() int { return most }
	}
	f()
	m.pages = pages
}

// rollUp is what a listing of sorted keys must give.
func rollUp(all []string, o blob.ListOptions) (keys, prefixes []string) {
	for _, key := range all {
		rest, ok := strings.CutPrefix(key, o.Prefix)
		if !ok {
			continue
		}
		first, _, found := strings.Cut(rest, o.Delimiter)
		if o.Delimiter == "" || !found {
			keys = append(keys, key)
			continue
		}
		if p := o.Prefix + first + o.Delimiter; !slices.Contains(prefixes, p) {
			prefixes = append(prefixes, p)
		}
	}
	return keys, prefixes
}
