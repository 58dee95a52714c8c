package replica

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// round is what listings of a majority of members say of the names behind some
// name. Each name was read at each of them at a moment after the round began,
// so that together they are what a quorum read of its register would find.
type round struct {
	keys []candidate // in byte order
	upTo string      // all names up to here are in keys
	end  bool        // all there are
}

// candidate is a name as the listings show it.
type candidate struct {
	name  string
	group bool         // a prefix for keys that the members rolled up
	heads []glimpse    // of the members whose listing has it
	plain *blob.Object // while adopting, as the source has it; nil = it has none
}

// glimpse is what one member's listing shows of a record.
type glimpse struct {
	m    *member
	tag  string
	size int64
}

// roster is one member's listing of one round.
type roster struct {
	m    *member // nil: the plain keys of the source
	page blob.Page
	err  error
}

// round lists the records whose keys begin with record, at a majority of
// members at once. Of a listing that was cut, what is behind the first cut is
// not used: the next round goes on there. So a member that fails is replaced
// from one round to the next, or within one, and the keys that are decided are
// decided by a majority all the same.
//
// While adopting, a round of heads takes in the source's plain keys, too.
func (b *Bucket) round(ctx context.Context, record string, o blob.ListOptions) (round, error) {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Quorum)
	defer cancel()
	var plain chan roster
	if source := b.source(); source != nil && record == headPrefix {
		plain = make(chan roster, 1)
		b.wgGo(func() {
			p, err := b.plainPage(ctx, source, o)
			plain <- roster{page: p, err: err}
		})
	}
	under := o
	under.Prefix = record + o.Prefix
	if o.After != "" {
		under.After = record + o.After
	}
	all, err := b.listMajority(ctx, under)
	if err != nil {
		return round{}, err
	}
	for i := range all {
		all[i].page = relative(all[i].page, len(record))
	}
	if plain != nil {
		p := <-plain
		if p.err != nil {
			return round{}, errs.Wrap(errs.Unavailable, p.err, "bucket %s: %s is being adopted and cannot be listed", b.o.Name, b.o.Adopt)
		}
		all = append(all, p)
	}
	return merge(all), nil
}

// relative takes what stands before them off the names of a page.
func relative(p blob.Page, cut int) blob.Page {
	for i := range p.Objects {
		p.Objects[i].Key = p.Objects[i].Key[cut:]
	}
	for i := range p.Prefixes {
		p.Prefixes[i] = p.Prefixes[i][cut:]
	}
	if p.Next != "" {
		p.Next = p.Next[cut:]
	}
	return p
}

// listMajority gives the listings of as many members as are a majority. One
// that fails is replaced by another at once, one that is slow is raced by
// another. A member that is not counted, or not asked, is none.
func (b *Bucket) listMajority(ctx context.Context, o blob.ListOptions) ([]roster, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan roster, len(b.members))
	left, pending := b.members, 0
	var failed []error
	ask := func() {
		for len(left) > 0 {
			m := left[0]
			left = left[1:]
			switch {
			case m.amnesic.Load():
				failed = append(failed, errAmnesic)
			case !m.head.ready():
				failed = append(failed, errSkipped)
			default:
				pending++
				b.wgGo(func() { answers <- b.rosterAt(ctx, m, o) })
				return
			}
		}
	}
	for range b.majority() {
		ask()
	}
	slow := time.NewTimer(b.o.Timing.Attempt)
	defer slow.Stop()
	var got []roster
	for len(got) < b.majority() {
		if pending == 0 {
			return nil, b.noMajority("listed", failed)
		}
		select {
		case a := <-answers:
			pending--
			if a.err == nil {
				got = append(got, a)
				continue
			}
			failed = append(failed, a.err)
			ask()
		case <-slow.C:
			for range b.majority() - len(got) {
				ask()
			}
		}
	}
	return got, nil
}

// rosterAt lists at one member.
func (b *Bucket) rosterAt(ctx context.Context, m *member, o blob.ListOptions) roster {
	began := time.Now()
	p, err := m.Heads.List(ctx, o)
	took := time.Since(began)
	if took >= b.o.Timing.Attempt {
		ctx = context.WithoutCancel(ctx) // that it was given up for another tells against it
	}
	m.head.note(ctx, err, took)
	if err == nil && m.amnesic.Load() {
		err = errAmnesic
	}
	return roster{m: m, page: p, err: err}
}

// merge joins listings by name, as far as all of them go.
func merge(all []roster) round {
	r := round{end: true}
	for _, n := range all {
		if next := n.page.Next; next != "" && (r.end || next < r.upTo) {
			r.upTo, r.end = next, false
		}
	}
	byName := map[string]*candidate{}
	at := func(name string) *candidate {
		if !r.end && name > r.upTo {
			return nil
		}
		c := byName[name]
		if c == nil {
			c = &candidate{name: name}
			byName[name] = c
		}
		return c
	}
	for _, n := range all {
		for i := range n.page.Objects {
			o := &n.page.Objects[i]
			switch c := at(o.Key); {
			case c == nil:
			case n.m == nil:
				c.plain = o
			default:
				c.heads = append(c.heads, glimpse{n.m, o.ETag, o.Size})
			}
		}
		for _, p := range n.page.Prefixes {
			if c := at(p); c != nil {
				c.group = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		r.keys = append(r.keys, *byName[name])
	}
	return r
}

// agreed says whether a majority of listings show the same head of a key. Equal
// bytes have equal tags where a tag is the MD5 of the bytes; where it is not,
// what is remembered of the tags decides, and else nothing is known.
func (b *Bucket) agreed(c candidate) bool {
	if len(c.heads) < b.majority() {
		return false
	}
	first := c.heads[0]
	for _, g := range c.heads[1:] {
		if g.tag == first.tag && g.size == first.size && isMD5(g.tag) {
			continue
		}
		one, oneKnown := b.heads.known(first.m, c.name, first.tag)
		other, otherKnown := b.heads.known(g.m, c.name, g.tag)
		if !oneKnown || !otherKnown || one.at() != other.at() {
			return false
		}
	}
	return true
}

// isMD5 says whether a tag has the form of an MD5 in hex.
func isMD5(tag string) bool {
	return len(tag) == 32 && strings.Trim(tag, "0123456789abcdef") == ""
}

// isDead says whether the listings prove that a key is deleted.
func (b *Bucket) isDead(c candidate) bool {
	return b.agreed(c) && stateOf(c.heads[0].size) == stateDeleted
}
