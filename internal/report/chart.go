package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// curve is one quantity over time: a value for each sample.
type curve struct {
	label  string
	values []float64
}

// maxSites bounds the curves of a chart; the rest are one more.
const maxSites = 5

// siteCurves gives requests a second by site, the busiest sites first.
func siteCurves(list []apiv1.ReportSample) []curve {
	total := map[string]uint64{}
	for _, s := range list {
		for _, p := range s.Sites {
			total[p.Site] += p.Attempts
		}
	}
	var names []string
	for n := range total {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if total[a] != total[b] {
			if total[a] > total[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	kept := names[:min(len(names), maxSites)]
	slices.Sort(kept)
	var curves []curve
	for _, n := range kept {
		curves = append(curves, ofSamples(n, list, func(s apiv1.ReportSample) float64 { return rate(s, n) }))
	}
	if rest := names[len(kept):]; len(rest) > 0 {
		curves = append(curves, ofSamples(fmt.Sprintf("%d others", len(rest)), list, func(s apiv1.ReportSample) float64 {
			return rate(s, rest...)
		}))
	}
	return curves
}

func ofSamples(label string, list []apiv1.ReportSample, value func(apiv1.ReportSample) float64) curve {
	c := curve{label: label, values: make([]float64, len(list))}
	for i, s := range list {
		c.values[i] = value(s)
	}
	return c
}

// rate is a sample's attempts a second at the sites.
func rate(s apiv1.ReportSample, sites ...string) float64 {
	var n uint64
	for _, p := range s.Sites {
		if slices.Contains(sites, p.Site) {
			n += p.Attempts
		}
	}
	return float64(n) / s.To.Sub(s.From).Seconds()
}

func hurtRate(s apiv1.ReportSample) float64 {
	return float64(hurt(s.Failed, s.MaybeApplied, s.Truncated)) / s.To.Sub(s.From).Seconds()
}

func savedRate(s apiv1.ReportSample) float64 {
	return float64(s.Retried+s.Hedged+s.Resumed) / s.To.Sub(s.From).Seconds()
}

func longest(s apiv1.ReportSample) float64 { return s.LongestMS }

func p95(s apiv1.ReportSample) float64 {
	most := 0.0
	for _, p := range s.Sites {
		most = max(most, p.P95MS)
	}
	return most
}

func highest(curves ...curve) float64 {
	most := 0.0
	for _, c := range curves {
		for _, v := range c.values {
			most = max(most, v)
		}
	}
	return most
}

// markers are the milestones that the chart shows, by letter.
func markers(list []apiv1.Milestone) []apiv1.Milestone {
	return slices.DeleteFunc(slices.Clone(list), func(m apiv1.Milestone) bool { return letter(m) == "" })
}

func letter(m apiv1.Milestone) string {
	switch m.Name {
	case "first_evidence":
		return "F"
	case "ejected":
		return "E"
	case "switched":
		return "S"
	case "recovered":
		return "R"
	case "closed":
		return "C"
	}
	return ""
}

const textColumns = 60

// chart draws the samples as rows of blocks, which need no picture.
func (w *markdown) chart(r apiv1.Report) {
	if onlyBuckets(r.Incident) {
		return
	}
	w.section("Requests over time")
	if len(r.Samples) == 0 {
		w.line("There are no counts over time.")
		return
	}
	list := thin(r.Samples, textColumns)
	rows := append(siteCurves(list),
		ofSamples("hurt/s", list, hurtRate), ofSamples("saved/s", list, savedRate),
		ofSamples("p95 ms", list, p95), ofSamples("longest ms", list, longest))
	width := 0
	for i := range rows {
		if i < len(rows)-4 {
			rows[i].label += " req/s"
		}
		width = max(width, len([]rune(rows[i].label)))
	}
	begin, end := list[0].From, list[len(list)-1].To
	w.line("From %s to %s, each column about %s. Every row from 0 to its own highest value, which stands behind it. Saved are requests that were retried, hedged or resumed.\n",
		precise(begin), precise(end), span(end.Sub(begin)/time.Duration(len(list))))
	for _, c := range rows {
		w.line("    %-*s %s %s", width, c.label, blocks(c.values), millis(highest(c)))
	}
	w.line("    %-*s %s", width, "", markRow(list, r.Milestones))
	w.line("\nF: first evidence, E: ejected, S: switched, R: recovered, C: closed, \\*: several at once.")
}

// blocks draws values as heights of an eighth. What is not zero shows.
func blocks(values []float64) string {
	const heights = "·▁▂▃▄▅▆▇█"
	levels := []rune(heights)
	top := highest(curve{values: values})
	var b strings.Builder
	for _, v := range values {
		n := 0
		if v > 0 && top > 0 {
			n = max(1, int(math.Round(v/top*float64(len(levels)-1))))
		}
		b.WriteRune(levels[n])
	}
	return b.String()
}

func markRow(list []apiv1.ReportSample, milestones []apiv1.Milestone) string {
	row := []byte(strings.Repeat(" ", len(list)))
	for _, m := range markers(milestones) {
		i := slices.IndexFunc(list, func(s apiv1.ReportSample) bool { return m.At.Before(s.To) })
		if i < 0 {
			continue
		}
		if row[i] != ' ' {
			row[i] = '*'
		} else {
			row[i] = letter(m)[0]
		}
	}
	return strings.TrimRight(string(row), " ")
}
