package web

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/web/history"
)

// The chart's own measure: its picture is stretched to the page, so that words
// stand beside it and not in it.
const (
	chartWidth  = 1000
	chartHeight = 200
	chartGap    = 15 * time.Second // without a point, the line is broken
)

// chart is a picture of the last ten minutes.
type chart struct {
	ID, Title string
	Desc      string // the picture in words
	Top       string // the value at its upper edge
	Middle    string
	From      string // how long ago its left edge is
	Lines     []line
	Empty     bool
}

// line is one thing over time. Each has a dash of its own: colours alone tell
// nothing to many.
type line struct {
	Name  string
	Style string // a class of the style sheet
	Path  string // of SVG
	Now   string // newest value
}

// sample is a value at a time.
type sample struct {
	at    time.Time
	value float64
	ok    bool // false: there was none
}

// series is a line before it is drawn.
type series struct {
	name, style string
	list        []sample
}

func rateChart(points []history.Point, now time.Time) chart {
	all := bySite(points, func(o history.Origin) (float64, bool) { return o.Rate, true })
	failed := series{name: "failed", style: "failed"}
	any := false
	for _, p := range points {
		failed.list = append(failed.list, sample{p.At, p.Failed, true})
		any = any || p.Failed > 0
	}
	if any {
		all = append(all, failed)
	}
	return draw("rates", "Attempts a second, by site", all, now, rate)
}

func latencyChart(points []history.Point, now time.Time) chart {
	return draw("latency", "Time to the response head, 95th percentile, by site",
		bySite(points, func(o history.Origin) (float64, bool) { return o.P95MS, o.P95MS > 0 }), now, ms)
}

func bySite(points []history.Point, value func(history.Origin) (float64, bool)) []series {
	var all []series
	for _, p := range points {
		for i, o := range p.Origins {
			if i == len(all) {
				all = append(all, series{name: o.Site, style: fmt.Sprintf("s%d", i%6)})
			}
			v, ok := value(o)
			all[i].list = append(all[i].list, sample{p.At, v, ok})
		}
	}
	return all
}

func draw(id, title string, all []series, now time.Time, text func(float64) string) chart {
	c := chart{ID: id, Title: title, Empty: true}
	top := 0.0
	for _, s := range all {
		for _, p := range s.list {
			if p.ok && !math.IsInf(p.value, 0) && !math.IsNaN(p.value) {
				top = max(top, p.value)
				c.Empty = false
			}
		}
	}
	top = niceTop(top)
	wide := spanOf(all, now)
	c.From = span(wide)
	c.Top, c.Middle = text(top), text(top/2)
	var words []string
	for _, s := range all {
		l := line{Name: s.name, Style: s.style, Path: trace(s.list, now, wide, top), Now: none}
		if n := len(s.list); n > 0 && s.list[n-1].ok {
			l.Now = text(s.list[n-1].value)
		}
		words = append(words, s.name+" now "+l.Now)
		c.Lines = append(c.Lines, l)
	}
	c.Desc = "The last " + c.From + ": " + strings.Join(words, ", ") + ". The numbers are in the table below."
	return c
}

// spans are how far a chart may go back.
var spans = []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute}

// spanOf is the shortest span that shows everything that is kept.
func spanOf(all []series, now time.Time) time.Duration {
	var oldest time.Duration
	for _, s := range all {
		if len(s.list) > 0 {
			oldest = max(oldest, now.Sub(s.list[0].at))
		}
	}
	for _, d := range spans {
		if oldest <= d {
			return d
		}
	}
	return spans[len(spans)-1]
}

// niceTop is the round number at or above v that the scale ends with.
func niceTop(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 4, 5, 10} {
		if m*unit >= v {
			return m * unit
		}
	}
	return 10 * unit
}

// trace is the line in SVG's words, whole numbers alone.
func trace(list []sample, now time.Time, wide time.Duration, top float64) string {
	var b strings.Builder
	var last time.Time
	for _, p := range list {
		age := now.Sub(p.at)
		if !p.ok || math.IsNaN(p.value) || age > wide || age < -chartGap {
			continue
		}
		x := chartWidth - int(math.Round(float64(max(0, age))/float64(wide)*chartWidth))
		y := chartHeight - int(math.Round(min(1, max(0, p.value/top))*chartHeight))
		op := 'L'
		if last.IsZero() || p.at.Sub(last) > chartGap {
			op = 'M'
		}
		fmt.Fprintf(&b, "%c%d %d", op, x, y)
		last = p.at
	}
	return b.String()
}

// minute is one line of the table that says what the charts show.
type minute struct {
	At      time.Time
	Rate    float64 // mean
	Failed  float64
	Saved   float64
	Origins []history.Origin // mean rate, largest 95th percentile
	n       float64
}

// minutes sums points up, newest minute first.
func minutes(points []history.Point) []minute {
	var list []minute
	for _, p := range points {
		at := p.At.Truncate(time.Minute)
		if len(list) == 0 || !list[0].At.Equal(at) {
			list = append([]minute{{At: at, Origins: make([]history.Origin, len(p.Origins))}}, list...)
		}
		list[0].add(p)
	}
	return list
}

// add takes a point into the means.
func (m *minute) add(p history.Point) {
	mean := func(old, v float64) float64 { return (old*m.n + v) / (m.n + 1) }
	m.Rate, m.Failed, m.Saved = mean(m.Rate, p.Rate), mean(m.Failed, p.Failed), mean(m.Saved, p.Saved)
	for i, o := range p.Origins {
		m.Origins[i] = history.Origin{Site: o.Site, Rate: mean(m.Origins[i].Rate, o.Rate), P95MS: max(m.Origins[i].P95MS, o.P95MS)}
	}
	m.n++
}
