package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/scanner"
	"github.com/goccy/go-yaml/token"
)

// maxBlank bounds the blank lines in a row. The scanner takes them off the end
// of a text block one by one, and copies the whole text for each.
const maxBlank = 100

// maxMarks bounds the number of characters that can become a token of their
// own. A token costs some 250 bytes, so that 4 MiB of brackets would cost a
// gigabyte; a large estate has a tenth of this.
const maxMarks = 1 << 20

// clean gives the file's text when it is fit to be scanned, or what is not:
// size, encoding and characters that hide from the eye.
func clean(data []byte) (string, []Diagnostic) {
	one := func(line, col int, text, format string, args ...any) []Diagnostic {
		return []Diagnostic{{Line: line, Column: col, Text: text, Message: fmt.Sprintf(format, args...)}}
	}
	switch {
	case len(data) > MaxSize:
		return "", one(1, 1, "", "the file is larger than %d MiB", MaxSize>>20)
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return "", one(1, 1, "", "the file begins with a byte order mark; save it as UTF-8 without one")
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return "", one(1, 1, "", "the file is UTF-16; save it as UTF-8")
	}
	// The scanner counts some line ends of Windows twice.
	src := strings.ReplaceAll(string(data), "\r\n", "\n")
	marks := 0
	for _, c := range data {
		if strings.IndexByte("[]{},:-?&*!|>'\"%#", c) >= 0 {
			marks++
		}
	}
	if marks > maxMarks {
		return src, one(1, 1, "", "the file holds more than %d marks of punctuation", maxMarks)
	}
	return src, strange(src)
}

// strange finds bytes that are not UTF-8, control characters and tabs, the
// first of each line, and deserts of blank lines.
func strange(src string) []Diagnostic {
	var found []Diagnostic
	line, blank := 0, 0
	for text := range strings.Lines(src) {
		line++
		text = strings.TrimSuffix(text, "\n")
		if blank++; strings.TrimLeft(text, " ") != "" {
			blank = 0
		} else if blank > maxBlank {
			return append(found, Diagnostic{Line: line, Column: 1, Message: fmt.Sprintf("more than %d blank lines follow each other", maxBlank)})
		}
		col := 0
		for i, r := range text {
			col++
			message := ""
			switch {
			case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
				message = fmt.Sprintf("byte 0x%02x is not UTF-8", text[i])
			case r == '\t' && !inComment(text[:i]):
				message = `a tab stands here; use spaces, or "\t" in double quotes`
			case r != '\t' && r < ' ', r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029, r == 0xfeff:
				message = fmt.Sprintf("the control character U+%04X stands here; remove it, or escape it in double quotes", r)
			}
			if message != "" {
				found = append(found, Diagnostic{Line: line, Column: col, Message: message})
				break
			}
		}
	}
	return found
}

func inComment(before string) bool {
	return strings.HasPrefix(strings.TrimLeft(before, " "), "#") || strings.Contains(before, " #")
}

// scan gives the tokens of src without comments. The scanner has had panics;
// one of them is a fault of the file like any other.
func scan(src string) (tokens []*token.Token, fault *Diagnostic) {
	defer func() {
		if r := recover(); r != nil {
			tokens, fault = nil, &Diagnostic{Line: 1, Column: 1, Message: "the file cannot be read as YAML"}
		}
	}()
	p := placer{lines: strings.Split(src, "\n")}
	var s scanner.Scanner
	s.Init(src)
	for {
		some, err := s.Scan()
		if errors.Is(err, io.EOF) {
			return tokens, nil
		}
		for _, t := range some {
			switch t.Type {
			case token.CommentType:
			case token.InvalidType:
				return tokens, &Diagnostic{
					Line: t.Position.Line, Column: t.Position.Column,
					Message: "this is not YAML: " + t.Error,
				}
			default:
				p.place(t)
				tokens = append(tokens, t)
			}
		}
		if err != nil {
			return tokens, &Diagnostic{Line: 1, Column: 1, Message: "the file cannot be read as YAML"}
		}
	}
}

// placer corrects the columns of plain texts. The scanner reckons one backwards
// from the text's end, and spaces at the end of a line lead it astray.
type placer struct {
	lines []string
	// The place of the last token, from which the next one's is found, in
	// characters and bytes: counting each from the line's start would be
	// quadratic in a file of one line.
	line, column, at int
}

func (p *placer) place(t *token.Token) {
	pos := t.Position
	if t.Indicator != token.NotIndicator || pos.Line > len(p.lines) {
		return
	}
	line := p.lines[pos.Line-1]
	if p.line != pos.Line || p.column > pos.Column {
		p.line, p.column, p.at = pos.Line, 1, 0
	}
	for p.column < pos.Column && p.at < len(line) {
		_, n := utf8.DecodeRuneInString(line[p.at:])
		p.column, p.at = p.column+1, p.at+n
	}
	if !strings.HasPrefix(line[p.at:], t.Value) {
		const reach = 1 << 10
		from := max(0, p.at-reach)
		if i := strings.LastIndex(line[from:min(len(line), p.at+len(t.Value))], t.Value); i >= 0 {
			pos.Column -= utf8.RuneCountInString(line[from+i : p.at])
		} else if i := strings.Index(line[p.at:min(len(line), p.at+reach)], t.Value); i >= 0 {
			pos.Column += utf8.RuneCountInString(line[p.at : p.at+i])
		}
	}
}
