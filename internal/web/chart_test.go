package web

import (
	"fmt"
	"math"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/web/history"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(ago time.Duration, a, b, failed float64) history.Point {
	return history.Point{At: noon.Add(-ago), Rate: a + b, Failed: failed, Origins: []history.Origin{{Site: "a", Rate: a, P95MS: a / 10}, {Site: "b", Rate: b}}}
}

func TestLinesAreDrawnToScale(t *testing.T) {
	c := rateChart([]history.Point{at(60*time.Second, 0, 50, 0), at(50*time.Second, 80, 25, 0), at(40*time.Second, 100, 0, 0), at(10*time.Second, 50, 0, 0), at(0, 25, 0, 0)}, noon)
	want := []line{
		{"a", "s0", "M0 200L167 40L333 0M833 100L1000 150", "25"},
		{"b", "s1", "M0 100L167 150L333 200M833 200L1000 200", "0"},
	}
	if d := cmp.Diff(want, c.Lines); d != "" || c.Top != "100" || c.Middle != "50" || c.From != "1 min" || c.Empty {
		t.Errorf("%+v (-want +got):\n%s", c, d)
	}
	if c := rateChart([]history.Point{at(3*time.Minute, 1, 1, 0), at(0, 1, 1, 2)}, noon); c.From != "5 min" || len(c.Lines) != 3 || c.Lines[2].Name != "failed" {
		t.Errorf("%+v", c)
	}
}

// Where there were no attempts there is no latency, which is not 0.
func TestLatencyOfNothingIsNoLine(t *testing.T) {
	c := latencyChart([]history.Point{at(2*time.Second, 100, 0, 0), at(time.Second, 0, 0, 0), at(0, 50, 0, 0)}, noon)
	if c.Lines[1].Path != "" || c.Lines[1].Now != none || c.Lines[0].Path != "M967 0L1000 100" || c.Top != "10 ms" {
		t.Errorf("%+v", c)
	}
	if c := latencyChart(nil, noon); !c.Empty || len(c.Lines) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestOddNumbersAreDrawnAllTheSame(t *testing.T) {
	ok := regexp.MustCompile(`^([ML]\d{1,4} \d{1,3})*$`)
	for _, v := range []float64{0, -1, 1e-9, 1e18, math.NaN(), math.Inf(1), math.Inf(-1)} {
		c := rateChart([]history.Point{at(-time.Second, v, 1, v), at(time.Hour, v, 1, v), at(0, 1, v, v)}, noon)
		for _, l := range c.Lines {
			if !ok.MatchString(l.Path) {
				t.Errorf("%v: path %q", v, l.Path)
			}
		}
	}
}

func TestScalesEndWithRoundNumbers(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, 1: 1, 1.01: 2, 3: 4, 4.5: 5, 7: 10, 99: 100, 101: 200, 0.03: 0.04, 10000: 10000} {
		if got := niceTop(v); math.Abs(got-want) > 1e-9 {
			t.Errorf("niceTop(%v) = %v, want %v", v, got, want)
		}
	}
}

func TestMinutesSumUp(t *testing.T) {
	got := minutes([]history.Point{at(61*time.Second, 10, 0, 0), at(59*time.Second, 10, 2, 4), at(58*time.Second, 30, 4, 0), at(0, 1, 0, 0)})
	if len(got) != 3 || got[1].Rate != 23 || got[1].Failed != 2 || got[1].Origins[0].P95MS != 3 || got[1].Origins[1].Rate != 3 || !got[0].At.Equal(noon) {
		t.Errorf("%+v", got)
	}
}

func TestNumbersAreWrittenForPeople(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{num(uint64(0)), "0"}, {num(uint64(999)), "999"}, {num(uint64(1234567)), "1\u202f234\u202f567"}, {num(-1234), "-1\u202f234"}, {num(-123), "-123"},
		{rate(0), "0"}, {rate(0.01), "<0.1"}, {rate(0.1), "0.1"}, {rate(9.94), "9.9"}, {rate(9.96), "10"}, {rate(1234.4), "1\u202f234"},
		{ms(0), none}, {ms(0.04), "0.0 ms"}, {ms(12.4), "12 ms"}, {ms(12_400), "12.4 s"},
		{span(-time.Second), "0 s"}, {span(40 * time.Millisecond), "40 ms"}, {span(1990 * time.Millisecond), "1.9 s"}, {span(59 * time.Second), "59 s"}, {span(61 * time.Second), "1 min 1 s"},
		{span(10 * time.Minute), "10 min"}, {span(90 * time.Minute), "1 h 30 min"}, {span(72 * time.Hour), "3 days"},
		{after(noon, noon.Add(2*time.Second)), "+2.0 s"}, {after(noon, noon.Add(-2*time.Second)), "−2.0 s"}, {after(time.Time{}, noon), ""},
		{word("up"), "Up"}, {word(""), "Unknown"}, {icon("odd"), "unknown"}, {mark("odd"), "unmarked"}, {percent(0.125), "13 %"}, {short("äöü", 2), "äö…"},
		{pretty([]byte(`{"a":1}`)), "{\n  \"a\": 1\n}"}, {pretty([]byte(`{"a`)), `{"a`}, {bytesText(0), none}, {bytesText(3 << 20), "3.0 MiB"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	for s, want := range map[string]string{
		"2026-03-01": "2026-03-01T00:00:00Z", "2026-03-01 12:30": "2026-03-01T12:30:00Z", " 2026-03-01T12:30 ": "2026-03-01T12:30:00Z", "2026-03-01 12:30:15": "2026-03-01T12:30:15Z",
		"2026-03-01T12:30:15+02:00": "2026-03-01T10:30:15Z", "soon": "", "12:30": "", "2026-13-01": "",
	} {
		got, err := moment(s)
		if (err == nil) != (want != "") || (err == nil && iso(got) != want) {
			t.Errorf("%q: %v %v, want %s", s, fmt.Sprint(got), err, want)
		}
	}
}
