package config

import (
	"regexp"
	"strings"
)

type kind uint8

const (
	broken kind = iota // reported already; readers pass over it in silence
	null               // no value
	scalar
	list
	mapping
)

// node is one value of the file and where it stands.
type node struct {
	kind      kind
	line, col int
	last      int    // the line that a text ends on
	quoted    bool   // a scalar in quotes, or a block of text: never a number
	text      string // of a scalar, as written: references are not replaced
	referring bool   // a scalar whose value came from a reference
	items     []*node
	entries   []entry
	index     map[string]int // of entries, built when first asked for
}

type entry struct{ key, value *node }

// entry gives the first entry of the mapping with the key.
func (n *node) entry(key string) (entry, bool) {
	if n.index == nil {
		n.index = make(map[string]int, len(n.entries))
		for i, e := range n.entries {
			if _, taken := n.index[e.key.text]; !taken {
				n.index[e.key.text] = i
			}
		}
	}
	i, ok := n.index[key]
	if !ok {
		return entry{}, false
	}
	return n.entries[i], true
}

// find gives the node that a path of [estate.Problem] means, or the nearest
// one above it that exists (then it is not exact). A scalar stands for itself;
// anything else is represented by its key, where an eye looks for it.
func (n *node) find(path string) (at *node, isValue, exact bool) {
	at, isValue = n, true
	for path != "" {
		step, rest := firstStep(path)
		var key *node
		switch n.kind {
		case mapping:
			e, ok := n.entry(step)
			if !ok {
				return at, isValue, false
			}
			key, n = e.key, e.value
		case list:
			i := atoi(step)
			if i < 0 || i >= len(n.items) {
				return at, isValue, false
			}
			n = n.items[i]
			key = n
		default:
			return at, isValue, false
		}
		if n.kind == broken {
			return key, false, false
		}
		at, isValue = key, n.kind == scalar
		if isValue {
			at = n
		}
		path = rest
	}
	return at, isValue, true
}

// firstStep cuts the first step off a path that [estate.Key] and
// [estate.Index] built.
func firstStep(path string) (step, rest string) {
	path = strings.TrimPrefix(path, ".")
	if strings.HasPrefix(path, "[\"") {
		name, rest := unquotePrefix(path[1:])
		return name, strings.TrimPrefix(rest, "]")
	}
	if strings.HasPrefix(path, "[") {
		step, rest, _ = strings.Cut(path[1:], "]")
		return step, rest
	}
	if i := strings.IndexAny(path, ".["); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}

// what names the node for a message.
func (n *node) what() string {
	switch n.kind {
	case list:
		return "a list"
	case mapping:
		return "a mapping"
	case scalar:
		if n.quoted {
			return "text"
		}
		return plainKind(n.text)
	default:
		return "nothing"
	}
}

var (
	nullWord = regexp.MustCompile(`^(~|null|Null|NULL)$`)
	boolWord = regexp.MustCompile(`^(true|True|TRUE|false|False|FALSE)$`)
	// numberLike is all that some reader of YAML takes for a number: decimal,
	// hexadecimal, both kinds of octal, binary, with underscores, with base 60.
	numberLike = regexp.MustCompile(`^[-+]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?` +
		`|([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))$|^\.(nan|NaN|NAN)$`)
)

// plainKind says what a scalar without quotes is to somebody who reads it
// with a YAML reader of either version.
func plainKind(text string) string {
	switch {
	case nullWord.MatchString(text):
		return "nothing"
	case boolWord.MatchString(text):
		return "true or false"
	case numberLike.MatchString(text):
		return "a number"
	default:
		return "text"
	}
}
