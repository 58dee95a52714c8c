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
	src := string(data)
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
// first of each line.
func strange(src string) []Diagnostic {
	var found []Diagnostic
	line := 0
	for text := range strings.Lines(src) {
		line++
		text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
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
	lines := strings.Split(src, "\n")
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
				place(lines, t)
				tokens = append(tokens, t)
			}
		}
		if err != nil {
			return tokens, &Diagnostic{Line: 1, Column: 1, Message: "the file cannot be read as YAML"}
		}
	}
}

// place corrects the column of a plain text. The scanner reckons it backwards
// from the text's end, and spaces at the end of a line lead it astray.
func place(lines []string, t *token.Token) {
	if t.Indicator != token.NotIndicator || t.Position.Line > len(lines) {
		return
	}
	line := lines[t.Position.Line-1]
	at := len(line) // in bytes; the scanner counts characters
	for i := range line {
		if t.Position.Column--; t.Position.Column == 0 {
			at = i
			break
		}
	}
	if !strings.HasPrefix(line[at:], t.Value) {
		if i := strings.LastIndex(line[:min(len(line), at+len(t.Value))], t.Value); i >= 0 {
			at = i
		} else if i := strings.Index(line[at:], t.Value); i >= 0 {
			at += i
		}
	}
	t.Position.Column = utf8.RuneCountInString(line[:at]) + 1
}
