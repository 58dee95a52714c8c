package report

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/apiv1"
)

var update = flag.Bool("update", false, "write the golden reports anew")

var opened = time.Date(2026, 11, 22, 16, 40, 33, 267e6, time.UTC)

func after(ms int) time.Time { return opened.Add(time.Duration(ms) * time.Millisecond) }

func entry(id int64, ms int, kind, level, service, site, message string) apiv1.Entry {
	return apiv1.Entry{ID: id, At: after(ms), Recorded: after(ms + 2), Kind: kind, Level: level, Certainty: "observed",
		Service: service, Site: site, Actor: "spare", Message: message}
}

func verdict(id int64, ms int, service, site, state string) apiv1.Entry {
	e := entry(id, ms, "verdict", "warn", service, site, service+"@"+site+" is "+state)
	e.Data = json.RawMessage(`{"state":"` + state + `"}`)
	return e
}

// outage is an incident of two services at one site that hurt some users.
func outage() Facts {
	control := entry(37, 3900, "start", "info", "", "", "control process started, version 1.2.3")
	dependency := entry(11, -2000, "verdict", "warn", "", "", "dependency stripe is down: no answer in time")
	reload := entry(10, -8000, "reload", "info", "", "", "estate file reloaded: shop changed")
	return Facts{
		Incident: apiv1.Incident{
			ID: "2026-11-22-b1e058", Title: "virginia is down (shop, blog)", Severity: "major", State: "closed", Site: "virginia",
			Services: []string{"blog", "shop"}, Opened: opened, Closed: after(13000), DurationMS: 13000,
			Times: apiv1.Times{Detected: opened, Ejected: after(40), Switched: after(148), Recovered: after(3000)},
			Causes: []apiv1.Cause{
				{Kind: "site_down", Site: "virginia", Text: "every origin at virginia was unwell at once (blog, shop): the site is down or cut off", Certainty: "inferred", Score: 1, Entries: []int64{12, 14}},
				{Kind: "origin_refuses", Site: "virginia", Service: "shop", Text: "shop at virginia refuses connections: process or machine gone", Certainty: "observed", Score: 0.5, Entries: []int64{12}},
			},
			Impact: apiv1.Impact{Requests: 4500, Failed: 3, MaybeApplied: 2, Truncated: 1, Retried: 12, Hedged: 4, Resumed: 2, ServerErrors: 1, LongestMS: 341.4, Services: []apiv1.ServiceImpact{
				{Service: "blog", Requests: 600, LongestMS: 20},
				{Service: "shop", Requests: 3900, Failed: 3, MaybeApplied: 2, Truncated: 1, Retried: 12, Hedged: 4, Resumed: 2, ServerErrors: 1, LongestMS: 341.4},
			}},
		},
		Entries: []apiv1.Entry{
			reload, dependency, entry(12, 40, "eject", "warn", "shop", "virginia", "shop@virginia taken out of rotation: 3 attempts in a row failed (refused)"),
			entry(13, 0, "incident", "warn", "", "virginia", "incident 2026-11-22-b1e058 opened: virginia is down (shop, blog)"),
			verdict(14, 146, "shop", "virginia", "down"),
			entry(15, 148, "switch", "warn", "shop", "belgium", "traffic of shop moved from virginia to belgium: virginia is down: refused"),
			entry(18, 2800, "readmit", "info", "shop", "virginia", "shop@virginia back in rotation: 2 checks in a row passed"),
			verdict(19, 3000, "shop", "virginia", "up"),
			entry(20, 3000, "incident", "info", "", "virginia", "incident 2026-11-22-b1e058: all is well again; it closes if that lasts 10s"),
			control, entry(40, 13000, "incident", "info", "", "virginia", "incident 2026-11-22-b1e058 closed after 13s"),
		},
		Samples: traffic(),
		Services: []Service{
			{ID: "shop", Sites: []string{"virginia", "belgium"}, RTO: time.Second, Availability: 99.95, CostPerHour: 12000, Unwatched: []string{"aws:dynamodb@us-east-1"}},
			{ID: "blog", Sites: []string{"virginia"}},
		},
		Told: false, Version: "1.2.3", Now: after(60000),
	}
}

// traffic is 300 requests a second that move from virginia to belgium, with a
// gap in which control was away.
func traffic() []apiv1.ReportSample {
	var list []apiv1.ReportSample
	for i := -10; i < 13; i++ {
		from := opened.Truncate(time.Second).Add(time.Duration(i) * time.Second)
		s := apiv1.ReportSample{From: from, To: from.Add(time.Second), Requests: 300, LongestMS: 11, Entry: 16,
			Sites: []apiv1.SiteSample{{Site: "virginia", Attempts: 300, P95MS: 4}}}
		switch {
		case i == 0:
			s.Failed, s.MaybeApplied, s.Truncated, s.Retried, s.LongestMS = 3, 2, 1, 12, 341.4
			s.Sites = []apiv1.SiteSample{{Site: "belgium", Attempts: 200, P95MS: 6}, {Site: "virginia", Attempts: 112, Failures: 14, P95MS: 40}}
			s.Services = []apiv1.ServiceSample{{Service: "shop", Requests: 240, Hurt: 6}}
		case i == 2 || i == 3:
			continue
		case i == 4:
			s.From, s.Requests = from.Add(-2*time.Second), 900
			s.Sites = []apiv1.SiteSample{{Site: "belgium", Attempts: 900, P95MS: 6}}
		case i > 0:
			s.Sites = []apiv1.SiteSample{{Site: "belgium", Attempts: 300, P95MS: 6}}
		}
		list = append(list, s)
	}
	return list
}

// bare is an open incident of which little is known.
func bare() Facts {
	return Facts{
		Incident: apiv1.Incident{ID: "2026-11-22-000001", Title: "requests of shop fail", Severity: "major", State: "open", Services: []string{"shop"},
			Opened: opened, DurationMS: 5000, Causes: []apiv1.Cause{},
			Impact: apiv1.Impact{Requests: 10, Failed: 5, Services: []apiv1.ServiceImpact{{Service: "shop", Requests: 10, Failed: 5}}}},
		Services: []Service{{ID: "shop", Sites: []string{"a", "b"}, RTO: time.Second, Availability: 99.9, CostPerHour: 3600}},
		Told:     true, Version: "1.2.3", Now: after(5000),
	}
}

// evil is a text that tries to be everything but text.
const evil = "|x|\n# h <script>alert(1)</script> `code` **b** [l](javascript:alert(1)) ![i](http://e.example/x) </style></svg> \" onload=x ' {{.}} \\ ~~s~~ &lt; @all www.e.example \x1b[2J \u202e \xff --> ]]> {% raw %} $m$"

func hostile() Facts {
	f := outage()
	in := &f.Incident
	in.Title, in.Site, in.Services = evil, evil, []string{evil}
	in.Severity, in.State = evil, "closed"
	in.Causes[0].Text, in.Causes[0].Certainty = evil, evil
	in.Causes[1].Text = evil
	in.Impact.Services = []apiv1.ServiceImpact{{Service: evil, Requests: 4, Failed: 1}}
	for i := range f.Entries {
		e := &f.Entries[i]
		e.Message, e.Actor, e.Site, e.Service, e.Certainty, e.Level = evil, evil, evil, evil, evil, evil
	}
	for i := range f.Samples {
		f.Samples[i].Sites = []apiv1.SiteSample{{Site: evil, Attempts: 3}}
		f.Samples[i].Services = []apiv1.ServiceSample{{Service: evil, Requests: 3, Hurt: 1}}
	}
	f.Services = []Service{{ID: evil, Sites: []string{evil}, Unwatched: []string{evil}}}
	f.Version = evil
	return f
}

var cases = map[string]func() Facts{"outage": outage, "bare": bare, "hostile": hostile}

func written(t *testing.T, f Facts) map[string][]byte {
	t.Helper()
	r := Build(f)
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"md": Markdown(r), "html": HTML(r, Links{Journal: "/api/v1/journal"}), "json": append(doc, '\n')}
}

func TestReportsAreAsBefore(t *testing.T) {
	for name, facts := range cases {
		for form, got := range written(t, facts()) {
			file := filepath.Join("testdata", name+"."+form)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(file)
			if d := cmp.Diff(string(want), string(got)); d != "" || err != nil {
				t.Errorf("%s (%v) (-want +got):\n%s", file, err, d)
			}
		}
	}
}

func TestSameFactsGiveTheSameBytesAndStayAsTheyAre(t *testing.T) {
	for name, facts := range cases {
		f := facts()
		first := written(t, f)
		if d := cmp.Diff(facts(), f); d != "" {
			t.Errorf("%s: the facts were changed:\n%s", name, d)
		}
		for range 3 {
			if d := cmp.Diff(first, written(t, f)); d != "" {
				t.Errorf("%s:\n%s", name, d)
			}
		}
	}
}

// What the text says, and not how it is laid out.
func TestReportSaysWhatTheDataSays(t *testing.T) {
	r := Build(outage())
	for text, want := range map[string][]string{
		strings.Join(r.Summary, "\n"): {"From 2026-11-22 16:40:33 to 16:40:36 UTC (3 s)", "Of 4,500 requests, 3 failed, 2 may or may not have been applied, 1 got a cut answer", "18 requests were repeated", "cost_per_hour is 0.08"},
		texts(r.CannotTell):           {"came back at 16:40:37.167, and what came before was recorded by 16:40:36.269", "aws:dynamodb@us-east-1", "provider's status feed", "up to 3 s at once", "1 request that origins"},
		texts(r.Hints): {"Objective rto 1s of shop: measured at most 0.73 s from the first evidence, and the slowest answer took 341.4 ms - kept.",
			"0.03 s lost of the 21 min 36 s", "shop was left with one site and without a spare for 2.96 s", "blog has one site only", "2 requests had an unknown effect", "No rto of blog is declared", "Nobody was told"},
		texts(r.Conditions): {"refuses connections", "Changed 8 s before: estate file reloaded", "dependency stripe is down", "control process began anew"},
	} {
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("lacks %q:\n%s", w, text)
			}
		}
	}
	l := r.Losses[1]
	if l.Service != "shop" || l.Hurt != 6 || l.LostMS != 25 || l.Basis != "samples" { // 6 of 240 in a second
		t.Errorf("loss %+v", l)
	}
	for _, m := range r.Milestones {
		if m.Entry == 0 {
			t.Errorf("%s has no entry", m.Name)
		}
	}
}

func texts(list []apiv1.ReportStatement) string {
	var b strings.Builder
	for _, s := range list {
		fmt.Fprintln(&b, s.Text)
	}
	return b.String()
}

func TestOpenIncidentWithoutCountsOverTimeIsReported(t *testing.T) {
	r := Build(bare())
	if r.Final || !strings.Contains(r.Summary[0], "so far") || !strings.Contains(texts(r.CannotTell), "not closed") {
		t.Errorf("%+v", r.Summary)
	}
	l := r.Losses[0]
	if l.Basis != "totals" || l.LostMS != 2500 || l.Money != 2.5 { // half of 5 s
		t.Errorf("loss %+v", l)
	}
	if !strings.Contains(texts(r.Hints), "cannot be judged") || !strings.Contains(texts(r.CannotTell), "only totals") {
		t.Errorf("hints %s\ncannot tell %s", texts(r.Hints), texts(r.CannotTell))
	}
}

func TestHugeTimelineIsCutWithANote(t *testing.T) {
	f := outage()
	for i := range 9000 {
		kind := []string{"table", "verdict", "eject"}[i%3]
		f.Entries = append(f.Entries, entry(int64(100+i), 4000+i, kind, "info", "shop", "virginia", strings.Repeat("x", 2000)))
	}
	f.Cut = true
	for range 30000 {
		last := f.Samples[len(f.Samples)-1]
		last.From, last.To = last.To, last.To.Add(time.Second)
		f.Samples = append(f.Samples, last)
	}
	r := Build(f)
	if len(r.Timeline) != maxLines || r.LeftOut != 9011-maxLines || len(r.Samples) > maxSamples || len(r.Response) > maxLines {
		t.Errorf("%d lines, %d left out, %d samples", len(r.Timeline), r.LeftOut, len(r.Samples))
	}
	if r.Timeline[0].Entry != 10 || r.Timeline[maxLines-1].Entry != 40 && r.Timeline[maxLines-1].Kind != "eject" {
		t.Error("the beginning or the end is gone")
	}
	for form, body := range written(t, f) {
		if len(body) > 1<<20 {
			t.Errorf("%s has %d bytes", form, len(body))
		}
	}
	if text := texts(r.CannotTell); !strings.Contains(text, "left out") || !strings.Contains(text, "All of the timeline") {
		t.Error(text)
	}
	if got, want := sum(r.Samples), sum(f.Samples); got != want {
		t.Errorf("joined samples have %d requests, want %d", got, want)
	}
}

func sum(list []apiv1.ReportSample) (n uint64) {
	for _, s := range list {
		n += s.Requests
	}
	return n
}

func TestClocksThatDisagreeAreSaid(t *testing.T) {
	f := outage()
	f.Entries[2].Recorded = f.Entries[2].At.Add(20 * time.Second)
	f.Entries[3].Recorded = f.Entries[3].At.Add(-5 * time.Second)
	f.Incident.Times.Recovered = after(-4000)
	f.Incident.Closed = after(-1000)
	text := texts(Build(f).CannotTell)
	for _, want := range []string{"up to 20 s after they happened", "a clock was set back", "dated before its beginning"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	written(t, f) // and nothing breaks
}

func TestNothingAtAllIsReportedToo(t *testing.T) {
	written(t, Facts{})
	written(t, Facts{Incident: apiv1.Incident{Opened: opened}, Samples: []apiv1.ReportSample{{From: opened, To: opened}}, Now: opened})
}

// known are the tags and attributes that the template has.
var known = regexp.MustCompile(`^<(/?(html|head|title|body|a|div|table|tr|th|td|time|p|h1|h2|ul|li|svg|line|text)|!doctype html|meta|path)( (lang|charset|name|content|http-equiv|href|id|class|datetime|viewBox|role|aria-label|x|y|x1|x2|y1|y2|dx|dy|d|text-anchor)="[^"<>]*")*/?>$`)

// Markup that nobody asked for cannot come from a text.
func TestHostileTextStaysText(t *testing.T) {
	forms := written(t, hostile())
	page := string(forms["html"])
	markup := regexp.MustCompile(`(?s)<style>.*?</style>`).ReplaceAllString(page, "")
	for _, tag := range regexp.MustCompile(`(?s)<(?:"[^"]*"|[^">])*(?:>|$)`).FindAllString(markup, -1) {
		if !known.MatchString(tag) {
			t.Errorf("the page holds %q", tag)
		}
	}
	if strings.Count(page, "</style>") != 1 || strings.Contains(page, "\x1b") || strings.Contains(page, "\u202e") {
		t.Error("the page's style or text was broken out of")
	}
	var columns int
	for i, line := range strings.Split(string(forms["md"]), "\n") {
		if !strings.HasPrefix(line, "    ") { // a block of literal text cannot be left by a line without a break
			bare := regexp.MustCompile(`\\.`).ReplaceAllString(line, "")
			if strings.ContainsAny(bare, "<>`*~!{}$&") || strings.Contains(bare, "](") {
				t.Errorf("line %d holds markup: %s", i+1, bare)
			}
			n := strings.Count(bare, "|")
			if strings.HasPrefix(line, "|") && columns != 0 && n != columns {
				t.Errorf("line %d has %d bars, its table %d: %s", i+1, n, columns, line)
			}
			columns = n
		}
	}
	if strings.ContainsAny(string(forms["md"]), "\x1b\u202e\r") {
		t.Error("control characters in Markdown")
	}
	var back apiv1.Report
	if err := json.Unmarshal(forms["json"], &back); err != nil || back.Incident.Title != plain(evil) {
		t.Errorf("%v: %q", err, back.Incident.Title)
	}
}

func TestPolicyAllowsThePagesOwnStyleAlone(t *testing.T) {
	body := string(HTML(Build(outage()), Links{}))
	m := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(body)
	if m == nil || m[1] != style {
		t.Fatal("the style that is served is not the one that was hashed")
	}
	if !strings.Contains(CSP(), styleHash()) || strings.Contains(body, "style=") || strings.Contains(body, "<script") || strings.Contains(body, "href") {
		t.Error("the page needs more than its policy allows")
	}
	if !strings.Contains(body, `content="default-src &#39;none&#39;; style-src &#39;sha256-`) {
		t.Error("a saved page has no policy")
	}
}

func TestMarkdownEscapesWhatBeginsABlock(t *testing.T) {
	for in, want := range map[string]string{
		"- x": `\- x`, "+ x": `\+ x`, "# x": `\# x`, "1. x": `1\. x`, "16.4": "16.4", "a-b": "a-b", "> q": `\> q`, "===": `\===`,
		"http://x": `http\://x`, "a@b": "a@b", "@b": `\@b`, "a|b": `a\|b`, "www.x": `www\.x`, "a\nb": "a b", "3) x": `3\) x`,
	} {
		if got := md(in); got != want {
			t.Errorf("md(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzWritersTakeAnyText(f *testing.F) {
	f.Add(evil)
	f.Fuzz(func(t *testing.T, s string) {
		facts := outage()
		facts.Incident.Title, facts.Entries[2].Message = s, s
		facts.Samples[0].Sites[0].Site = s
		written(t, facts)
		if strings.ContainsAny(md(plain(s)), "\r\n") {
			t.Errorf("%q gives more than one line", s)
		}
	})
}
