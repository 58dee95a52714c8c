package report

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sparecloud/spare/internal/apiv1"
)

// Markdown writes the report as CommonMark with tables (GitHub Flavored
// Markdown, https://github.github.com/gfm/).
func Markdown(r apiv1.Report) []byte {
	w := &markdown{}
	in := r.Incident
	w.line("# Incident %s: %s", md(in.ID), md(in.Title))
	w.line("")
	w.line("%s", md(strings.Join(r.Summary, " ")))
	w.line("")
	w.line("%s, %s; site: %s; %s. Written at %s UTC by Spare %s. All times are UTC.",
		md(in.Severity), md(in.State), md(or(in.Site, "none alone")), md(concerned(in)), clock(r.Generated), md(r.Spare))
	w.impact(r)
	w.times(r)
	w.chart(r)
	w.causes(r)
	w.lines("What Spare did, and people", r.Response, 0, "Nothing was moved.")
	w.lines("Timeline", r.Timeline, r.LeftOut, "The journal has nothing about it.")
	w.statements("What the data cannot tell", r.CannotTell)
	w.statements("Hints from the data", r.Hints)
	w.section("Action items")
	for _, c := range r.Checklist {
		w.line("- [ ] %s:", md(c))
	}
	return w.b.Bytes()
}

type markdown struct{ b bytes.Buffer }

func (w *markdown) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

func (w *markdown) section(title string) { w.line("\n## %s\n", title) }

func (w *markdown) impact(r apiv1.Report) {
	w.section("Impact")
	if onlyBuckets(r.Incident) {
		w.line("%s", md(noImpact))
		return
	}
	w.line("| service | requests | failed | maybe applied | cut | retried | hedged | resumed | 5xx passed on | longest ms |")
	w.line("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, row := range impactRows(r.Incident.Impact) {
		w.line("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |", cells(row)...)
	}
	w.line("\n| service | hurt | time lost | of the 30-day budget | money |")
	w.line("|---|--:|--:|--:|--:|")
	for _, row := range lossRows(r.Losses) {
		w.line("| %s | %s | %s | %s | %s |", cells(row)...)
	}
	w.line("\n%s", md(howCounted))
}

// cells escapes a row.
func cells(row []string) []any {
	out := make([]any, len(row))
	for i, c := range row {
		out[i] = md(c)
	}
	return out
}

func (w *markdown) times(r apiv1.Report) {
	w.section("Detection and response")
	w.line("| what | at | after the first evidence | entry |")
	w.line("|---|---|--:|--:|")
	for _, m := range r.Milestones {
		w.line("| %s | %s | %s ms | %s |", md(spoken(m.Name)), precise(m.At), millis(m.AfterMS), md(entryText(m.Entry)))
	}
}

func (w *markdown) causes(r apiv1.Report) {
	w.section("Trigger")
	if t := r.Trigger; t != nil {
		w.line("%s%s", md(triggerText(*t)), refs(t.Entries))
	} else {
		w.line("Nothing that was seen explains it.")
	}
	if len(r.Conditions) > 0 {
		w.statements("Contributing conditions", r.Conditions)
	}
}

func (w *markdown) lines(title string, list []apiv1.ReportLine, leftOut int, none string) {
	w.section(title)
	if len(list) == 0 {
		w.line("%s", none)
		return
	}
	w.line("| time | entry | known how | kind | by | what |")
	w.line("|---|--:|---|---|---|---|")
	for _, l := range list {
		w.line("| %s | %d | %s | %s | %s | %s |", precise(l.At), l.Entry, md(l.Certainty), md(l.Kind), md(l.Actor), md(l.Text))
	}
	if leftOut > 0 {
		w.line("\n%s left out.", was(uint64(leftOut), "line"))
	}
}

func (w *markdown) statements(title string, list []apiv1.ReportStatement) {
	w.section(title)
	for _, s := range list {
		w.line("- %s%s", md(sentence(s.Text)), refs(s.Entries))
	}
	if len(list) == 0 {
		w.line("Nothing.")
	}
}

// refs names the entries that a sentence stands on.
func refs(entries []int64) string {
	if len(entries) == 0 {
		return ""
	}
	var parts []string
	for _, e := range first(entries, maxRefs) {
		parts = append(parts, fmt.Sprint(e))
	}
	text := strings.Join(parts, ", ")
	if n := len(entries) - maxRefs; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return " (entry " + text + ")"
}

// md escapes a text so that Markdown shows it as it is, in a table too: what
// starts markup, HTML, a link, a mention or a list gets a backslash, which
// CommonMark allows before any ASCII punctuation.
func md(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case strings.ContainsRune("\\`*_{}[]<>#|~&!$", r),
			r == ':' && strings.HasPrefix(s[i:], "://"),
			r == '.' && i >= 3 && strings.EqualFold(s[i-3:i], "www"),
			r == '@' && (i == 0 || !word(s[i-1])),
			i == 0 && strings.ContainsRune("+-=", r),
			(r == '.' || r == ')') && i > 0 && digits(s[:i]) && (i+1 == len(s) || s[i+1] == ' '):
			b.WriteByte('\\')
		case r == '\n' || r == '\r' || r == '\t':
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

func word(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// digits reports whether s is a number, which would begin a list.
func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }
