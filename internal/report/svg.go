package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// Geometry of the drawing, in its own units.
const (
	drawWidth  = 760
	drawLeft   = 56
	drawRight  = 726
	panelHigh  = 96
	panelGap   = 34
	drawTop    = 30
	markFooter = 22
)

// drawing is the chart as the template needs it: paths and places, no text
// that is not escaped there.
type drawing struct {
	Width, Height int
	Left, Right   int
	Panels        []panel
	Marks         []mark
	Ticks         []mark
	Bottom        int
	About         string // for those who cannot see it
}

type panel struct {
	Title    string
	Top      int
	Base     int
	Highest  string // at the top of the scale
	Lines    []stroke
	Baseline int
}

type stroke struct {
	Class, Label, Path string
	X, Y               int // of the legend's sample
}

type mark struct {
	X      string
	Letter string
	Label  string
	Top    int
	Base   int
	Y      int // of the letter
}

// draw places the samples; nil when there are none.
func draw(r apiv1.Report) *drawing {
	list := r.Samples
	if len(list) == 0 {
		return nil
	}
	d := &drawing{Width: drawWidth, Left: drawLeft, Right: drawRight}
	x := axis(list)
	sites := siteCurves(list)
	for i := range sites {
		sites[i].label += " "
	}
	groups := []struct {
		title  string
		class  []string
		curves []curve
	}{
		{"requests a second, by site", []string{"s0", "s1", "s2", "s3", "s4", "s5"}, sites},
		{"requests a second that hurt users, and that were saved", []string{"bad", "saved"},
			[]curve{ofSamples("hurt", list, hurtRate), ofSamples("retried, hedged or resumed", list, savedRate)}},
		{"milliseconds to the answer", []string{"p95", "slow"},
			[]curve{ofSamples("95th percentile", list, p95), ofSamples("longest", list, longest)}},
	}
	top := drawTop
	for _, g := range groups {
		scale := nice(highest(g.curves...))
		p := panel{Title: g.title, Top: top, Base: top + panelHigh, Highest: millis(scale)}
		at := drawRight
		for i := len(g.curves) - 1; i >= 0; i-- {
			label := strings.TrimSpace(g.curves[i].label)
			at -= 8*min(len([]rune(label)), 30) + 22
			p.Lines = append(p.Lines, stroke{Class: g.class[i], Label: label, Path: steps(list, g.curves[i].values, x, p, scale), X: max(at, drawLeft), Y: top - 7})
		}
		d.Panels = append(d.Panels, p)
		top = p.Base + panelGap
	}
	d.Bottom = top - panelGap
	d.Height = d.Bottom + markFooter
	d.Ticks = ticks(list, x, d.Bottom)
	d.Marks = marks(r.Milestones, list, x, d.Bottom)
	d.About = fmt.Sprintf("Requests over time from %s to %s UTC, in three panels: by site, hurt and saved, and time to the answer.", clock(list[0].From), clock(list[len(list)-1].To))
	return d
}

// axis gives the place of a time.
func axis(list []apiv1.ReportSample) func(t time.Time) float64 {
	begin := list[0].From
	all := max(list[len(list)-1].To.Sub(begin), time.Second)
	return func(t time.Time) float64 {
		share := min(1, max(0, float64(t.Sub(begin))/float64(all)))
		return drawLeft + share*(drawRight-drawLeft)
	}
}

// steps draws one value a sample as a flat piece, and breaks the line where
// nothing is known.
func steps(list []apiv1.ReportSample, values []float64, x func(time.Time) float64, p panel, scale float64) string {
	var b strings.Builder
	for i, s := range list {
		y := float64(p.Base)
		if scale > 0 {
			y -= values[i] / scale * panelHigh
		}
		move := "L"
		if i == 0 || s.From.After(list[i-1].To) {
			move = "M"
		}
		fmt.Fprintf(&b, "%s%s %sH%s", move, place(x(s.From)), place(y), place(x(s.To)))
	}
	return b.String()
}

func place(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// nice rounds a scale up to 1, 2 or 5 times a power of ten.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if v <= m*power {
			return m * power
		}
	}
	return 10 * power
}

func ticks(list []apiv1.ReportSample, x func(time.Time) float64, bottom int) []mark {
	const n = 6
	begin := list[0].From
	all := list[len(list)-1].To.Sub(begin)
	var out []mark
	for i := range n + 1 {
		t := begin.Add(all * time.Duration(i) / n)
		out = append(out, mark{X: place(x(t)), Label: t.Format("15:04:05"), Top: drawTop, Base: bottom, Y: bottom + 16})
	}
	return out
}

// marks places the milestones; letters that would cover each other stand one
// above the other.
func marks(milestones []apiv1.Milestone, list []apiv1.ReportSample, x func(time.Time) float64, bottom int) []mark {
	var out []mark
	last, row := -100.0, 0
	for _, m := range markers(milestones) {
		if m.At.Before(list[0].From) || m.At.After(list[len(list)-1].To) {
			continue
		}
		at := x(m.At)
		if at-last < 12 {
			row++
		} else {
			row = 0
		}
		last = at
		out = append(out, mark{
			X: place(at), Letter: letter(m), Label: fmt.Sprintf("%s at %s", spoken(m.Name), precise(m.At)),
			Top: drawTop, Base: bottom, Y: drawTop + 12 + 13*row,
		})
	}
	return out
}
