package apiv1

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// Entry is one line of the journal.
type Entry struct {
	ID        int64           `json:"id"`       // grows; never used twice
	At        time.Time       `json:"at"`       // when it happened
	Recorded  time.Time       `json:"recorded"` // when it was written down
	Kind      string          `json:"kind"`     // an open set; Message explains a kind that you do not know
	Level     string          `json:"level"`    // info | warn | error
	Certainty string          `json:"certainty"`
	Service   string          `json:"service,omitempty"`
	Site      string          `json:"site,omitempty"`
	Incident  string          `json:"incident,omitempty"`
	Actor     string          `json:"actor"`
	Message   string          `json:"message"`
	Data      json.RawMessage `json:"data,omitempty"` // details by kind
}

// JournalPage is the answer to GET /api/v1/journal.
type JournalPage struct {
	Entries []Entry `json:"entries"`
	More    bool    `json:"more"` // there are more in this direction
	// Next is the cursor of the next page, 0 when there is none.
	Next int64 `json:"next,omitempty"`
}

// Limits of [JournalQuery] and [IncidentQuery].
const (
	DefaultLimit = 100
	MaxLimit     = 500
	maxText      = 256
)

// JournalQuery selects entries; its fields are the parameters of GET
// /api/v1/journal. Zero fields select everything.
type JournalQuery struct {
	Before   int64     // before: entries with a smaller id
	After    int64     // after: entries with a larger id
	From, To time.Time // from, to: RFC 3339
	Kinds    []string  // kind: may be repeated
	Service  string    // service
	Site     string    // site
	Incident string    // incident
	Text     string    // text: part of the message
	Limit    int       // limit: entries in a page
	Oldest   bool      // order=oldest: oldest first
	Cursor   int64     // cursor: Next of the page before
}

// Values gives the query as URL parameters.
func (q JournalQuery) Values() url.Values {
	v := url.Values{}
	number := func(name string, n int64) {
		if n != 0 {
			v.Set(name, strconv.FormatInt(n, 10))
		}
	}
	text := func(name, s string) {
		if s != "" {
			v.Set(name, s)
		}
	}
	moment := func(name string, t time.Time) {
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	number("before", q.Before)
	number("after", q.After)
	moment("from", q.From)
	moment("to", q.To)
	for _, k := range q.Kinds {
		v.Add("kind", k)
	}
	text("service", q.Service)
	text("site", q.Site)
	text("incident", q.Incident)
	text("text", q.Text)
	number("limit", int64(q.Limit))
	if q.Oldest {
		v.Set("order", "oldest")
	}
	number("cursor", q.Cursor)
	return v
}

// ParseJournalQuery reads URL parameters, strictly: a parameter that is not
// known, stands twice or cannot be read is Invalid.
func ParseJournalQuery(v url.Values) (JournalQuery, error) {
	var q JournalQuery
	if err := once(v, "kind"); err != nil {
		return q, err
	}
	for name, vals := range v {
		if err := q.set(name, vals); err != nil {
			return q, err
		}
	}
	return q, nil
}

// once refuses parameters that stand more than once, but for those in many.
func once(v url.Values, many ...string) error {
	for name, vals := range v {
		if len(vals) != 1 && !slices.Contains(many, name) {
			return errs.E(errs.Invalid, "parameter %q stands %d times", name, len(vals))
		}
	}
	return nil
}

func (q *JournalQuery) set(name string, vals []string) (err error) {
	val := vals[0]
	switch name {
	case "before":
		q.Before, err = parseID(name, val)
	case "after":
		q.After, err = parseID(name, val)
	case "cursor":
		q.Cursor, err = parseID(name, val)
	case "from":
		q.From, err = parseTime(name, val)
	case "to":
		q.To, err = parseTime(name, val)
	case "kind":
		q.Kinds = vals
	case "service":
		q.Service = val
	case "site":
		q.Site = val
	case "incident":
		q.Incident = val
	case "text":
		q.Text = val
		if len(val) > maxText {
			err = errs.E(errs.Invalid, "parameter %q is longer than %d bytes", name, maxText)
		}
	case "limit":
		q.Limit, err = parseLimit(val)
	case "order":
		q.Oldest = val == "oldest"
		if val != "oldest" && val != "newest" {
			err = errs.E(errs.Invalid, "parameter order=%q is neither oldest nor newest", val)
		}
	default:
		err = errs.E(errs.Invalid, "parameter %q is not known", name)
	}
	return err
}

func parseID(name, val string) (int64, error) {
	n, err := strconv.ParseInt(val, 10, 64)
	if err != nil || n < 0 {
		return 0, errs.E(errs.Invalid, "parameter %s=%q is not an entry's id", name, val)
	}
	return n, nil
}

func parseLimit(val string) (int, error) {
	n, err := strconv.Atoi(val)
	if err != nil || n < 1 || n > MaxLimit {
		return 0, errs.E(errs.Invalid, "parameter limit=%q is not a number from 1 to %d", val, MaxLimit)
	}
	return n, nil
}

func parseTime(name, val string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, val)
	if err != nil {
		return time.Time{}, errs.E(errs.Invalid, "parameter %s=%q is not a time such as 2026-01-31T12:00:00Z", name, val)
	}
	return t.UTC(), nil
}
