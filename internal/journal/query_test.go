package journal

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// varied is a journal in which every field of a query tells entries apart.
func varied(t testing.TB) (*Journal, []Entry) {
	j := openIn(t, t.TempDir(), Options{})
	var entries []Entry
	for i := range 300 {
		e := note("Origin %d ÄUSSERST langsam 100%% _x_", i)
		e.At = day.Add(time.Duration(i*7%300) * time.Minute) // not in order of ID
		e.Kind = []Kind{KindVerdict, KindEject, KindSwitch, "other"}[i%4]
		e.Service = []estate.ServiceID{"", "shop", "blog"}[i%3]
		e.Site = []estate.SiteID{"virginia", "belgium", ""}[i/10%3]
		e.Incident = []string{"", "", "inc-1", "inc-2"}[i/50%4]
		entries = append(entries, e)
	}
	return j, mustAppend(t, j, entries...)
}

// selects is what a query means, one entry at a time.
func (q *Query) selects(e Entry) bool {
	return (q.Before == 0 || e.ID < q.Before) && e.ID > q.After &&
		(q.From.IsZero() || !e.At.Before(q.From)) && (q.To.IsZero() || e.At.Before(q.To)) &&
		(len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.Kind)) &&
		(q.Service == "" || q.Service == e.Service) && (q.Site == "" || q.Site == e.Site) &&
		(q.Incident == "" || q.Incident == e.Incident) &&
		strings.Contains(strings.ToLower(e.Message), strings.ToLower(q.Text))
}

// walk follows a query's pages to their end.
func walk(t *testing.T, j *Journal, q Query) []Entry {
	t.Helper()
	var found []Entry
	for range 1000 {
		page, err := j.Query(t.Context(), q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		limit := q.Limit
		if limit == 0 {
			limit = defaultLimit
		}
		if n := len(page.Entries); n > min(limit, maxLimit) || page.More && n != min(limit, maxLimit) {
			t.Fatalf("%+v gave %d entries, more: %v", q, n, page.More)
		}
		found = append(found, page.Entries...)
		if !page.More {
			return found
		}
		if q.Oldest {
			q.After = page.Next
		} else {
			q.Before = page.Next
		}
	}
	t.Fatalf("the pages of %+v have no end", q)
	return nil
}

func checkQuery(t *testing.T, j *Journal, entries []Entry, q Query) {
	t.Helper()
	var want []Entry
	for _, e := range entries {
		if q.selects(e) {
			want = append(want, e)
		}
	}
	if !q.Oldest {
		slices.Reverse(want)
	}
	if diff := cmp.Diff(want, walk(t, j, q)); diff != "" {
		t.Errorf("query %+v (-want +got):\n%s", q, diff)
	}
}

func TestQuerySelectsByEveryField(t *testing.T) {
	j, entries := varied(t)
	mid := day.Add(150 * time.Minute)
	for _, q := range []Query{
		{}, {Limit: 1}, {Limit: 7}, {Limit: 299}, {Limit: 300}, {Limit: 301}, {Limit: 5000},
		{Before: 1}, {Before: 100}, {Before: 1000}, {After: 299}, {After: 300}, {After: math.MaxInt64}, {After: 50, Before: 60},
		{From: mid}, {To: mid}, {From: mid, To: mid.Add(time.Hour)}, {From: mid, To: mid},
		{From: time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Kinds: []Kind{KindEject}}, {Kinds: []Kind{KindEject, "other", "unheard"}}, {Kinds: []Kind{""}},
		{Service: "shop"}, {Service: "shop' OR 1=1 --"}, {Site: "belgium"}, {Incident: "inc-2"}, {Incident: "none"},
		{Text: "origin 1"}, {Text: "äusserst LANGSAM"}, {Text: "100%"}, {Text: "_x_"}, {Text: "%"}, {Text: "1_"},
		{Text: "o\x00 not this"}, {Text: "\xff"}, {Text: " \x00"},
		{Service: "blog", Site: "virginia", Kinds: []Kind{KindVerdict, KindSwitch}, From: day.Add(time.Hour), Text: "1", Limit: 3},
	} {
		for _, q.Oldest = range []bool{false, true} {
			checkQuery(t, j, entries, q)
		}
	}
}

func TestQueryRefusesNonsense(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	for _, q := range []Query{
		{Before: -1}, {After: -1}, {Limit: -1}, {Kinds: make([]Kind, maxKinds+1)}, {Text: strings.Repeat("x", maxText+1)},
		{Service: estate.ServiceID(strings.Repeat("x", maxText+1))},
	} {
		if _, err := j.Query(t.Context(), q); !errs.Is(err, errs.Invalid) {
			t.Errorf("%+v: %v, want Invalid", q, err)
		}
	}
}

func TestCursorOfAnEmptyPageGoesOn(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	mustAppend(t, j, note("a"), note("b"))
	q := Query{After: 2, Oldest: true}
	page, err := j.Query(t.Context(), q)
	if err != nil || page.More || page.Next != 2 || len(page.Entries) != 0 {
		t.Fatalf("%+v, %v; want an empty page that goes on after 2", page, err)
	}
	mustAppend(t, j, note("c"))
	q.After = page.Next
	if page, err = j.Query(t.Context(), q); err != nil || len(page.Entries) != 1 || page.Next != 3 {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestPageIsBoundedInBytes(t *testing.T) {
	j := openIn(t, t.TempDir(), Options{})
	long := strings.Repeat("x", MaxEntryBytes-100)
	const n = 40
	for range n {
		mustAppend(t, j, note("%s", long))
	}
	q := Query{Limit: n}
	found, pages := 0, 0
	for more := true; more; pages++ {
		page, err := j.Query(t.Context(), q)
		if err != nil || len(page.Entries) == 0 {
			t.Fatalf("%d entries, %v", len(page.Entries), err)
		}
		if size := len(page.Entries) * len(long); size > maxPageBytes+MaxEntryBytes {
			t.Errorf("a page of %d bytes", size)
		}
		found += len(page.Entries)
		q.Before, more = page.Next, page.More
	}
	if found != n || pages < 3 {
		t.Errorf("%d entries on %d pages, want %d on 3", found, pages, n)
	}
}

func FuzzQuery(f *testing.F) {
	f.Add(int64(0), int64(0), int64(0), int64(0), "verdict,eject", "shop", "belgium", "inc-1", "ORIGIN 1", 10, true)
	f.Add(int64(200), int64(10), int64(60), int64(100), "", "", "", "", "\x00%_'\xff", 0, false)
	f.Add(int64(-1), int64(math.MaxInt64), int64(math.MinInt64), int64(math.MaxInt64), ",", "'", "\"", ";", "ß", -7, false)
	j, entries := varied(f)
	f.Fuzz(func(t *testing.T, before, after, from, to int64, kinds, service, site, incident, text string, limit int, oldest bool) {
		q := Query{Before: before, After: after, Service: estate.ServiceID(service), Site: estate.SiteID(site),
			Incident: incident, Text: text, Limit: limit, Oldest: oldest}
		if from != 0 {
			q.From = day.Add(time.Duration(from) * time.Minute)
		}
		if to != 0 {
			q.To = time.Unix(to, to)
		}
		if kinds != "" {
			for k := range strings.SplitSeq(kinds, ",") {
				q.Kinds = append(q.Kinds, Kind(k))
			}
		}
		if err := q.check(); err != nil {
			if !errs.Is(err, errs.Invalid) {
				t.Fatal(err)
			}
			if _, err := j.Query(t.Context(), q); !errs.Is(err, errs.Invalid) {
				t.Fatalf("%+v: %v, want Invalid", q, err)
			}
			return
		}
		checkQuery(t, j, entries, q)
	})
}

func FuzzAppendKeepsText(f *testing.F) {
	f.Add("verdict", "shop is down", `{"a":1}`, "ann", "dedup", int64(0))
	f.Add("\x00", "a\x00b\xff", "null", "\x00", "\x00", int64(-1))
	j := openIn(f, f.TempDir(), Options{MaxEntries: 100})
	f.Fuzz(func(t *testing.T, kind, message, data, actor, dedup string, at int64) {
		e := Entry{At: time.Unix(at, 0), Kind: Kind(kind), Message: message, Data: json.RawMessage(data), Actor: actor, Dedup: dedup}
		got, err := j.Append(t.Context(), e)
		if err != nil {
			if !errs.Is(err, errs.Invalid) {
				t.Fatal(err)
			}
			return
		}
		kept, err := j.Get(t.Context(), got[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		kept.Dedup = dedup
		if diff := cmp.Diff(got[0], kept); diff != "" {
			t.Errorf("given back and kept differ:\n%s", diff)
		}
		if dedup == "" && (string(kept.Kind) != kind || kept.Message != message || string(kept.Data) != data) {
			t.Errorf("%q %q %q was kept as %+v", kind, message, data, kept)
		}
		if _, err := json.Marshal(kept); err != nil && utf8.ValidString(message) {
			t.Errorf("%+v: %v", kept, err)
		}
	})
}
