package config

import (
	"strings"

	"github.com/goccy/go-yaml/token"
)

// flow reads a mapping in braces or a list in brackets.
func (p *parser) flow() *node {
	open, indent := p.peek(), p.indents[p.i]
	p.i++
	if p.depth++; p.depth > maxDepth {
		return p.fail(open, "values nest deeper than %d levels", maxDepth)
	}
	defer func() { p.depth-- }()
	n := &node{kind: mapping, line: open.Position.Line, col: open.Position.Column}
	end, next := token.MappingEndType, p.flowEntry
	if open.Type == token.SequenceStartType {
		n.kind, end, next = list, token.SequenceEndType, p.flowItem
	}
	for first := true; ; first = false {
		t := p.peek()
		switch {
		case t == nil:
			return p.fail(open, "%q is never closed", open.Value)
		case t.Type == end:
			p.i++
			return n
		case t.Position.Line > open.Position.Line && t.Position.Column <= indent && p.isKey(p.i):
			return p.fail(open, "%q is not closed before line %d begins another key", open.Value, t.Position.Line)
		case first:
		case t.Type != token.CollectEntryType:
			return p.fail(t, "a comma or %q is missing before this", map[kind]string{list: "]", mapping: "}"}[n.kind])
		default:
			p.i++
			if p.peekType() == end {
				p.i++
				return n
			}
		}
		next(n)
		if p.stopped {
			return n
		}
	}
}

func (p *parser) flowEntry(n *node) {
	p.properties()
	t := p.peek()
	if t == nil {
		return
	}
	var key *node
	if t.Type == token.MergeKeyType {
		p.fault(t, `"<<" is not read; write the keys out`)
		key = &node{kind: broken, line: t.Position.Line, col: t.Position.Column}
		p.i++
	} else {
		key = p.scalar()
	}
	value := &node{kind: null, line: key.line, col: key.col}
	if p.peekType() == token.MappingValueType {
		if colon := p.peek(); colon.Position.Line != t.Position.Line {
			p.fail(colon, "a key and its colon must stand on one line")
			return
		}
		p.i++
		switch p.peekType() {
		case token.CollectEntryType, token.MappingEndType:
		default:
			value = p.flowValue()
		}
	}
	n.entries = append(n.entries, entry{key, value})
}

func (p *parser) flowItem(n *node) {
	n.items = append(n.items, p.flowValue())
	if t := p.peek(); t != nil && t.Type == token.MappingValueType {
		p.fail(t, `a ":" stands inside a list; quote the text, or put the mapping in braces`)
	}
}

func (p *parser) flowValue() *node {
	p.properties()
	switch p.peekType() {
	case token.MappingStartType, token.SequenceStartType:
		return p.flow()
	default:
		return p.scalar()
	}
}

// properties passes over anchors and tags, each of which is a fault.
func (p *parser) properties() {
	for {
		t := p.peek()
		switch p.peekType() {
		case token.AnchorType:
			p.fault(t, "anchors are not read; write the value out where it is used")
			p.i++
			if p.peek() != nil {
				p.i++ // its name
			}
		case token.TagType:
			p.fault(t, "tags are not read; remove %s", firstLine(t.Value))
			p.i++
		default:
			return
		}
	}
}

// scalar reads a text on one line.
func (p *parser) scalar() *node {
	t := p.peek()
	if t == nil {
		last := p.tokens[len(p.tokens)-1]
		return p.fail(last, "something is missing after this")
	}
	switch {
	case t.Type == token.AliasType:
		p.fault(t, "aliases are not read; write the value out")
		p.i = min(p.i+2, len(p.tokens))
		return &node{kind: broken, line: t.Position.Line, col: t.Position.Column}
	case t.Type == token.MappingValueType:
		return p.fail(t, `no key stands before this ":"`)
	case !isText(t):
		return p.fail(t, "%q cannot stand here; a text that begins with it needs quotes", t.Value)
	case strings.ContainsAny(strings.Trim(t.Origin, " \r\n"), "\r\n"):
		return p.fail(t, "this text runs on to the next line; is a quote, a colon, a comma or a bracket missing?")
	}
	p.i++
	return &node{
		kind: scalar, line: t.Position.Line, col: t.Position.Column, last: t.Position.Line,
		text: t.Value, quoted: t.Indicator == token.QuotedScalarIndicator,
	}
}

// isText reports a token that is a scalar, of whatever type.
func isText(t *token.Token) bool {
	switch t.Type {
	case token.StringType, token.SingleQuoteType, token.DoubleQuoteType, token.NullType, token.BoolType,
		token.IntegerType, token.BinaryIntegerType, token.OctetIntegerType, token.HexIntegerType,
		token.FloatType, token.InfinityType, token.NanType, token.ImplicitNullType:
		return true
	}
	return false
}
