package config

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

// text reads a string. The pattern is checked on what the file says, before
// references are replaced, because that is what the schema sees.
type text struct {
	pattern *regexp.Regexp // nil = any
	wants   string         // what the pattern asks for: "is not " + wants
	like    string         // an example for the schema
}

func (t text) read(d *decoder, n *node, into *string) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	if t.pattern != nil && !t.pattern.MatchString(n.text) {
		d.fault(n, nil, "is not %s", t.wants)
		return
	}
	*into = s
}

// text gives the string that n stands for, with its references replaced.
func (d *decoder) text(n *node) (string, bool) {
	switch {
	case n.kind != scalar:
		d.wrongType(n, "text")
		return "", false
	case !n.quoted && plainKind(n.text) == "nothing":
		d.wrongType(n, "text")
		return "", false
	case !n.quoted && plainKind(n.text) != "text":
		d.fault(n, nil, "is %s to YAML; quote it to make it text", plainKind(n.text))
		return "", false
	case n.text == "":
		d.fault(n, nil, "is empty; leave the key out if nothing is meant")
		return "", false
	}
	return d.expand(n)
}

// word reads text into a type of its own.
type word[S ~string] struct{ text }

func (w word[S]) read(d *decoder, n *node, into *S) {
	var s string
	if w.text.read(d, n, &s); s != "" {
		*into = S(s)
	}
}

// secret reads a string that must come from a reference.
type secret struct{ like string } // an example for the schema

var secretPattern = regexp.MustCompile(`^\$\{(env|file):[^}]+\}$`)

func (secret) read(d *decoder, n *node, into *string) {
	if n.kind == scalar && !secretPattern.MatchString(n.text) {
		d.secrets = append(d.secrets, n)
		n.text, n.quoted = "", false // nothing may show it from here on
		d.fault(n, nil, "is a secret, which the file must not hold; write ${env:NAME} or ${file:path}")
		return
	}
	if s, ok := d.text(n); ok {
		*into = s
	}
}

// choice reads one of a few words.
type choice[S ~string] struct{ of []S }

func (c choice[S]) words() []string {
	words := make([]string, len(c.of))
	for i, w := range c.of {
		words[i] = string(w)
	}
	return words
}

func (c choice[S]) read(d *decoder, n *node, into *S) {
	s, ok := d.text(n)
	if !ok {
		return
	}
	for _, w := range c.of {
		if s == string(w) {
			*into = w
			return
		}
	}
	d.fault(n, estate.Near(s, c.words()), "is not one of %s", strings.Join(c.words(), ", "))
}

// either reads one of two words that say no or yes.
type either struct{ no, yes string }

func (e either) choice() choice[string] { return choice[string]{[]string{e.no, e.yes}} }

func (e either) read(d *decoder, n *node, into *bool) {
	var s string
	if e.choice().read(d, n, &s); s != "" {
		*into = s == e.yes
	}
}

// boolean reads true or false, and no word that only YAML 1.1 takes for them.
type boolean struct{}

func (boolean) read(d *decoder, n *node, into *bool) {
	switch {
	case n.kind != scalar:
		d.wrongType(n, "true or false")
	case !n.quoted && boolWord.MatchString(n.text):
		*into = strings.EqualFold(n.text, "true")
	case n.quoted && boolWord.MatchString(n.text):
		d.fault(n, nil, "is text; write it without quotes")
	default:
		var near []string
		switch strings.ToLower(n.text) {
		case "on", "yes", "y", "1", "enabled":
			near = []string{"true"}
		case "off", "no", "n", "0", "disabled":
			near = []string{"false"}
		}
		d.fault(n, near, "is not true or false")
	}
}

// whole reads an integer in plain decimal digits.
type whole struct{ low, high int }

var wholePattern = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

func (w whole) read(d *decoder, n *node, into *int) {
	const wanted = "a whole number in decimal digits"
	switch {
	case n.kind != scalar:
		d.wrongType(n, wanted)
		return
	case n.quoted && wholePattern.MatchString(n.text):
		d.fault(n, nil, "is text; write the number without quotes")
		return
	case n.quoted || !wholePattern.MatchString(n.text):
		d.fault(n, nil, "is not %s", wanted)
		return
	}
	i, err := strconv.Atoi(n.text)
	switch {
	case err != nil, i < w.low, i > w.high:
		if w.low == w.high {
			d.fault(n, nil, "is not %d, the only number that is read here", w.low)
		} else {
			d.fault(n, nil, "is not between %d and %d", w.low, w.high)
		}
	default:
		*into = i
	}
}

// number reads a decimal number within bounds.
type number struct {
	low, high float64
	above     bool // low itself is out of bounds
}

var numberPattern = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

func (m number) read(d *decoder, n *node, into *float64) {
	switch {
	case n.kind != scalar:
		d.wrongType(n, "a number")
		return
	case n.quoted || !numberPattern.MatchString(n.text):
		d.fault(n, nil, "is not a number such as 12 or 99.95, without quotes and unit")
		return
	}
	f, err := strconv.ParseFloat(n.text, 64)
	switch {
	case err != nil, math.IsInf(f, 0):
		d.fault(n, nil, "is too large a number")
	case f < m.low, f > m.high, m.above && f == m.low:
		d.fault(n, nil, "is not %s", m.bounds())
	default:
		*into = f
	}
}

func (m number) bounds() string {
	low := strconv.FormatFloat(m.low, 'g', -1, 64)
	if math.IsInf(m.high, 1) {
		return low + " or more"
	}
	word := "between " + low + " and "
	if m.above {
		word = "above " + low + " and up to "
	}
	return word + strconv.FormatFloat(m.high, 'g', -1, 64)
}

// duration reads a time span such as 500ms or 1m30s.
type duration struct{ zero bool } // zero: 0s is a value of its own

var durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$|\$\{`)

func (r duration) read(d *decoder, n *node, into *time.Duration) {
	const wanted = "a duration such as 500ms, 5s or 1m30s"
	switch {
	case n.kind != scalar:
		d.wrongType(n, wanted)
		return
	case !n.quoted && plainKind(n.text) == "a number":
		d.fault(n, nil, "is a number without a unit; %s is wanted", wanted)
		return
	}
	s, ok := d.text(n)
	if !ok {
		return
	}
	v, err := time.ParseDuration(s)
	switch {
	case !durationPattern.MatchString(n.text), err != nil, v < 0:
		d.fault(n, nil, "is not %s", wanted)
	case v == 0 && !r.zero:
		d.fault(n, nil, "is not above zero")
	default:
		*into = v
	}
}

// size reads a number of bytes, bare or with a unit.
type size struct{}

var (
	sizePattern = regexp.MustCompile(`^[1-9][0-9]*(B|KB|MB|GB|KiB|MiB|GiB)$|\$\{`)
	units       = []struct {
		name  string
		bytes int64
	}{
		{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
		{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
	}
)

func (size) read(d *decoder, n *node, into *int64) {
	const wanted = "a size such as 512KiB, 10MiB or 1GiB"
	if n.kind != scalar {
		d.wrongType(n, wanted)
		return
	}
	s := n.text
	if n.quoted || plainKind(s) != "a number" {
		var ok bool
		if s, ok = d.text(n); !ok {
			return
		}
		if !sizePattern.MatchString(n.text) {
			d.fault(n, nil, "is not %s", wanted)
			return
		}
	}
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || !wholePattern.MatchString(digits) || v < 1 || v > math.MaxInt64/u.bytes {
			d.fault(n, nil, "is not %s", wanted)
			return
		}
		*into = v * u.bytes
		return
	}
}
