package config

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// maxDepth is how deep values may nest. The deepest of an estate is 7.
const maxDepth = 32

// parser makes a tree of tokens. After a fault that leaves it without a
// foothold it stands still: peek gives nil, and all that is under way ends.
// The root mapping then goes on at its next key.
type parser struct {
	tokens  []*token.Token
	indents []int // by token: the column of the first token on its line
	i       int
	depth   int
	inFlow  bool
	stopped bool
	torn    bool // it has stopped once
	faults  []Diagnostic
}

// parse gives the tree of src and its faults of syntax. The root is nil when
// nothing can be made of the file; torn says that a part of it could not be
// read, and so will seem to be missing.
func parse(src string) (root *node, faults []Diagnostic, torn bool) {
	tokens, fault := scan(src)
	if fault != nil {
		return nil, []Diagnostic{*fault}, true
	}
	p := &parser{tokens: tokens}
	p.oneDocument()
	p.indents = indents(p.tokens)
	if p.peek() == nil {
		empty := Diagnostic{Line: 1, Column: 1, Message: "the file is empty; it must declare version, sites and services"}
		return nil, append(p.faults, empty), true
	}
	root = p.block()
	if t := p.peek(); t != nil && t.Position.Line == p.tokens[p.i-1].Position.Line {
		p.fail(t, "nothing may follow a value on its line")
	} else if t != nil {
		p.fail(t, "this line is indented less than the lines above, and belongs to none of them")
	}
	if root.kind == broken || p.stopped {
		return nil, p.faults, true
	}
	return root, p.faults, p.torn
}

// oneDocument takes the marks of documents and directives out.
func (p *parser) oneDocument() {
	if len(p.tokens) > 0 && p.tokens[0].Type == token.DocumentHeaderType {
		head := p.tokens[0]
		if p.tokens = p.tokens[1:]; len(p.tokens) > 0 && p.tokens[0].Position.Line == head.Position.Line {
			p.fault(p.tokens[0], "nothing may follow --- on its line")
		}
	}
	for i, t := range p.tokens {
		switch t.Type {
		case token.DocumentHeaderType, token.DocumentEndType:
			p.fault(t, "the file holds one document only; this begins or ends another")
			p.tokens = p.tokens[:i]
			return
		}
	}
}

func indents(tokens []*token.Token) []int {
	columns := make([]int, len(tokens))
	for i, t := range tokens {
		columns[i] = t.Position.Column
		if i > 0 && t.Position.Line == tokens[i-1].Position.Line {
			columns[i] = columns[i-1]
		}
	}
	return columns
}

func (p *parser) peek() *token.Token {
	if p.stopped || p.i >= len(p.tokens) {
		return nil
	}
	return p.tokens[p.i]
}

func (p *parser) peekType() token.Type {
	if t := p.peek(); t != nil {
		return t.Type
	}
	return token.UnknownType
}

func (p *parser) fault(t *token.Token, format string, args ...any) {
	text := ""
	if t.Type != token.UnknownType {
		text = firstLine(t.Value)
	}
	p.faults = append(p.faults, Diagnostic{
		Line: t.Position.Line, Column: max(1, t.Position.Column), Text: text, Message: fmt.Sprintf(format, args...),
	})
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// fail reports a fault after which the tokens that follow cannot be placed.
func (p *parser) fail(t *token.Token, format string, args ...any) *node {
	if !p.stopped {
		p.fault(t, format, args...)
		p.stopped, p.torn = true, true
	}
	return &node{kind: broken, line: t.Position.Line, col: max(1, t.Position.Column)}
}

// resume goes on at the root's next key after a failure, or at the end when
// there is none, and reports whether it could. Within braces or brackets it
// cannot: the scanner itself has lost its way.
func (p *parser) resume(col int) bool {
	if !p.stopped || p.inFlow || p.depth != 1 {
		return false
	}
	for i := p.i + 1; i < len(p.tokens); i++ {
		if t := p.tokens[i]; t.Position.Column == col && p.isKey(i) && t.Position.Line > p.tokens[i-1].Position.Line {
			p.i, p.stopped = i, false
			return true
		}
	}
	p.i, p.stopped = len(p.tokens), false
	return true
}

// block reads the value that begins at the current token.
func (p *parser) block() *node {
	p.properties()
	t := p.peek()
	if t == nil {
		return &node{kind: broken, line: 1, col: 1}
	}
	if p.depth++; p.depth > maxDepth {
		return p.fail(t, "values nest deeper than %d levels", maxDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case t.Type == token.SequenceEntryType:
		return p.list(t.Position.Column)
	case t.Type == token.MergeKeyType, p.isKey(p.i):
		return p.mapping(t.Position.Column)
	case t.Type == token.LiteralType, t.Type == token.FoldedType:
		return p.textBlock()
	case t.Type == token.MappingStartType, t.Type == token.SequenceStartType:
		p.inFlow = true
		n := p.flow()
		if !p.stopped {
			p.inFlow = false
		}
		return n
	default:
		return p.scalar()
	}
}

func (p *parser) mapping(col int) *node {
	n := &node{kind: mapping, line: p.peek().Position.Line, col: col}
	for {
		for t := p.peek(); t != nil && t.Position.Column == col; t = p.peek() {
			key := p.key()
			value := p.value(col, key)
			n.entries = append(n.entries, entry{key, value})
			if p.stopped {
				value.kind = broken
				p.resume(col)
			}
		}
		if t := p.peek(); t != nil && t.Position.Column > col {
			p.stray(t)
		}
		if !p.resume(col) {
			return n
		}
	}
}

// stray reports a line that is indented like none that it could belong to.
func (p *parser) stray(t *token.Token) {
	p.fail(t, "this line is indented by %d, and no line above it that it could belong to is", t.Position.Column-1)
}

// key reads a key and its colon.
func (p *parser) key() *node {
	p.properties()
	t := p.peek()
	if t == nil {
		return &node{kind: broken, line: 1, col: 1}
	}
	var n *node
	switch t.Type {
	case token.SequenceEntryType:
		return p.fail(t, "a list item stands among the keys of a mapping")
	case token.MappingKeyType:
		return p.fail(t, `keys are written "key: value"; "?" is not read`)
	case token.MergeKeyType:
		p.fault(t, `"<<" is not read; write the keys out`)
		n = &node{kind: broken, line: t.Position.Line, col: t.Position.Column}
		p.i++
	default:
		n = p.scalar()
	}
	colon := p.peek()
	switch {
	case colon == nil && !p.stopped:
		return p.fail(t, `this is no "key: value"; is a colon missing?`)
	case colon == nil:
		return n
	case colon.Type != token.MappingValueType, colon.Position.Line != t.Position.Line:
		return p.fail(t, `this is no "key: value"; is a colon missing?`)
	}
	p.i++
	return n
}

// value reads what follows a key of the mapping in column col.
func (p *parser) value(col int, key *node) *node {
	p.properties()
	t := p.peek()
	nothing := &node{kind: null, line: key.line, col: key.col}
	if t == nil {
		return nothing
	}
	sameLine := t.Position.Line == p.tokens[p.i-1].Position.Line
	dash := t.Type == token.SequenceEntryType
	switch {
	case !sameLine && (t.Position.Column < col || t.Position.Column == col && !dash):
		return nothing
	case sameLine && dash:
		return p.fail(t, "a list begins on a line of its own, or is written [a, b]")
	case sameLine && p.isKey(p.i):
		return p.fail(p.tokens[p.i+1], `a second ":" stands on this line; quote the value, or put it on the next line`)
	}
	return p.ended(p.block())
}

// isKey reports whether token i is followed by a colon.
func (p *parser) isKey(i int) bool {
	return isText(p.tokens[i]) && i+1 < len(p.tokens) && p.tokens[i+1].Type == token.MappingValueType
}

// ended makes sure that a value is the last thing on its line.
func (p *parser) ended(n *node) *node {
	if t := p.peek(); t != nil && t.Position.Line == p.tokens[p.i-1].Position.Line {
		p.fail(t, "nothing may follow a value on its line")
		return &node{kind: broken, line: n.line, col: n.col}
	}
	return n
}

func (p *parser) list(col int) *node {
	n := &node{kind: list, line: p.peek().Position.Line, col: col}
	for t := p.peek(); t != nil && t.Position.Column == col && t.Type == token.SequenceEntryType; t = p.peek() {
		p.i++
		p.properties()
		item := p.peek()
		if item == nil || (item.Position.Line > t.Position.Line && item.Position.Column <= col) {
			n.items = append(n.items, &node{kind: null, line: t.Position.Line, col: t.Position.Column})
			continue
		}
		n.items = append(n.items, p.ended(p.block()))
	}
	if t := p.peek(); t != nil && t.Position.Column > col {
		p.stray(t)
	}
	return n
}

// textBlock reads a text that "|" or ">" introduces.
func (p *parser) textBlock() *node {
	head := p.peek()
	n := &node{kind: scalar, quoted: true, line: head.Position.Line, col: head.Position.Column, last: head.Position.Line}
	p.i++
	if t := p.peek(); t != nil && t.Type == token.StringType {
		n.text = t.Value
		n.last += strings.Count(t.Origin, "\n") + 1
		// The scanner places a text block at its end: place it where it began,
		// so that what follows is seen to be on another line.
		t.Position.Line = head.Position.Line
		p.i++
	}
	return n
}
