package fileblob

import (
	"context"
	"errors"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/blob"
)

// List implements [blob.Driver]. It descends into the folders in the order of
// the keys, and reads only those that the page needs. An ETag that must be
// computed first, because others put the file there, takes reading the file: a
// page that has computed much ends early.
func (d *Driver) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	if err := ended(ctx); err != nil {
		return blob.Page{}, err
	}
	f, err := d.folder()
	if err != nil {
		return blob.Page{}, err
	}
	if o.Limit <= 0 || o.Limit > blob.MaxPage {
		o.Limit = blob.MaxPage
	}
	l := &lister{ctx: ctx, d: d, f: f, o: o, budget: hashBudget}
	defer l.closeAttrs()
	err = l.list()
	if err == nil || errors.Is(err, errEnd) {
		err = d.lost(f)
	}
	if err != nil {
		return blob.Page{}, classified(err, "list")
	}
	return l.page, nil
}

// hashBudget is how many bytes a page may read to compute ETags, unless one
// file alone has more.
const hashBudget = 256 << 20

// lister makes one page.
type lister struct {
	ctx    context.Context
	d      *Driver
	f      *folder
	o      blob.ListOptions
	page   blob.Page
	last   string // After of the next page, so far
	group  string // prefix that was given last
	budget int64

	attrs   *os.Root // folder of the attributes that were read last, or nil
	attrsOf string
}

// errEnd ends a walk that has what it needs.
var errEnd = errors.New("the listing is complete")

func (l *lister) list() error {
	base := l.o.Prefix[:strings.LastIndexByte(l.o.Prefix, '/')+1]
	var names []string
	if base != "" {
		for _, seg := range strings.Split(strings.TrimSuffix(base, "/"), "/") {
			names = append(names, fileName(seg))
		}
	}
	dir, err := l.f.descend(names)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return l.walk(dir, base, l.visit)
}

// visitor is given the entries of a folder in order. base is what the keys of
// all that is in the folder begin with.
type visitor func(dir *os.Root, base string, e *entry) error

func (l *lister) walk(dir *os.Root, base string, visit visitor) error {
	if len(base) > blob.MaxKey {
		return nil // no key can name what is here
	}
	from := max(first(base, l.o.After), first(base, l.o.Prefix))
	for {
		entries, more, err := l.f.entries(dir, from)
		if err != nil {
			return err
		}
		for i := range entries {
			if err := ended(l.ctx); err != nil {
				return err
			}
			if err := visit(dir, base, &entries[i]); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		from = entries[len(entries)-1].sort + "\x00"
	}
}

// first gives where the entries of a folder begin that can lie at or behind a
// key: the key's segment there, with its slash.
func first(base, key string) string {
	rest, ok := strings.CutPrefix(key, base)
	if !ok {
		return ""
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[:i+1]
	}
	return rest
}

// wanted says whether a key, or the keys that begin with a folder's, can be
// part of the page, and ends the walk behind the prefix.
func (l *lister) wanted(key string, dir bool) (bool, error) {
	o := l.o
	switch {
	case len(key) > blob.MaxKey || !utf8.ValidString(key):
		return false, nil
	case !strings.HasPrefix(key, o.Prefix) && (!dir || !strings.HasPrefix(o.Prefix, key)):
		if key > o.Prefix {
			return false, errEnd
		}
		return false, nil
	case key <= o.After && (!dir || !strings.HasPrefix(o.After, key)):
		return false, nil
	case l.group != "" && strings.HasPrefix(key, l.group):
		return false, nil
	}
	return true, nil
}

func (l *lister) visit(dir *os.Root, base string, e *entry) error {
	key := base + e.sort
	ok, err := l.wanted(key, e.dir)
	if !ok || err != nil {
		return err
	}
	group := l.rolled(key)
	if group != "" && strings.HasPrefix(l.o.After, blob.AfterPrefix(group)) {
		return nil
	}
	switch {
	case !e.dir && group == "":
		return l.object(dir, base, e)
	case !e.dir:
		return l.prefix(group)
	}
	below, err := openDir(dir, e.name)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = below.Close() }()
	if group == "" {
		return l.walk(below, key, l.visit)
	}
	if err := l.walk(below, key, l.any); !errors.Is(err, errFound) {
		return err // there is no object below the folder
	}
	return l.prefix(group)
}

var errFound = errors.New("there is an object")

// any finds whether there is an object that the page could name.
func (l *lister) any(dir *os.Root, base string, e *entry) error {
	key := base + e.sort
	ok, err := l.wanted(key, e.dir)
	if !ok || err != nil {
		return err
	}
	if !e.dir {
		return errFound
	}
	below, err := openDir(dir, e.name)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = below.Close() }()
	return l.walk(below, key, l.any)
}

// rolled gives the prefix that a key is rolled up into, or "". All keys of a
// folder are rolled up as one if the folder's own begins with the prefix.
func (l *lister) rolled(key string) string {
	if l.o.Delimiter == "" || !strings.HasPrefix(key, l.o.Prefix) {
		return ""
	}
	i := strings.Index(key[len(l.o.Prefix):], l.o.Delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(l.o.Prefix)+i+len(l.o.Delimiter)]
}

// full ends the page if it is.
func (l *lister) full() error {
	if len(l.page.Objects)+len(l.page.Prefixes) < l.o.Limit {
		return nil
	}
	l.page.Next = l.last
	return errEnd
}

func (l *lister) prefix(group string) error {
	if err := l.full(); err != nil {
		return err
	}
	l.page.Prefixes = append(l.page.Prefixes, group)
	l.group, l.last = group, blob.AfterPrefix(group)
	return nil
}

func (l *lister) object(dir *os.Root, base string, e *entry) error {
	if err := l.full(); err != nil {
		return err
	}
	key := base + e.sort
	obj, err := l.describe(dir, key, e)
	if errors.Is(err, errAbsent) {
		return nil // it was deleted meanwhile
	}
	if errors.Is(err, errLater) {
		l.page.Next = l.last
		return errEnd
	}
	if err != nil {
		return err
	}
	l.page.Objects = append(l.page.Objects, obj)
	l.last = key
	return nil
}
