package replica

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// listFor bounds the work of one call of List, so that a client sees progress
// before it gives up: a stretch of more tombstones than can be passed in this
// time is passed in several calls.
const listFor = 15 * time.Second

// List gives a page of names: see [blob.Driver]. A key whose last completed
// operation before the call was a put is listed, one whose last was a delete is
// not; keys that change meanwhile are listed or not. The page is no snapshot:
// each key is as it was at some moment of the call.
//
// What is at the end of listings that took very long may be an empty page with
// a Next: keys that were passed are all deleted. A last page may be empty too.
//
// At the level local it is the listing of the plain keys at the first member
// that answers. At bounded it is as at strong, because no listing is kept.
//
// errs.Unavailable: no majority could be listed, or, while adopting, the source
// could not. What cannot be asked is never taken for empty.
func (b *Bucket) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	if err := checkList(o); err != nil {
		return blob.Page{}, err
	}
	if o.Limit <= 0 || o.Limit > blob.MaxPage {
		o.Limit = blob.MaxPage
	}
	if b.o.Level == Local {
		return b.localList(ctx, o)
	}
	s := &scan{b: b, o: o, at: o.After, want: o.Limit + 1, until: time.Now().Add(listFor)}
	if s.size = blob.MaxPage; o.Delimiter == "" {
		s.size = min(o.Limit+someDead, blob.MaxPage)
	}
	return s.page(ctx)
}

// checkList says what is wrong with the options of a listing.
func checkList(o blob.ListOptions) error {
	switch {
	case len(o.Prefix) > maxKey || len(o.Delimiter) > maxKey:
		return errs.E(errs.Invalid, "the prefix or the delimiter has more than %d bytes", maxKey)
	case !utf8.ValidString(o.Prefix) || !utf8.ValidString(o.Delimiter) || !utf8.ValidString(o.After):
		return errs.E(errs.Invalid, "the prefix, the delimiter or where to begin is not valid UTF-8")
	}
	return nil
}

// maxKey is the most bytes of a key: as many as [checkKey] takes.
const maxKey = blob.MaxKey - len(stagePrefix+"/"+noOp)

// localList lists the plain keys of the first member that answers.
func (b *Bucket) localList(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	var failed []error
	for _, m := range b.data {
		p, err := b.plainPage(ctx, m, o)
		for err == nil && p.Next != "" && len(p.Objects)+len(p.Prefixes) == 0 { // all of it was the bucket's own
			o.After = p.Next
			p, err = b.plainPage(ctx, m, o)
		}
		if err == nil || errs.Is(err, errs.Invalid) {
			return p, err
		}
		failed = append(failed, err)
	}
	return blob.Page{}, errs.Wrap(errs.Unavailable, errors.Join(failed...), "bucket %s: no member answers", b.o.Name)
}

// plainPage lists a member's plain keys without those that are the bucket's
// own. A page that ends among them skips the rest.
func (b *Bucket) plainPage(ctx context.Context, m *member, o blob.ListOptions) (blob.Page, error) {
	began := time.Now()
	p, err := m.Body.List(ctx, o)
	m.body.note(ctx, err, time.Since(began))
	for _, own := range b.o.Reserved {
		p.Objects = slices.DeleteFunc(p.Objects, func(o blob.Object) bool { return strings.HasPrefix(o.Key, own) })
		p.Prefixes = slices.DeleteFunc(p.Prefixes, func(name string) bool { return strings.HasPrefix(name, own) })
		if strings.HasPrefix(p.Next, own) && strings.HasPrefix(own, o.Prefix) {
			p.Next = blob.AfterPrefix(own)
		}
	}
	return p, err
}

// someDead is how many names more than are wanted are asked for at first, in
// case that some are deleted.
const someDead = 16

// scan fills one page.
//
// It lists in rounds, see [Bucket.round]. The first is flat even where keys
// are rolled up: it shows small trees whole. Where it does not reach the end,
// the next ones let the providers roll up, so that large prefixes are stepped
// over, and each prefix is looked into for a live key.
type scan struct {
	b      *Bucket
	o      blob.ListOptions // as asked
	at     string           // all up to here is decided
	size   int              // names to ask a member for
	rolls  bool             // ask the members to roll up
	want   int              // live names to look for: one more than fit, to know whether there are more
	exists bool             // only whether there is a live key matters, not what it is
	until  time.Time

	out   blob.Page
	count int    // names in out
	last  string // the After that goes on behind them
}

func (s *scan) page(ctx context.Context) (blob.Page, error) {
	for {
		o := blob.ListOptions{Prefix: s.o.Prefix, After: s.at, Limit: s.size}
		if s.rolls {
			o.Delimiter = s.o.Delimiter
		}
		r, err := s.b.round(ctx, headPrefix, o)
		if err != nil {
			return blob.Page{}, err
		}
		entries := s.entries(r)
		done, err := s.take(ctx, entries)
		switch {
		case err != nil:
			return blob.Page{}, err
		case done || r.end:
			return s.out, nil
		}
		s.advance(r, entries)
		switch {
		case s.count == s.o.Limit:
			s.out.Next = s.last // whether more are alive, the next page finds out
			return s.out, nil
		case time.Now().After(s.until):
			s.out.Next = s.at
			return s.out, nil
		}
		s.size, s.rolls = blob.MaxPage, s.o.Delimiter != ""
	}
}

// entry is a name that the page may give: a key, or a prefix for keys that are
// rolled up.
type entry struct {
	name  string
	group bool
	keys  []candidate // the key; of a group, those that were listed and are not certainly dead
	open  bool        // there may be other keys in the group, behind after
	after string
}

// entries folds what a round gave into names, in order. Keys that are certainly
// deleted are left out.
func (s *scan) entries(r round) []entry {
	var all []entry
	for _, k := range r.keys {
		group := k.name
		if !k.group {
			group = rolledUp(k.name, s.o)
		}
		switch {
		case group == "" && !s.b.isDead(k):
			all = append(all, entry{name: k.name, keys: []candidate{k}})
			continue
		case group == "", strings.HasPrefix(s.at, blob.AfterPrefix(group)): // the second was given, or is not wanted
			continue
		}
		if n := len(all); n == 0 || all[n-1].name != group {
			all = append(all, entry{name: group, group: true})
		}
		e := &all[len(all)-1]
		switch {
		case k.group:
			e.open = true
			if strings.HasPrefix(s.at, group) {
				e.after = s.at
			}
		case !s.b.isDead(k):
			e.keys = append(e.keys, k)
		}
	}
	if n := len(all); n > 0 && all[n-1].group && !all[n-1].open && !r.end && strings.HasPrefix(r.upTo, all[n-1].name) {
		all[n-1].open, all[n-1].after = true, r.upTo
	}
	return all
}

// rolledUp gives the prefix that a key is rolled up into, or "".
func rolledUp(key string, o blob.ListOptions) string {
	if o.Delimiter == "" {
		return ""
	}
	head, _, found := strings.Cut(key[len(o.Prefix):], o.Delimiter)
	if !found {
		return ""
	}
	return o.Prefix + head + o.Delimiter
}

// take puts what is alive on the page, in order. done: it is full, or the time
// is up, and Next is set.
func (s *scan) take(ctx context.Context, entries []entry) (done bool, err error) {
	for len(entries) > 0 {
		batch := entries[:min(len(entries), s.want-s.count)]
		entries = entries[len(batch):]
		found, err := s.look(ctx, batch)
		if err != nil {
			return false, err
		}
		for i, f := range found {
			switch {
			case f.stopped != "":
				s.out.Next = f.stopped
				return true, nil
			case !f.live:
				continue
			case s.count == s.o.Limit:
				s.out.Next = s.last
				return true, nil
			}
			if s.add(batch[i], f.object); s.count == s.want {
				return true, nil
			}
		}
		if len(entries) > 0 && s.count < s.o.Limit && time.Now().After(s.until) {
			s.out.Next = batch[len(batch)-1].behind()
			return true, nil
		}
	}
	return false, nil
}

func (s *scan) add(e entry, o blob.Object) {
	if e.group {
		s.out.Prefixes = append(s.out.Prefixes, e.name)
	} else {
		s.out.Objects = append(s.out.Objects, o)
	}
	s.last = e.behind()
	s.count++
}

// behind gives the After that goes on behind the entry.
func (e entry) behind() string {
	if e.group {
		return blob.AfterPrefix(e.name)
	}
	return e.name
}

// advance says that all of the round is decided: also the rest of a group that
// it ended in.
func (s *scan) advance(r round, entries []entry) {
	s.at = r.upTo
	if n := len(entries); n > 0 && entries[n-1].group && strings.HasPrefix(s.at, entries[n-1].name) {
		s.at = entries[n-1].behind()
	}
}
