package replica

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

// trio is a bucket over three providers in memory that can be made to fail.
type trio struct {
	t      *testing.T
	stores []store
	heads  []*faultblob.Driver
	bodies []*faultblob.Driver // nil at a witness
	pages  func() int          // most names in a page of heads; nil = as asked
	b      *Bucket
}

// newTrio opens a bucket over providers of the classes, the last witnesses of
// which hold heads only.
func newTrio(t *testing.T, classes []blob.Class, witnesses int, change ...func(*Options)) *trio {
	t.Helper()
	g := &trio{t: t}
	for i, class := range classes {
		s := store{memblob.Open(memblob.Options{Tags: class}), memblob.Open(memblob.Options{Tags: class})}
		g.stores = append(g.stores, s)
		g.heads = append(g.heads, faultblob.Wrap(&shortPages{s.heads, g}))
		g.bodies = append(g.bodies, nil)
		if i < len(classes)-witnesses {
			g.bodies[i] = faultblob.Wrap(&shortPages{s.body, g})
		}
	}
	g.b = g.open(change...)
	t.Cleanup(func() { _ = g.b.Close() }) // it has no error to give
	return g
}

// open opens the bucket as another gateway would.
func (g *trio) open(change ...func(*Options)) *Bucket {
	g.t.Helper()
	o := Options{Name: "media", Log: slog.New(slog.DiscardHandler)}
	for i, h := range g.heads {
		m := Member{ID: siteNames[i], Heads: blob.New(siteNames[i], h), Where: "mem://" + siteNames[i], HeadsWhere: "mem://" + siteNames[i] + "-spare"}
		if g.bodies[i] != nil {
			m.Body = blob.New(siteNames[i], g.bodies[i])
		}
		o.Members = append(o.Members, m)
	}
	for _, f := range change {
		f(&o)
	}
	b, err := Open(g.t.Context(), o)
	if err != nil {
		g.t.Fatalf("open: %v", err)
	}
	return b
}

var (
	content3 = []blob.Class{blob.ClassContent, blob.ClassContent, blob.ClassContent}
	mixed3   = []blob.Class{blob.ClassContent, blob.ClassUnique, blob.ClassUnique}
)

// shortPages gives pages that are shorter than asked for.
type shortPages struct {
	blob.Driver
	g *trio
}

func (s *shortPages) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	if s.g.pages != nil {
		o.Limit = min(o.Limit, s.g.pages())
	}
	return s.Driver.List(ctx, o)
}

func (s *shortPages) Copy(ctx context.Context, dst string, from blob.Driver, src string, o blob.CopyOptions) (blob.Object, error) {
	if f, ok := from.(*shortPages); ok {
		from = f.Driver
	}
	return s.Driver.Copy(ctx, dst, from, src, o)
}

// fail makes calls of a member's head bucket fail, until heal.
func (g *trio) fail(i int, f faultblob.Fault) *faultblob.Injected {
	g.t.Helper()
	in, err := g.heads[i].Inject(f)
	if err != nil {
		g.t.Fatal(err)
	}
	return in
}

// down makes all of a member's calls fail.
func (g *trio) down(i int) {
	g.t.Helper()
	for _, d := range []*faultblob.Driver{g.heads[i], g.bodies[i]} {
		if d == nil {
			continue
		}
		if _, err := d.Inject(faultblob.Fault{Kind: faultblob.Down}); err != nil {
			g.t.Fatal(err)
		}
	}
}

// heal ends all faults, and what is known of them.
func (g *trio) heal() {
	for i := range g.heads {
		g.heads[i].Clear()
		if g.bodies[i] != nil {
			g.bodies[i].Clear()
		}
	}
	g.trust(g.b)
}

// trust lets a gateway ask members again that failed.
func (g *trio) trust(b *Bucket) {
	for _, m := range b.members {
		m.head.note(context.Background(), nil, 0)
		m.body.note(context.Background(), nil, 0)
	}
}

func (g *trio) put(key, body string) blob.Object {
	g.t.Helper()
	return mustPut(g.t, g.b, key, body)
}

func (g *trio) delete(key string) {
	g.t.Helper()
	if err := g.b.Delete(g.t.Context(), key, blob.DeleteOptions{}); err != nil {
		g.t.Fatalf("delete %q: %v", key, err)
	}
}

// plant writes a head at one member, past all others.
func (g *trio) plant(i int, h *head) {
	g.t.Helper()
	if err := g.write(g.t.Context(), i, h); err != nil {
		g.t.Fatal(err)
	}
}

func (g *trio) write(ctx context.Context, i int, h *head) error {
	data, err := h.encode(len(g.b.data))
	if err != nil {
		return err
	}
	_, err = g.stores[i].heads.Put(ctx, headPrefix+h.Key, bytes.NewReader(data), int64(len(data)), blob.PutOptions{})
	return err
}

// plain writes an object past Spare.
func (g *trio) plain(i int, key, body string) {
	g.t.Helper()
	if _, err := g.stores[i].body.Put(g.t.Context(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{}); err != nil {
		g.t.Fatal(err)
	}
}

// list gives all that a listing gives, page by page: objects by key, then
// prefixes.
func (g *trio) list(o blob.ListOptions) (keys, prefixes []string) {
	g.t.Helper()
	keys, prefixes, err := listAll(g.t.Context(), g.b, o)
	if err != nil {
		g.t.Fatalf("list %+v: %v", o, err)
	}
	return keys, prefixes
}

var errPage = errors.New("a page is wrong")

func listAll(ctx context.Context, b *Bucket, o blob.ListOptions) (keys, prefixes []string, err error) {
	limit := o.Limit
	if limit == 0 {
		limit = blob.MaxPage
	}
	for {
		p, err := b.List(ctx, o)
		if err != nil {
			return nil, nil, err
		}
		last := o.After
		for _, obj := range p.Objects {
			if obj.Key <= last {
				return nil, nil, errPage
			}
			last = obj.Key
			keys = append(keys, obj.Key)
		}
		prefixes = append(prefixes, p.Prefixes...)
		n := len(p.Objects) + len(p.Prefixes)
		switch {
		case n > limit, p.Next != "" && n < limit, !slices.IsSorted(p.Prefixes):
			return nil, nil, errPage
		case p.Next == "":
			return keys, prefixes, nil
		case p.Next != max(last, after(p.Prefixes)), p.Next <= o.After:
			return nil, nil, errPage
		}
		o.After = p.Next
	}
}

func after(prefixes []string) string {
	if len(prefixes) == 0 {
		return ""
	}
	return blob.AfterPrefix(prefixes[len(prefixes)-1])
}

func (g *trio) wantList(o blob.ListOptions, keys, prefixes []string) {
	g.t.Helper()
	gotKeys, gotPrefixes := g.list(o)
	if !slices.Equal(gotKeys, keys) || !slices.Equal(gotPrefixes, prefixes) {
		g.t.Errorf("list %+v gives\n  keys %q, prefixes %q, want\n  keys %q, prefixes %q", o, gotKeys, gotPrefixes, keys, prefixes)
	}
}

func (g *trio) wantBody(key, want string) {
	g.t.Helper()
	if got, err := readAll(g.t, g.b, key); err != nil || got != want {
		g.t.Errorf("%q holds %d bytes %.20q, %v; want %d bytes %.20q", key, len(got), got, err, len(want), want)
	}
}

func (g *trio) wantNone(key string) {
	g.t.Helper()
	if _, err := g.b.Head(g.t.Context(), key); !errs.Is(err, errs.NotFound) {
		g.t.Errorf("head of %q gives %v, want NotFound", key, err)
	}
}

// calls gives how often the members' head buckets were asked by a method.
func (g *trio) calls(b *Bucket, method string) (n uint64) {
	for _, m := range b.members {
		m.Heads.Stats().Calls(func(name string, calls, _ uint64) {
			if name == method {
				n += calls
			}
		})
	}
	return n
}
