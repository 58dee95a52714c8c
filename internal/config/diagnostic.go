package config

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// Diagnostic is one fault of a file, or one thing in it that is probably not
// meant. No field holds a value that came from a reference: Text is what the
// file says, "${env:NAME}".
type Diagnostic struct {
	File    string
	Line    int    // from 1
	Column  int    // from 1, in characters
	Path    string // of the value, as in "services.shop.hosts[0]"; "" = the whole file
	Text    string // the offending text; "" when the fault is no one text's
	Message string
	Nearest string // the name that was probably meant; "" = none is near
}

// String gives the line "spare.yaml:12:5: unknown key ...; did you mean ...?".
func (d Diagnostic) String() string {
	s := fmt.Sprintf("%s:%d:%d: %s", d.File, d.Line, d.Column, d.Message)
	if d.Nearest != "" {
		s += fmt.Sprintf("; did you mean %q?", d.Nearest)
	}
	return s
}

// Errors is all that is wrong with a file, sorted by position. Its kind is
// Invalid.
type Errors struct {
	List []Diagnostic
	// Partial is what could be read in spite of the faults, with defaults for
	// the rest; nil when nothing could. It serves to find a running Spare by
	// its address and state folder, and nothing else.
	Partial *estate.Estate
	lines   []string // the source, with literal secrets blotted out
}

// maxPrinted bounds [Errors.Error], which ends up in logs and in the journal.
const maxPrinted = 100

// Error gives one line for each fault; of more than a hundred, the first
// hundred and a count of the others.
func (e *Errors) Error() string {
	var b strings.Builder
	for i, d := range e.List {
		if i == maxPrinted {
			fmt.Fprintf(&b, "\nand %d more", len(e.List)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(d.String())
	}
	return b.String()
}

var errInvalid = errs.E(errs.Invalid, "invalid estate file")

// Unwrap gives the errors their kind.
func (e *Errors) Unwrap() error { return errInvalid }

// Render writes each fault for a person: the line of [Diagnostic.String], then
// the line of the file with a caret under the offending text.
func (e *Errors) Render(w io.Writer) error {
	for _, d := range e.List {
		if _, err := fmt.Fprintln(w, d.String()); err != nil {
			return err
		}
		if d.Line > len(e.lines) {
			continue
		}
		line, column := window(e.lines[d.Line-1], d.Column)
		caret := "^"
		if n := utf8.RuneCountInString(d.Text); n > 1 && !strings.Contains(d.Text, "\n") {
			caret += strings.Repeat("~", min(n-1, max(0, utf8.RuneCountInString(line)-column)))
		}
		if _, err := fmt.Fprintf(w, "    %s\n    %s%s\n", line, strings.Repeat(" ", column-1), caret); err != nil {
			return err
		}
	}
	return nil
}

// window makes a line fit for a terminal: no control characters, and of a very
// long line the part around the column, whose new place it gives.
func window(line string, column int) (string, int) {
	const width = 160
	runes := []rune(strings.ToValidUTF8(line, "\uFFFD"))
	for i, r := range runes {
		if r == '\t' {
			runes[i] = ' '
		} else if !unicode.IsPrint(r) {
			runes[i] = '\uFFFD'
		}
	}
	column = max(1, min(column, len(runes)+1))
	if len(runes) > width {
		from := max(0, min(column-width/2, len(runes)-width))
		runes, column = runes[from:from+width], column-from
	}
	return string(runes), column
}

// errors sorts the faults found so far and blots out literal secrets.
func (d *decoder) errors(file string) *Errors {
	e := &Errors{List: d.faults, lines: strings.Split(d.src, "\n")}
	for i := range e.List {
		g := &e.List[i]
		g.File = file
		// A place that the scanner got wrong is at least one of this file.
		g.Line = max(1, min(g.Line, len(e.lines)))
		g.Column = max(1, min(g.Column, utf8.RuneCountInString(e.lines[g.Line-1])+1))
	}
	slices.SortStableFunc(e.List, func(a, b Diagnostic) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	for _, n := range d.secrets {
		for i := n.line; i <= min(n.last, len(e.lines)); i++ {
			runes := []rune(e.lines[i-1])
			from := 0
			if i == n.line {
				from = min(n.col-1, len(runes))
			}
			for j := from; j < len(runes); j++ {
				runes[j] = '*'
			}
			e.lines[i-1] = string(runes)
		}
	}
	return e
}
