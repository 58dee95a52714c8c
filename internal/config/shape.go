package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/estate"
)

// field is one key of a mapping that becomes a T.
type field[T any] struct {
	key, doc string
	required bool
	def      any      // what an absent key means, for the schema
	after    func(*T) // runs when the key is there
	read     func(d *decoder, n *node, into *T)
	describe func() *schema
}

// at describes the key whose value r reads into the part of T that pick gives.
func at[T, V any, R reader[V]](key string, pick func(*T) *V, r R, doc string) field[T] {
	return field[T]{
		key: key, doc: doc,
		read:     func(d *decoder, n *node, into *T) { r.read(d, n, pick(into)) },
		describe: r.describe,
	}
}

func (f field[T]) must() field[T]            { f.required = true; return f }
func (f field[T]) or(def any) field[T]       { f.def = def; return f }
func (f field[T]) then(do func(*T)) field[T] { f.after = do; return f }
func itself[T any](t *T) *T                  { return t }

// object reads a mapping whose keys are known.
type object[T any] struct {
	fields []field[T]
	// Of the keys in one either exactly one stands in the file, or, when
	// optional, at most one.
	one      []string
	optional bool
	any      []string // one at least of these stands in the file; none = no such rule
	index    map[string]int
}

func record[T any](fields ...field[T]) *object[T] {
	o := &object[T]{fields: fields, index: map[string]int{}}
	for i, f := range fields {
		o.index[f.key] = i
	}
	return o
}

func (o *object[T]) oneOf(keys ...string) *object[T]     { o.one = keys; return o }
func (o *object[T]) atMostOne(keys ...string) *object[T] { o.one, o.optional = keys, true; return o }
func (o *object[T]) anyOf(keys ...string) *object[T]     { o.any = keys; return o }

func (o *object[T]) keys() []string {
	keys := make([]string, len(o.fields))
	for i, f := range o.fields {
		keys[i] = f.key
	}
	return keys
}

func (o *object[T]) wanted() string {
	const most = 4
	switch keys := o.keys(); {
	case len(keys) == 0:
		return "the empty mapping {}"
	case len(keys) > most:
		return "a mapping with " + strings.Join(keys[:most], ", ") + " and others"
	default:
		return "a mapping with " + strings.Join(keys, ", ")
	}
}

func (o *object[T]) read(d *decoder, n *node, into *T) {
	if n.kind != mapping {
		d.wrongType(n, o.wanted())
		return
	}
	seen := make([]*node, len(o.fields))
	meant := map[string]bool{} // by unknown keys: no need to say that they are missing too
	merged := false            // keys that were to come from elsewhere are not missing either
	for _, e := range n.entries {
		i, known := o.index[e.key.text]
		switch {
		case e.key.kind == broken:
			merged = true
		case !known:
			near := estate.Near(e.key.text, o.keys())
			for _, k := range near {
				meant[k] = true
			}
			d.unknownKey(e.key, near)
		case seen[i] != nil:
			d.duplicate(e.key, seen[i])
		default:
			seen[i] = e.key
			d.under(step{key: e.key}, func() {
				o.fields[i].read(d, e.value, into)
				if o.fields[i].after != nil {
					o.fields[i].after(into)
				}
			})
		}
	}
	for i, f := range o.fields {
		if f.required && seen[i] == nil && !meant[f.key] && !merged {
			d.fault(n, nil, "lacks %q, which is required", f.key)
		}
	}
	o.exclude(d, n, seen)
	there := func(k string) bool { return seen[o.index[k]] != nil || meant[k] }
	if len(o.any) > 0 && !merged && !slices.ContainsFunc(o.any, there) {
		d.fault(n, nil, "lacks %s, of which one at least is required", strings.Join(o.any, " and "))
	}
}

// exclude reports keys that rule each other out.
func (o *object[T]) exclude(d *decoder, n *node, seen []*node) {
	var present []*node
	for i, f := range o.fields {
		if seen[i] != nil && slices.Contains(o.one, f.key) {
			present = append(present, seen[i])
		}
	}
	slices.SortFunc(present, func(a, b *node) int { return (a.line-b.line)*MaxSize + a.col - b.col })
	if len(present) > 1 {
		d.under(step{key: present[1]}, func() {
			d.report(present[1], d.path(), nil, fmt.Sprintf("stands beside %q; only one of %s is taken", present[0].text, strings.Join(o.one, ", ")))
		})
	} else if len(present) == 0 && !o.optional && len(o.one) > 0 {
		d.fault(n, nil, "lacks one of %s", strings.Join(o.one, ", "))
	}
}

func (d *decoder) unknownKey(key *node, near []string) {
	where := d.path()
	message := fmt.Sprintf("unknown key %q", key.shown())
	if where != "" {
		message += " in " + where
	}
	d.report(key, "", near, message)
	d.faults[len(d.faults)-1].Path = estate.Key(where, key.text)
}

func (d *decoder) duplicate(key, first *node) {
	where := d.path()
	message := fmt.Sprintf("duplicate key %q", key.shown())
	if where != "" {
		message += " in " + where
	}
	d.report(key, "", nil, fmt.Sprintf("%s; it stands on line %d already", message, first.line))
	d.faults[len(d.faults)-1].Path = estate.Key(where, key.text)
}

// named reads a mapping from names that the user chose to values, in the order
// of the file.
type named[V any] struct {
	make  func(name string) V
	item  reader[V]
	key   string // pattern of the names, for the schema; estate.Validate checks them
	noun  string // "services"
	least int    // entries
}

func (m named[V]) read(d *decoder, n *node, into *[]V) {
	if n.kind != mapping {
		d.wrongType(n, "a mapping from names to "+m.noun)
		return
	}
	if len(n.entries) < m.least {
		d.fault(n, nil, "is empty; there must be one at least")
	}
	seen := make(map[string]*node, len(n.entries))
	for _, e := range n.entries {
		switch first := seen[e.key.text]; {
		case e.key.kind == broken:
			continue
		case first != nil:
			d.duplicate(e.key, first)
			continue
		}
		seen[e.key.text] = e.key
		v := m.make(e.key.text)
		d.under(step{key: e.key}, func() {
			if kind := plainKind(e.key.text); !e.key.quoted && kind != "text" {
				d.report(e.key, d.path(), nil, "is "+kind+" to YAML; quote it to make it a name")
			}
			m.item.read(d, e.value, &v)
		})
		*into = append(*into, v)
	}
}

// optional reads a value whose absence means something.
type optional[V any] struct{ of reader[V] }

func (o optional[V]) read(d *decoder, n *node, into **V) {
	v := new(V)
	o.of.read(d, n, v)
	*into = v
}

// sequence reads a list.
type sequence[V any] struct {
	of    reader[V]
	least int    // items
	like  string // an example, for messages
}

func (s sequence[V]) read(d *decoder, n *node, into *[]V) {
	if n.kind != list {
		d.wrongType(n, "a list such as "+s.like)
		return
	}
	if len(n.items) < s.least {
		d.fault(n, nil, "is empty; leave the key out, or write a list such as %s", s.like)
	}
	for i, item := range n.items {
		var v V
		d.under(step{item: i}, func() { s.of.read(d, item, &v) })
		*into = append(*into, v)
	}
}
