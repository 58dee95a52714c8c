package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// clock writes a time for people, to the second.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// precise writes a time of day to the millisecond.
func precise(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// span writes a time span for people: 0.12 s, 13 s, 2 min 5 s, 3 h 20 min.
func span(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	switch {
	case d < 10*time.Second:
		return sign + strconv.FormatFloat(math.Round(d.Seconds()*100)/100, 'f', -1, 64) + " s"
	case d < time.Minute:
		return sign + strconv.FormatFloat(math.Round(d.Seconds()*10)/10, 'f', -1, 64) + " s"
	case d < time.Hour:
		d = d.Round(time.Second)
		return sign + fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		d = d.Round(time.Minute)
		return sign + fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

func fromMS(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// millis writes a duration in milliseconds to a tenth.
func millis(ms float64) string { return strconv.FormatFloat(math.Round(ms*10)/10, 'f', -1, 64) }

// number writes a count with its thousands apart: 12,345.
func number(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes a number with its noun.
func count(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return number(n) + " " + noun
}

func was(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun + " was"
	}
	return count(n, noun) + " were"
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// sentence ends a text with a full stop. Its beginning stays: it may be a name.
func sentence(s string) string {
	if strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// percent writes a share for people.
func percent(share float64) string {
	p := 100 * share
	switch {
	case p > 0 && p < 0.01:
		return "under 0.01 %"
	case p < 10:
		return strconv.FormatFloat(math.Round(p*100)/100, 'f', -1, 64) + " %"
	default:
		return strconv.FormatFloat(math.Round(p*10)/10, 'f', -1, 64) + " %"
	}
}
