package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/errs"
)

// print writes a document to standard output: as JSON if that is asked for,
// otherwise as human writes it for people.
func (e *env) print(cmd *cobra.Command, doc any, human func(w io.Writer)) error {
	var b bytes.Buffer
	if e.json {
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(doc); err != nil {
			return errs.Wrap(errs.Internal, err, "write the document")
		}
	} else {
		human(&b)
	}
	return flush(cmd, b.Bytes())
}

// flush writes to standard output. A full disk is a failure: a script must not
// take half a document for a whole one.
func flush(cmd *cobra.Command, b []byte) error {
	_, err := cmd.OutOrStdout().Write(b)
	return errs.Wrap(errs.Internal, err, "write the output")
}

// table aligns rows of cells. An empty cell is shown as "-".
type table struct {
	w *tabwriter.Writer
}

// newTable writes into memory, so that its writes cannot fail.
func newTable(w io.Writer, head ...any) table {
	t := table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(head...)
	return t
}

func (t table) row(cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = clean(fmt.Sprint(c))
		if text[i] == "" {
			text[i] = "-"
		}
	}
	_, _ = fmt.Fprintln(t.w, strings.Join(text, "\t"))
}

func (t table) flush() { _ = t.w.Flush() }

// say writes one line into memory.
func say(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintln(w, clean(fmt.Sprintf(format, args...)))
}

// clean keeps what came from outside from moving the terminal's cursor or
// breaking a table.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		default:
			return r
		}
	}, s)
}

// stamp gives a time for people, in UTC to the second.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// span gives a time span for people: to the second, or finer when it is short.
func span(d time.Duration) string {
	if d >= time.Second {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}

// since gives the age of t at the time now.
func since(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return span(max(0, now.Sub(t)))
}

// milliseconds gives a duration of a wire document for people.
func milliseconds(ms float64) string {
	if ms >= 1000 {
		return strconv.FormatFloat(math.Round(ms/10)/100, 'f', -1, 64) + "s"
	}
	return strconv.FormatFloat(math.Round(ms*10)/10, 'f', -1, 64) + "ms"
}

func fromMilliseconds(ms float64) time.Duration {
	return time.Duration(ms * float64(time.Millisecond))
}
