package report

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"

	"github.com/sparecloud/spare/internal/apiv1"
)

// Links say where the page's references lead.
type Links struct {
	// Journal is the address of the API's journal, "/api/v1/journal" or with
	// scheme and host; "" leaves entries without a link.
	Journal string
	// Back is a page to go back to; "" = none.
	Back string
}

var (
	//go:embed report.html
	pageText string
	//go:embed report.css
	styleText string
)

// style is what stands between <style> and </style>; its hash allows it, and
// nothing else.
var style = "\n" + styleText

// CSP is the Content-Security-Policy for the page of [HTML]: its one style
// sheet, and no script, image, form or frame.
func CSP() string {
	return "default-src 'none'; style-src '" + styleHash() + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
}

func styleHash() string {
	sum := sha256.Sum256([]byte(style))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

var page = template.Must(template.New("report").Funcs(template.FuncMap{
	"clock": clock, "precise": precise, "millis": millis, "spoken": spoken, "sentence": sentence, "trigger": triggerText,
	"concerned": concerned, "counted": func(in apiv1.Incident) bool { return !onlyBuckets(in) }, "uncounted": func() string { return noImpact },
	"or": or, "lines": func(n int) string { return was(uint64(n), "line") },
}).Parse(strings.Replace(pageText, "/*style*/", style, 1)))

// HTML writes the report as one page that needs nothing else: no script, no
// font, no image. It carries the policy of [CSP] itself, for when it is saved.
func HTML(r apiv1.Report, l Links) []byte {
	var b bytes.Buffer
	v := view{Report: r, Impact: impactRows(r.Incident.Impact), Losses: lossRows(r.Losses), Counted: howCounted, Draw: draw(r), Links: l,
		Policy: "default-src 'none'; style-src '" + styleHash() + "'; base-uri 'none'; form-action 'none'"}
	v.Response = lineViews{Lines: r.Response, Links: l}
	v.Timeline = lineViews{Lines: r.Timeline, Links: l, Anchors: true}
	if err := page.Execute(&b, v); err != nil {
		panic(err) // the template's own fault, into memory
	}
	return b.Bytes()
}

type view struct {
	apiv1.Report
	Impact, Losses     [][]string
	Response, Timeline lineViews
	Counted, Policy    string
	Draw               *drawing
	Links              Links
}

type lineViews struct {
	Lines   []apiv1.ReportLine
	Links   Links
	Anchors bool
}

// Refs gives the entries behind a sentence with their links.
func (v view) Refs(entries []int64) []ref {
	var list []ref
	for _, e := range first(entries, maxRefs) {
		list = append(list, v.Links.ref(e))
	}
	return list
}

// Ref gives one entry's link.
func (v view) Ref(entry int64) ref { return v.Links.ref(entry) }

// Ref gives one entry's link.
func (v lineViews) Ref(entry int64) ref { return v.Links.ref(entry) }

// ref is a journal entry and where to read it; Href may be "".
type ref struct {
	ID   int64
	Href string
}

func (l Links) ref(entry int64) ref {
	if l.Journal == "" || entry <= 0 {
		return ref{ID: entry}
	}
	return ref{entry, fmt.Sprintf("%s?after=%d&limit=1&order=oldest", l.Journal, entry-1)}
}
