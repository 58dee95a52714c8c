package apiv1

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
)

func TestErrorsCrossTheWireUnchanged(t *testing.T) {
	for _, err := range []error{
		errs.E(errs.NotFound, "no service"),
		errs.WithHint(errs.E(errs.Conflict, "last origin"), "use force"),
		errs.MaybeApplied(errs.E(errs.Unavailable, "store away")),
		errs.WithHint(errs.MaybeApplied(errs.E(errs.Stale, "lease over")), "look"),
		errs.MaybeApplied(errs.WithHint(errs.E(errs.Unavailable, "store away"), "look")),
		errs.E(errs.Internal, "100%% wrong"),
	} {
		got := ErrorOf(err).Err()
		type parts struct {
			Kind       errs.Kind
			Text, Hint string
			Maybe      bool
		}
		of := func(err error) parts {
			return parts{errs.KindOf(err), err.Error(), errs.Hint(err), errs.IsMaybeApplied(err)}
		}
		if d := cmp.Diff(of(err), of(got)); d != "" {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
	}
}

func TestJournalQueriesCrossTheWireUnchanged(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	for _, q := range []JournalQuery{
		{},
		{Before: 9, After: 2, From: at, To: at.Add(time.Hour), Kinds: []string{"switch", "verdict"}, Service: "shop", Site: "a",
			Incident: "i-1", Text: "a&b=ü %", Limit: 500, Oldest: true, Cursor: 5},
	} {
		v, err := url.ParseQuery(q.Values().Encode())
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseJournalQuery(v)
		if d := cmp.Diff(q, got); d != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
	}
}

func TestIncidentQueriesCrossTheWireUnchanged(t *testing.T) {
	for _, q := range []IncidentQuery{{}, {State: "open", Before: "2026-03-01-7fbd2c", Limit: 3}, {State: "closed"}} {
		got, err := ParseIncidentQuery(q.Values())
		if d := cmp.Diff(q, got); d != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
	}
}

func FuzzParseJournalQuery(f *testing.F) {
	f.Add("before=1&kind=a&kind=b&from=2026-03-01T12:00:00Z&order=oldest")
	f.Add("limit=99999999999999999999&text=%00")
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := ParseJournalQuery(v)
		if err != nil {
			if !errs.Is(err, errs.Invalid) {
				t.Errorf("%q: %v is not Invalid", raw, err)
			}
			return
		}
		again, err := ParseJournalQuery(q.Values())
		if d := cmp.Diff(q, again); d != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", raw, err, d)
		}
	})
}

func TestMillisecondsKeepMicroseconds(t *testing.T) {
	if got := Milliseconds(1234567 * time.Nanosecond); got != 1.234 {
		t.Errorf("got %v", got)
	}
}
