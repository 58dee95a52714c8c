package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sparecloud/spare/internal/estate"
)

// decoder walks the tree along the description of the file and keeps what it
// finds wrong.
type decoder struct {
	opts    Options
	folder  string
	src     string
	faults  []Diagnostic
	secrets []*node // literal ones, to be blotted out
	trail   []step  // from the root to the value that is being read
	blamed  map[*node]bool
	passed  []string // paths of broken values
}

// step is an entry of a mapping, or an item of a list when key is nil.
type step struct {
	key  *node
	item int
}

// reader reads one value of the file into a V, and describes it for the
// schema. A reader reports what is wrong and leaves into alone.
type reader[V any] interface {
	read(d *decoder, n *node, into *V)
	describe() *schema
}

// under reads a value one step further down.
func (d *decoder) under(s step, read func()) {
	d.trail = append(d.trail, s)
	read()
	d.trail = d.trail[:len(d.trail)-1]
}

// path gives the path of the value that is being read.
func (d *decoder) path() string {
	at := ""
	for _, s := range d.trail {
		if s.key == nil {
			at = estate.Index(at, s.item)
		} else {
			at = estate.Key(at, s.key.text)
		}
	}
	return at
}

// fault reports what is wrong with n, the value that is being read: the
// message is a predicate, "is not a duration".
func (d *decoder) fault(n *node, near []string, format string, args ...any) {
	at, message := n, fmt.Sprintf(format, args...)
	switch {
	case n.kind == scalar:
		message = quoted(n) + message
	case len(d.trail) > 0 && d.trail[len(d.trail)-1].key != nil:
		at = d.trail[len(d.trail)-1].key
	}
	d.report(at, d.path(), near, message)
}

// report adds a diagnostic about the node that stands for path.
func (d *decoder) report(n *node, path string, near []string, message string) {
	g := Diagnostic{Line: n.line, Column: n.col, Path: path, Text: n.shown(), Message: message}
	if path != "" {
		g.Message = path + ": " + message
	}
	if len(near) > 0 && !n.referring {
		g.Nearest = near[0]
	}
	if d.blamed == nil {
		d.blamed = map[*node]bool{}
	}
	d.blamed[n] = true
	d.faults = append(d.faults, g)
}

func quoted(n *node) string {
	if n.text == "" && !n.quoted {
		return ""
	}
	return strconv.Quote(n.shown()) + " "
}

// shown gives the text of a scalar as a message may repeat it: as it stands in
// the file, cut where it is long, and without what looks like a password.
func (n *node) shown() string {
	const most = 80
	text := n.text
	if i := strings.Index(text, "://"); i >= 0 {
		authority, _, _ := strings.Cut(text[i+3:], "/")
		if j := strings.LastIndexByte(authority, '@'); j >= 0 {
			text = text[:i+3] + "***" + text[i+3+j:]
		}
	}
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "..."
	}
	return text
}

// wrongType reports a value of another kind than the one that is wanted.
func (d *decoder) wrongType(n *node, wanted string) {
	switch {
	case n.kind == broken:
		d.passed = append(d.passed, d.path())
	case n.kind == null || n.kind == scalar && !n.quoted && plainKind(n.text) == "nothing":
		d.fault(n, nil, "has no value; %s is wanted", wanted)
	default:
		d.fault(n, nil, "is %s; %s is wanted", n.what(), wanted)
	}
}

// judge adds what [estate.Validate] finds, but for what follows from a fault
// that is reported already.
func (d *decoder) judge(root *node, e *estate.Estate) {
	whole := len(d.faults) == 0
	around := d.around()
	for _, p := range estate.Validate(e) {
		at, _, exact := root.find(p.Path)
		if d.blamed[at] || !whole && !exact || p.Lacks && around[p.Path] {
			continue
		}
		d.faults = append(d.faults, problem(root, p))
	}
}

// around gives the paths that have a fault somewhere below them.
func (d *decoder) around() map[string]bool {
	paths := map[string]bool{}
	faulty := d.passed
	for _, f := range d.faults {
		faulty = append(faulty, f.Path)
	}
	for _, p := range faulty {
		for {
			i := strings.LastIndexAny(p, ".[")
			if i < 0 || paths[p[:i]] {
				break
			}
			p = p[:i]
			paths[p] = true
		}
	}
	return paths
}

// problem places a problem of the estate in the file.
func problem(root *node, p estate.Problem) Diagnostic {
	at, isValue, exact := root.find(p.Path)
	g := Diagnostic{Line: at.line, Column: at.col, Path: p.Path, Message: p.Path + ": " + p.Message}
	if exact {
		g.Text = at.shown()
	}
	if exact && isValue && at.kind == scalar {
		g.Message = p.Path + ": " + quoted(at) + p.Message
	}
	if len(p.Near) > 0 && !at.referring {
		g.Nearest = p.Near[0]
	}
	return g
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// unquotePrefix reads the Go string literal that s begins with.
func unquotePrefix(s string) (value, rest string) {
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return s, ""
	}
	value, err = strconv.Unquote(quoted)
	if err != nil {
		return s, ""
	}
	return value, s[len(quoted):]
}
