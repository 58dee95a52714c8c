package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
)

// functions are what templates may call. All give text, which html/template
// escapes; none gives markup.
var functions = template.FuncMap{
	"ago": func(now, t time.Time) string { return span(now.Sub(t)) }, "after": after, "clock": clock, "stamp": stamp, "iso": iso, "span": spanMS,
	"num": num[uint64], "count": num[int], "rate": rate, "ms": ms, "bytes": bytesText, "size": size, "percent": percent,
	"word": word, "icon": icon, "verb": verbText, "pretty": pretty, "short": short, "join": strings.Join,
	"kinds": kinds, "durations": func() []duration { return durations }, "states": func() []string { return states }, "bucketstates": func() []string { return bucketStates },
	"subject": subject[string], "where": where[string], "subjectof": subject[estate.ServiceID], "whereof": where[estate.ServiceID], "hundred": func(share float64) float64 { return 100 * share },
	"certainty": func(c journal.Certainty) string { return mark(string(c)) }, "mark": mark,
	"level": func(l journal.Level) string { return known(string(l), "info", "warn", "error") },
}

const none = "–"

// iso is for programs, stamp for people who look at a day, clock for those who
// look at an hour. All are UTC.
func iso(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func stamp(t time.Time) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

func clock(t time.Time) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format("15:04:05.000")
}

// after is the time from one moment to another: "+2.4 s".
func after(from, t time.Time) string {
	if from.IsZero() || t.IsZero() {
		return ""
	}
	d := t.Sub(from)
	if d < 0 {
		return "−" + span(-d)
	}
	return "+" + span(d)
}

// span gives a length of time in its two largest units.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", math.Floor(d.Seconds()*10)/10)
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour && d%time.Minute == 0:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func spanMS(ms float64) string { return span(time.Duration(ms * float64(time.Millisecond))) }

// num groups digits by narrow no-break spaces.
func num[N uint64 | int](n N) string {
	digits := fmt.Sprint(n)
	var b strings.Builder
	for i, r := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 && digits[i-1] != '-' {
			b.WriteRune('\u202f')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// rate writes so many a second with as many digits as say something.
func rate(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f < 0.095:
		return "<0.1"
	case f < 9.95:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return num(uint64(math.Round(f)))
}

func ms(f float64) string {
	switch {
	case f <= 0:
		return none
	case f < 9.95:
		return strconv.FormatFloat(f, 'f', 1, 64) + " ms"
	case f < 9999.5:
		return num(uint64(math.Round(f))) + " ms"
	}
	return strconv.FormatFloat(f/1000, 'f', 1, 64) + " s"
}

func percent(share float64) string { return strconv.Itoa(int(math.Round(share*100))) + " %" }

func bytesText(n int64) string {
	if n <= 0 {
		return none
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// size writes a number of bytes in the largest unit of which there is one.
func size(n uint64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, units := float64(n), "KMGTPE"
	for f /= 1 << 10; f >= 1023.95 && len(units) > 1; f /= 1 << 10 {
		units = units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", f, units[0])
}

// subject names a service or a bucket for people, where gives its page.
func subject[S ~string](service S) string { return apiv1.Subject(string(service)) }

func where[S ~string](service S) string {
	u := url.URL{Path: "/services/" + string(service)}
	if id, ok := apiv1.BucketOf(string(service)); ok {
		u.Path = "/buckets/" + id
	}
	return u.EscapedPath()
}

// word is a state for people; one that is not known is shown as it is.
func word(state string) string {
	switch state {
	case "":
		return "Unknown"
	case apiv1.BucketReadOnly:
		return "Read-only"
	}
	return strings.ToUpper(state[:1]) + state[1:]
}

// icon names the sign that stands beside a word.
func icon(state any) string {
	switch state := fmt.Sprint(state); state {
	case "up", "degraded", "down", "drained", "open", "monitoring", "closed", "minor", "major", "critical":
		return state
	case "warn", apiv1.BucketReadOnly:
		return "degraded"
	case "error", "lost":
		return "down"
	case "info":
		return "info"
	}
	return "unknown"
}

// mark names how something is known; it is the name of a sign too.
func mark(certainty string) string {
	return known(certainty, "unmarked", "observed", "inferred", "reported")
}

func known(s string, fallback string, names ...string) string {
	for _, n := range names {
		if s == n {
			return s
		}
	}
	return fallback
}

func short(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}

// pretty indents a JSON document; what is none is shown as it is.
func pretty(doc json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, doc, "", "  ") != nil {
		return string(doc)
	}
	return b.String()
}

// states are a service's, the best first.
var states = []string{apiv1.ServiceUp, apiv1.ServiceDegraded, apiv1.ServiceDown, apiv1.ServiceUnknown}

// bucketStates are a bucket's, the best first.
var bucketStates = []string{apiv1.BucketUp, apiv1.BucketDegraded, apiv1.BucketReadOnly, apiv1.BucketDown, apiv1.BucketUnknown}
