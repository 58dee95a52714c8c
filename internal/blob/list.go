package blob

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/errs"
)

// List gives a page of names: see [Driver].
func (b *Bucket) List(ctx context.Context, o ListOptions) (Page, error) {
	prefix := o.Prefix
	if err := b.within(prefix, o.After); err != nil {
		return Page{}, b.refused("list", prefix, err)
	}
	if o.Limit <= 0 || o.Limit > MaxPage {
		o.Limit = MaxPage
	}
	o.Prefix = b.prefix + prefix
	if o.After != "" {
		o.After = b.prefix + o.After
	}
	p, err := b.drv.List(ctx, o)
	if err == nil {
		err = p.sound(o)
	}
	if err != nil {
		return Page{}, b.done("list", prefix, err)
	}
	cut := len(b.prefix)
	for i := range p.Objects {
		p.Objects[i].Key = p.Objects[i].Key[cut:]
	}
	for i := range p.Prefixes {
		p.Prefixes[i] = p.Prefixes[i][cut:]
	}
	if p.Next != "" {
		p.Next = p.Next[cut:]
	}
	return p, b.done("list", prefix, nil)
}

// within says what is wrong with a prefix and a place to go on from.
func (b *Bucket) within(prefix, after string) error {
	switch {
	case len(b.prefix)+len(prefix) > MaxKey:
		return errs.E(errs.Invalid, "the prefix has %d bytes, at most %d are allowed in this bucket", len(prefix), MaxKey-len(b.prefix))
	case !utf8.ValidString(prefix) || !utf8.ValidString(after):
		return errs.E(errs.Invalid, "the prefix, or where to begin, is not valid UTF-8")
	}
	return nil
}

// sound says whether the page can be an answer to o. A listing that leaves its
// order, repeats itself or does not advance would make whoever merges it with
// another lose keys, or never end.
func (p Page) sound(o ListOptions) error {
	if n := len(p.Objects) + len(p.Prefixes); n > o.Limit {
		return errs.Wrap(errs.Internal, ErrSuspect, "%d names came where %d were asked for", n, o.Limit)
	}
	last, lastPrefix := o.After, ""
	for _, obj := range p.Objects {
		if obj.Key <= last || !strings.HasPrefix(obj.Key, o.Prefix) {
			return errs.Wrap(errs.Internal, ErrSuspect, "key %q came behind %q in a listing of %q", obj.Key, last, o.Prefix)
		}
		last = obj.Key
	}
	for _, prefix := range p.Prefixes {
		if prefix <= lastPrefix || !strings.HasPrefix(prefix, o.Prefix) || prefix == o.Prefix {
			return errs.Wrap(errs.Internal, ErrSuspect, "prefix %q came behind %q in a listing of %q", prefix, lastPrefix, o.Prefix)
		}
		lastPrefix = prefix
	}
	if p.Next != "" && (p.Next <= o.After || p.Next < max(last, lastPrefix) || !strings.HasPrefix(p.Next, o.Prefix)) {
		return errs.Wrap(errs.Internal, ErrSuspect, "the listing of %q goes on behind %q, which is not behind what it gave", o.Prefix, p.Next)
	}
	return nil
}
