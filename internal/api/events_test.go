package api_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/journal"
)

var errEnough = errors.New("enough")

// listen gives the IDs of the first n events, calling each before it waits
// for the one with that index.
func listen(t *testing.T, b *apitest.Backend, q apiv1.JournalQuery, n int, before func(i int)) []int64 {
	t.Helper()
	ts := httptest.NewServer(server(b))
	defer ts.Close()
	c, err := apiv1.New(ts.URL, "", ts.Client())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var ids []int64
	before(0)
	err = c.Events(ctx, q, func(e apiv1.Entry) error {
		ids = append(ids, e.ID)
		before(len(ids))
		if len(ids) == n {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		t.Fatalf("events ended with %v after %v", err, ids)
	}
	return ids
}

func TestEventsGoOnAfterTheLastSeen(t *testing.T) {
	got := listen(t, apitest.New(), apiv1.JournalQuery{After: 1}, 2, func(int) {})
	if d := cmp.Diff([]int64{2, 3}, got); d != "" {
		t.Errorf("ids (-want +got):\n%s", d)
	}
}

func TestEventsArriveAsTheyAreWritten(t *testing.T) {
	b := apitest.New()
	got := listen(t, b, apiv1.JournalQuery{After: 3}, 3, func(i int) {
		b.Append(journal.Entry{At: apitest.Noon, Kind: journal.KindTable, Message: "table published"})
	})
	if d := cmp.Diff([]int64{4, 5, 6}, got); d != "" {
		t.Errorf("ids (-want +got):\n%s", d)
	}
}

func TestEventsAreFiltered(t *testing.T) {
	got := listen(t, apitest.New(), apiv1.JournalQuery{After: 1, Site: "belgium", Kinds: []string{"switch", "verdict"}}, 1, func(int) {})
	if d := cmp.Diff([]int64{3}, got); d != "" {
		t.Errorf("ids (-want +got):\n%s", d)
	}
}

func TestEventsOutliveAJournalThatIsAwayForAMoment(t *testing.T) {
	b := apitest.New()
	got := listen(t, b, apiv1.JournalQuery{After: 2}, 2, func(i int) {
		if i != 1 {
			return
		}
		b.Fail(errs.E(errs.Unavailable, "busy"))
		b.Append(journal.Entry{At: apitest.Noon, Message: "written meanwhile"})
		time.AfterFunc(400*time.Millisecond, func() { b.Fail(nil) })
	})
	if d := cmp.Diff([]int64{3, 4}, got); d != "" {
		t.Errorf("ids (-want +got):\n%s", d)
	}
}

func TestEventsBeginWithTheNextEntry(t *testing.T) {
	b := apitest.New()
	s := server(b)
	ts := httptest.NewServer(s)
	defer ts.Close()
	c, err := apiv1.New(ts.URL, "", ts.Client())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { // write until one is seen: when the stream begins is not known here
		for ctx.Err() == nil {
			b.Append(journal.Entry{At: apitest.Noon, Message: "new"})
			time.Sleep(20 * time.Millisecond)
		}
	}()
	err = c.Events(ctx, apiv1.JournalQuery{}, func(e apiv1.Entry) error {
		if e.Message != "new" {
			t.Errorf("entry %d was written before", e.ID)
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		t.Errorf("events ended with %v", err)
	}
}

func TestBadLastEventIDIsRefused(t *testing.T) {
	for _, id := range []string{"x", "-1", "1.5"} {
		if w := ask(server(apitest.New()), "GET", "/api/v1/events", "", "Last-Event-ID: "+id); w.Code != 400 {
			t.Errorf("Last-Event-ID %q: %d", id, w.Code)
		}
	}
}
