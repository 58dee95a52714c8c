package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/web/session"
)

// kinds are the kinds of entry that the search offers.
func kinds() []journal.Kind {
	return []journal.Kind{
		journal.KindVerdict, journal.KindEject, journal.KindReadmit, journal.KindSwitch, journal.KindIncident, journal.KindOperator,
		journal.KindOverride, journal.KindFence, journal.KindTable, journal.KindReload, journal.KindNotify, journal.KindTelemetry,
		journal.KindLink, journal.KindStart, journal.KindStop,
	}
}

// journalPage is one page of the journal, newest first.
type journalPage struct {
	Form     url.Values // what was asked for, as it was written
	Services []string   // to choose from
	Sites    []string
	List     []journal.Entry
	Older    string // address of the next page; "" = there is none
	Later    bool   // this is not the first page
	Searched bool
}

// mostChoices bounds the names that a field offers: a page of ten thousand
// would not be one to choose from.
const mostChoices = 200

func (c *Console) journal(r *http.Request, _ *session.Session) (view, error) {
	form := r.URL.Query()
	if id, ok := oneEntry(form); ok {
		return view{redirect: "/journal/" + strconv.FormatInt(id, 10)}, nil
	}
	q, err := search(form)
	if err != nil {
		return view{}, err
	}
	st, err := c.status(r.Context())
	if err != nil {
		return view{}, err
	}
	p := journalPage{Form: form, Later: q.Before != 0}
	for i := range st.Services[:min(mostChoices, len(st.Services))] {
		p.Services = append(p.Services, st.Services[i].ID)
	}
	for i := range st.Buckets[:min(mostChoices, len(st.Buckets))] {
		p.Services = append(p.Services, apiv1.BucketService(st.Buckets[i].ID))
	}
	for _, s := range st.Sites[:min(mostChoices, len(st.Sites))] {
		p.Sites = append(p.Sites, s.ID)
	}
	for name := range form {
		p.Searched = p.Searched || (name != "before" && form.Get(name) != "")
	}
	var more bool
	p.List, more, err = c.Backend.Entries(r.Context(), q)
	if more && len(p.List) > 0 {
		older := url.Values{}
		for name := range form {
			if v := form.Get(name); v != "" {
				older.Set(name, v)
			}
		}
		older.Set("before", strconv.FormatInt(p.List[len(p.List)-1].ID, 10))
		p.Older = "/journal?" + older.Encode()
	}
	return view{template: "journal", title: "Journal", nav: "journal", live: !p.Later, body: p}, err
}

// oneEntry reads the query by which a report names an entry to the API: the
// first one after the number before it.
func oneEntry(form url.Values) (id int64, ok bool) {
	before, err := strconv.ParseInt(form.Get("after"), 10, 64)
	return before + 1, err == nil && before >= 0 && form.Get("limit") == "1" && form.Get("order") == "oldest"
}

// search reads the form. An empty field asks for nothing.
func search(form url.Values) (journal.Query, error) {
	q := journal.Query{
		Service: estate.ServiceID(strings.TrimSpace(form.Get("service"))), Site: estate.SiteID(strings.TrimSpace(form.Get("site"))),
		Incident: strings.TrimSpace(form.Get("incident")), Limit: perPage,
	}
	var err error
	if q.From, err = moment(form.Get("from")); err != nil {
		return q, err
	}
	if q.To, err = moment(form.Get("to")); err != nil {
		return q, err
	}
	if k := form.Get("kind"); k != "" {
		q.Kinds = []journal.Kind{journal.Kind(k)}
	}
	if v := form.Get("before"); v != "" {
		if q.Before, err = entryID(v); err != nil {
			return q, err
		}
	}
	// The wire's own reader knows how long a text may be.
	_, err = apiv1.ParseJournalQuery(url.Values{"text": {form.Get("q")}})
	q.Text = form.Get("q")
	return q, err
}

// layouts are the ways in which a time may be written: what browsers send, and
// what people and programs write. All are UTC unless they say otherwise.
var layouts = []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02", time.RFC3339Nano}

func moment(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return time.Time{}, nil
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errs.WithHint(errs.E(errs.Invalid, "%q is not a time", short(s, 40)), "write it in UTC, such as 2026-01-31 12:00")
}

func entryID(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, errs.E(errs.Invalid, "%q is not the number of an entry", short(s, 40))
	}
	return n, nil
}

// entryPage is one entry with all that was written down of it.
type entryPage struct {
	journal.Entry
	Around string // address of the journal from it on
}

func (c *Console) entry(r *http.Request, _ *session.Session) (view, error) {
	id, err := entryID(r.PathValue("id"))
	if err != nil {
		return view{}, err
	}
	list, _, err := c.Backend.Entries(r.Context(), journal.Query{After: id - 1, Oldest: true, Limit: 1})
	if err != nil {
		return view{}, err
	}
	if len(list) != 1 || list[0].ID != id {
		return view{}, errs.E(errs.NotFound, "the journal has no entry %d, or no longer has it", id)
	}
	return view{template: "entry", title: "Entry " + strconv.FormatInt(id, 10), nav: "journal",
		body: entryPage{Entry: list[0], Around: "/journal?" + url.Values{"before": {strconv.FormatInt(id+perPage/2, 10)}}.Encode()}}, nil
}
