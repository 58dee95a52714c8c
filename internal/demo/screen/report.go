package screen

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/demo/proof"
)

// labelWidth is the first column of the report.
const labelWidth = 11

// Report writes the report for people.
func (s *Screen) Report(w io.Writer, r *proof.Report) error {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		for i, text := range wrap(fmt.Sprintf(format, args...), s.Width-labelWidth-2) {
			if i > 0 {
				label = ""
			}
			fmt.Fprintf(&b, "%-*s  %s\n", labelWidth, label, text)
		}
	}
	b.WriteString("\n")
	for _, f := range r.Faults {
		line(since(r.Began, f.At), "%s", did(f))
		if ms, ok := r.SwitchMS[f.Kind]; ok {
			line("", "%s", Felt(ms, r.StallMS[f.Kind]))
		}
		line("", "proof: %s", shown(f))
	}
	b.WriteString("\n")
	q, o := r.Requests, r.Orders
	line("requests", "%s sent, %s failed, %s of unknown effect", group(q.Sent), group(q.Failed), group(q.MaybeApplied))
	line("times", "median %.1f ms, p99 %.0f ms, longest %.0f ms (longest download %.0f ms)", q.P50MS, q.P99MS, q.LongestMS, q.LongestDownloadMS)
	line("orders", "%s acknowledged, %s of them found on the disks of two clouds or more and through Spare, %s missing, %s delivered twice",
		group(o.Acknowledged), group(o.Found), group(o.Missing), group(o.Duplicates))
	if q.MaybeApplied > 0 {
		line("", "of unknown effect: %d count, %d do not, %d cannot be told", o.MaybeAppliedFound,
			q.MaybeApplied-o.MaybeAppliedFound-o.Unreconciled, o.Unreconciled)
	}
	s.objects(line, r.Objects)
	for _, in := range r.Incidents {
		line("incident", "%s at %s, %s, %s", in.ID, in.Site, in.Severity, lasted(in))
		for _, c := range in.Causes {
			line("", "cause: %s (%s, %s)", c.Text, c.Kind, c.Certainty)
		}
	}
	b.WriteString("\n")
	if r.OK {
		line("kept", "every promise")
	}
	for _, why := range r.Broken {
		line("BROKEN", "%s", why)
	}
	if r.Dir != "" {
		line("look at", "%s: spare.yaml, ledger.jsonl (every request), objects.jsonl (every operation on objects), spare.log, and each cloud's orders.log and bucket", r.Dir)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Screen) objects(line func(label, format string, args ...any), o proof.Objects) {
	line("objects", "%s operations, %s failed, %s of unknown effect; median %.1f ms, p99 %.0f ms, longest %.0f ms",
		group(o.Operations), group(o.Failed), group(o.MaybeApplied), o.P50MS, o.P99MS, o.LongestMS)
	line("", "%s acknowledged (%s are receipts of orders), %s of them found on the disks of two clouds or more and through Spare, %s missing",
		group(o.Acknowledged), group(o.Receipts), group(o.Readable), group(o.Missing))
	line("", "%s deleted, %s of them came back; %s stale reads", group(o.Deleted), group(o.Resurrected), group(o.StaleReads))
	if o.Operations > 0 {
		line("", "%s requests to the clouds' buckets, %.1f for each operation", group(int(o.ProviderRequests)), float64(o.ProviderRequests)/float64(o.Operations))
	}
}

// Felt says what users felt of a fault, in milliseconds.
func Felt(switchMS, stallMS float64) string {
	if stallMS == 0 {
		return "no request was slower than usual"
	}
	return fmt.Sprintf("served as before after %.0f ms; the slowest request meanwhile took %.0f ms", switchMS, stallMS)
}

func since(began, t time.Time) string { return fmt.Sprintf("%+.1fs", t.Sub(began).Seconds()) }

func did(f proof.Fault) string {
	switch f.Kind {
	case proof.Kill:
		return fmt.Sprintf("%s killed (SIGKILL, pid %d)", f.Site, f.Proof.PID)
	case proof.Stop:
		return fmt.Sprintf("%s frozen (SIGSTOP, pid %d)", f.Site, f.Proof.PID)
	case proof.KillControl:
		return fmt.Sprintf("Spare's own control process killed (SIGKILL, pid %d)", f.Proof.PID)
	default:
		return string(f.Kind)
	}
}

// shown says what proves the fault, in the order of who says it.
func shown(f proof.Fault) string {
	p := f.Proof
	traffic := fmt.Sprintf("%d of %d requests on it right before, %d of %d on others right after", p.VictimBefore, p.AllBefore, p.OthersAfter, p.AllAfter)
	asked := fmt.Sprintf("asked directly: %s, its bucket: %s; %d objects written and %d read meanwhile; incident %s",
		p.ConnectAfter, p.BucketAfter, p.Written, p.Read, p.Incident)
	switch f.Kind {
	case proof.Kill:
		return fmt.Sprintf("wait status: signal %d; %s; %s", p.Signal, traffic, asked)
	case proof.Stop:
		return fmt.Sprintf("process states: %s; %s; %s", p.States, traffic, asked)
	default:
		return fmt.Sprintf("process gone, %d in its place, %d requests answered meanwhile", p.Successor, p.OthersAfter)
	}
}

func lasted(in proof.Incident) string {
	if in.Closed.IsZero() {
		return "still open"
	}
	return fmt.Sprintf("open from %s for %.1f s", in.Opened.UTC().Format("15:04:05"), in.Closed.Sub(in.Opened).Seconds())
}

// group writes a number with commas.
func group(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// wrap breaks text at spaces into lines of at most width columns. A longer
// word stands on a line of its own.
func wrap(text string, width int) []string {
	width = max(width, 20)
	var lines []string
	line := ""
	for i, word := range strings.SplitAfter(text, " ") {
		if i > 0 && utf8.RuneCountInString(line)+utf8.RuneCountInString(strings.TrimRight(word, " ")) > width {
			lines = append(lines, strings.TrimRight(line, " "))
			line = ""
		}
		line += word
	}
	return append(lines, strings.TrimRight(line, " "))
}
