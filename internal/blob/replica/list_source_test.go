package replica

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

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
