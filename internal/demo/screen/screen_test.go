package screen

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/objectload"
	"github.com/sparecloud/spare/internal/demo/proof"
)

func TestTimelineIsPlainLinesWhereNobodyLooksOn(t *testing.T) {
	var b bytes.Buffer
	s := New(&b, Options{})
	s.Say("cloud-a runs")
	s.Meter(load.Meter{PerSecond: 250, Cloud: "cloud-a", Sent: 1000, P99MS: 4}, objectload.Meter{PerSecond: 90})
	s.Fault("cloud-a killed")
	s.End()
	want := "+0.0s  cloud-a runs\n+0.0s    cloud-a: 250 requests/s, 0 failed, p99 4 ms; objects: 90/s, 0 failed\n+0.0s  cloud-a killed\n"
	got := regexp.MustCompile(`(?m)^ +`).ReplaceAllString(b.String(), "")
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestMeterIsRewrittenInPlaceAndLeavesNoTrace(t *testing.T) {
	var b bytes.Buffer
	s := New(&b, Options{TTY: true, Width: 40})
	s.Meter(load.Meter{PerSecond: 1}, objectload.Meter{})
	s.Meter(load.Meter{PerSecond: 2}, objectload.Meter{})
	s.Say("news")
	s.End()
	var lines []string
	for _, l := range strings.Split(b.String(), "\n") {
		parts := strings.Split(l, "\r\x1b[K")
		for _, p := range parts {
			if utf8.RuneCountInString(p) > 39 {
				t.Errorf("line of %d columns: %q", len(p), p)
			}
		}
		lines = append(lines, parts[len(parts)-1]) // what stays
	}
	if len(lines) != 2 || !strings.HasSuffix(lines[0], "news") || lines[1] != "" {
		t.Errorf("the terminal shows %q", lines)
	}
}

func TestNoColorUnlessAskedFor(t *testing.T) {
	var b bytes.Buffer
	s := New(&b, Options{TTY: true})
	s.Fault("x")
	if strings.Contains(b.String(), "\x1b[1") {
		t.Errorf("%q", b.String())
	}
	s.Color = true
	s.Fault("x")
	if !strings.Contains(b.String(), "\x1b[1;31mx\x1b[0m") {
		t.Errorf("%q", b.String())
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for _, w := range []io.Writer{f, &bytes.Buffer{}} {
		if d := cmp.Diff(Options{}, Of(w)); d != "" {
			t.Error(d)
		}
	}
}

func report() *proof.Report {
	began := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	return &proof.Report{
		OK: true, Began: began,
		Faults: []proof.Fault{
			{Kind: proof.Kill, Site: "cloud-a", At: began.Add(8 * time.Second), Proof: proof.Proof{PID: 77, Signal: 9, ConnectAfter: proof.Refused}},
			{Kind: proof.KillControl, At: began.Add(20 * time.Second), Proof: proof.Proof{PID: 88, Successor: 89}},
		},
		SwitchMS:  map[proof.Kind]float64{proof.Kill: 83, proof.KillControl: 0},
		StallMS:   map[proof.Kind]float64{proof.Kill: 201},
		Requests:  proof.Requests{Sent: 21400, MaybeApplied: 1, LongestMS: 312},
		Orders:    proof.Orders{Acknowledged: 4210, Found: 4210, MaybeAppliedFound: 1},
		Objects:   proof.Objects{Operations: 3600, Acknowledged: 1432, Receipts: 1300, Readable: 1432, Deleted: 44, ProviderRequests: 36000, LongestMS: 2001},
		Incidents: []proof.Incident{{ID: "i1", Site: "cloud-a", Opened: began, Causes: []apiv1.Cause{{Kind: "site_down", Text: "the site does not answer"}}}},
	}
}

func TestReportSaysWhatMattersAndFitsTheTerminal(t *testing.T) {
	for _, width := range []int{40, 80, 200} {
		var b bytes.Buffer
		if err := New(io.Discard, Options{Width: width}).Report(&b, report()); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(b.String()), " ")
		for _, want := range []string{"cloud-a killed (SIGKILL, pid 77)", "as before after 83 ms", "took 201 ms", "no request was slower", "21,400 sent, 0 failed, 1 of unknown",
			"4,210 acknowledged", "3,600 operations", "longest 2001 ms", "1,432 acknowledged (1,300 are receipts", "44 deleted, 0 of them came back; 0 stale",
			"36,000 requests to the clouds' buckets, 10.0 for each", "still open", "site_down", "kept every promise", "+8.0s"} {
			if !strings.Contains(text, want) {
				t.Errorf("width %d: no %q in\n%s", width, want, b.String())
			}
		}
		for _, l := range strings.Split(b.String(), "\n") {
			if utf8.RuneCountInString(l) > width {
				t.Errorf("width %d: %q", width, l)
			}
		}
	}
}

func TestReportOfABrokenPromiseDoesNotSayKept(t *testing.T) {
	r := report()
	r.OK, r.Broken = false, []string{"one", "two"}
	var b bytes.Buffer
	if err := New(io.Discard, Options{}).Report(&b, r); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Contains(s, "kept") || strings.Count(s, "BROKEN") != 2 {
		t.Error(s)
	}
}
