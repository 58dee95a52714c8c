package replica

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

// listing goes through one member's names, a page at a time.
type listing struct {
	m     *member
	plain bool // of objects, else of heads
	from  *blob.Bucket
	under string // what stands before the keys there
	o     blob.ListOptions
	skip  []string // prefixes of what is ours there
	page  []blob.Object
	ended bool
	err   error // why no more come
}

func headListing(m *member, prefix string) *listing {
	return &listing{m: m, from: m.Heads, under: headPrefix, o: blob.ListOptions{Prefix: headPrefix + prefix}}
}

func (b *Bucket) plainListing(m *member, prefix string) *listing {
	return &listing{m: m, plain: true, from: m.Body, skip: b.o.Reserved, o: blob.ListOptions{Prefix: prefix}}
}

const listTries = 3

// peek gives the next object, or nil at the end. A member that does not answer
// ends its listing with l.err.
func (l *listing) peek(ctx context.Context, limit time.Duration) *blob.Object {
	backoff := run.Backoff{Min: 200 * time.Millisecond, Max: 2 * time.Second}
	for tries := 1; len(l.page) == 0; tries++ {
		if l.ended || l.err != nil {
			return nil
		}
		page, err := l.next(ctx, limit)
		if err == nil {
			tries = 0
			l.page = page.Objects
			l.o.After, l.ended = page.Next, page.Next == ""
			l.pass()
			continue
		}
		if tries >= listTries || run.Sleep(ctx, backoff.Next()) != nil {
			l.err = err
		}
	}
	return &l.page[0]
}

// pass leaves out what is ours: not only of the page, of which it may be more
// than all.
func (l *listing) pass() {
	for _, p := range l.skip {
		n := len(l.page)
		l.page = slices.DeleteFunc(l.page, func(o blob.Object) bool { return strings.HasPrefix(o.Key, p) })
		if len(l.page) < n && !l.ended {
			l.o.After = max(l.o.After, blob.AfterPrefix(p))
		}
	}
}

func (l *listing) next(ctx context.Context, limit time.Duration) (blob.Page, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return l.from.List(ctx, l.o)
}

func (l *listing) key(o *blob.Object) string { return strings.TrimPrefix(o.Key, l.under) }

// seen is what the listings say of one key.
type seen struct {
	key   string
	heads []listed // of the members that have one
	plain []listed
}

// listed is an object as a member's listing has it.
type listed struct {
	m *member
	blob.Object
}

func (s seen) anyPlain() bool { return len(s.plain) > 0 }

// buried says whether the listings alone prove that the key is deleted and
// nothing is left to do: the same bytes at all members, those of a tombstone,
// and no plain object. Tags of one kind of provider never equal another's, so
// that there the registers are read.
func (s seen) buried(members int) bool {
	if len(s.heads) != members || s.anyPlain() || stateOf(s.heads[0].Size) != stateDeleted {
		return false
	}
	for _, h := range s.heads {
		if h.ETag != s.heads[0].ETag || h.Size != s.heads[0].Size || h.ETag == "" {
			return false
		}
	}
	return true
}

// settled says whether the listings alone show that nothing is to be done: all
// members hold the same head, of a key whose bodies are at all that shall have
// them, and every plain object was written after its head, all of one size.
// Stamps of one provider are compared with each other only. What is settled and
// does not look so is looked at, and costs a read.
func (s seen) settled(members, data int) bool {
	if s.buried(members) {
		return true
	}
	if len(s.heads) != members || len(s.plain) != data || stateOf(s.heads[0].Size) != stateWhole {
		return false
	}
	written := map[*member]time.Time{}
	for _, h := range s.heads {
		if h.ETag != s.heads[0].ETag || h.Size != s.heads[0].Size || h.ETag == "" {
			return false
		}
		written[h.m] = h.Modified
	}
	for _, p := range s.plain {
		if p.Size != s.plain[0].Size || p.Modified.Before(written[p.m]) {
			return false
		}
	}
	return true
}

// walk merges the listings by key and gives each key once, in order, until each
// says so. Members whose listing fails are left out from there on; without the
// heads of a majority what comes is no longer complete, and it ends.
func (b *Bucket) walk(ctx context.Context, lists []*listing, each func(seen) bool) error {
	for ctx.Err() == nil {
		var s seen
		found := false
		for _, l := range lists {
			if o := l.peek(ctx, b.o.Timing.Quorum); o != nil && (!found || l.key(o) < s.key) {
				s.key, found = l.key(o), true
			}
		}
		if err := b.heard(lists); err != nil {
			return err
		}
		if !found {
			return nil
		}
		for _, l := range lists {
			if len(l.page) == 0 || l.key(&l.page[0]) != s.key {
				continue
			}
			if l.plain {
				s.plain = append(s.plain, listed{l.m, l.page[0]})
			} else {
				s.heads = append(s.heads, listed{l.m, l.page[0]})
			}
			l.page = l.page[1:]
		}
		if !each(s) {
			return nil
		}
	}
	return nil
}

// heard says whether a majority's heads were listed so far.
func (b *Bucket) heard(lists []*listing) error {
	var failed []error
	lost := 0
	for _, l := range lists {
		switch {
		case l.plain:
		case l.m.amnesic.Load():
			lost++
			failed = append(failed, errs.E(errs.Unavailable, "%s: %w", l.m.ID, errAmnesic))
		case l.err != nil:
			lost++
			failed = append(failed, l.err)
		}
	}
	if len(b.members)-lost < b.majority() {
		return b.noMajority("listed", failed)
	}
	return nil
}
