package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	goccy "github.com/goccy/go-yaml/parser"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

func seeds(f *testing.F) {
	for _, path := range []string{examplePath, bucketsPath} {
		example, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(example)
	}
	f.Add([]byte(minimal))
	f.Add([]byte(bomb))
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		text, _, _ := bytes.Cut(data, []byte("-- want --\n"))
		f.Add(text)
	}
	for _, s := range []string{"a: |\n  b\n c: >-\n  d\n", "? a\n: b", "- - a\n  - b\n-", "a: 'b\n c'", "{a: [b, {c: d}, ], }", "a:\n- b\nc: d", "%TAG ! x\n---\n", "\"a\": b", "0 ", "\u00e9: \u00e9  \n", "{\u00e9: a , b: c }"} {
		f.Add([]byte(s))
	}
}

// FuzzParse holds the reader to its promises: it never panics, each fault has
// its place in the file, and no secret shows.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		opts := sealed()
		e, err := Parse("etc/spare.yaml", data, opts)
		if err == nil {
			if problems := estate.Validate(e); len(problems) > 0 {
				t.Fatalf("accepted, and yet %v", problems)
			}
			return
		}
		var faults *Errors
		if !errors.As(err, &faults) || !errs.Is(err, errs.Invalid) || len(faults.List) == 0 {
			t.Fatalf("%T, kind %v: %v", err, errs.KindOf(err), err)
		}
		lines := strings.Split(string(data), "\n")
		for _, d := range faults.List {
			switch {
			case d.File != "etc/spare.yaml", d.Message == "":
				t.Errorf("incomplete: %+v", d)
			case d.Line < 1 || d.Line > len(lines):
				t.Errorf("line %d of %d: %s", d.Line, len(lines), d)
			case d.Column < 1 || d.Column > utf8.RuneCountInString(lines[d.Line-1])+1:
				t.Errorf("column %d of %q: %s", d.Column, lines[d.Line-1], d)
			}
		}
		if !slices.IsSortedFunc(faults.List, func(a, b Diagnostic) int { return (a.Line-b.Line)<<32 + a.Column - b.Column }) {
			t.Error("not sorted by position")
		}
		var b bytes.Buffer
		if err := faults.Render(&b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), secretValue) && !bytes.Contains(data, []byte(secretValue)) {
			t.Errorf("a secret shows:\n%s", b.String())
		}
	})
}

// FuzzTree compares the tree with that of the parser whose scanner it uses:
// what is accepted here must be the same there, and each scalar must stand
// where its position says.
func FuzzTree(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 10_000 {
			return // the other parser is quadratic
		}
		src, faults := clean(data)
		if len(faults) > 0 {
			return
		}
		root, faults, _ := parse(src)
		if root == nil || len(faults) > 0 || emptyItem(root) {
			return
		}
		file, err := goccy.ParseBytes([]byte(src), 0, goccy.AllowDuplicateMapKey())
		if err != nil {
			t.Fatalf("accepted, and yet %v", err)
		}
		same(t, "", root, file.Docs[0].Body)
		placed(t, strings.Split(strings.ReplaceAll(src, "\r\n", "\n"), "\n"), root)
	})
}

// emptyItem reports a list item without a value. The other parser takes a key
// below such an item, in its column, for the item's value.
func emptyItem(n *node) bool {
	for _, e := range n.entries {
		if emptyItem(e.value) {
			return true
		}
	}
	for _, item := range n.items {
		if item.kind == null || emptyItem(item) {
			return true
		}
	}
	return false
}

func same(t *testing.T, path string, n *node, other ast.Node) {
	t.Helper()
	switch other := other.(type) {
	case *ast.MappingNode:
		if n.kind != mapping || len(n.entries) != len(other.Values) {
			t.Fatalf("%s: %d entries, the other has %d", path, len(n.entries), len(other.Values))
		}
		for i, v := range other.Values {
			same(t, path+"/key", n.entries[i].key, v.Key)
			same(t, estate.Key(path, n.entries[i].key.text), n.entries[i].value, v.Value)
		}
	case *ast.SequenceNode:
		if n.kind != list || len(n.items) != len(other.Values) {
			t.Fatalf("%s: %d items, the other has %d", path, len(n.items), len(other.Values))
		}
		for i, v := range other.Values {
			same(t, estate.Index(path, i), n.items[i], v)
		}
	case *ast.LiteralNode:
		if n.kind != scalar || n.text != other.Value.Value {
			t.Fatalf("%s: block %q, the other has %q", path, n.text, other.Value.Value)
		}
	case *ast.NullNode:
		if n.kind != null && plainKind(n.text) != "nothing" {
			t.Fatalf("%s: %s, the other has null", path, n.what())
		}
	default:
		if n.kind != scalar || n.text != other.GetToken().Value {
			t.Fatalf("%s: %q, the other has %T %q", path, n.text, other, other.GetToken().Value)
		}
	}
}

func placed(t *testing.T, lines []string, n *node) {
	t.Helper()
	if n.kind == scalar && !n.quoted && n.text != "" {
		if n.line > len(lines) {
			t.Fatalf("%q on line %d of %d", n.text, n.line, len(lines))
		}
		line := []rune(lines[n.line-1])
		if n.col > len(line) || !strings.HasPrefix(string(line[n.col-1:]), n.text) {
			t.Fatalf("%q is not at %d:%d, in %q", n.text, n.line, n.col, string(line))
		}
	}
	for _, e := range n.entries {
		placed(t, lines, e.key)
		placed(t, lines, e.value)
	}
	for _, item := range n.items {
		placed(t, lines, item)
	}
}
