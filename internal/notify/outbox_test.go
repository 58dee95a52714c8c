package notify_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/notify"
	"github.com/sparecloud/spare/internal/state"
	"github.com/sparecloud/spare/internal/state/memstate"
)

// receiver is a Sender that answers as it is told.
type receiver struct {
	mu     sync.Mutex
	answer func(n notify.Notice) error
	got    []string
	at     []time.Time
}

func (r *receiver) Send(_ context.Context, n notify.Notice) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, n.ID)
	r.at = append(r.at, time.Now())
	if r.answer == nil {
		return nil
	}
	return r.answer(n)
}

// book is a journal that keeps messages by their name.
type book struct {
	mu    sync.Mutex
	names []string
	last  journal.Entry
}

func (b *book) Append(_ context.Context, entries ...journal.Entry) ([]journal.Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range entries {
		if !slices.Contains(b.names, e.Dedup) {
			b.names = append(b.names, e.Dedup)
			b.last = e
		}
	}
	return entries, nil
}

type bench struct {
	t       *testing.T
	store   *memstate.Store
	journal *book
	to      *receiver
	box     *notify.Outbox
	stop    func()
}

func newBench(t *testing.T) *bench {
	return &bench{t: t, store: memstate.New(), journal: &book{}, to: &receiver{}}
}

func (b *bench) start() {
	b.box = notify.NewOutbox(notify.Options{Store: b.store, Journal: b.journal, Sender: b.to,
		Log: slog.New(slog.DiscardHandler), Rand: func() float64 { return 0 }})
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = b.box.Run(ctx) }()
	b.stop = func() { cancel(); <-done }
}

func (b *bench) add(id, subject string) {
	b.t.Helper()
	err := b.box.Add(b.t.Context(), notify.Notice{ID: id, Event: notify.IncidentOpened, Subject: subject, Incident: json.RawMessage(`{}`)})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) waiting() int {
	kvs, err := b.store.List(b.t.Context(), "notify/outbox/")
	if err != nil {
		b.t.Fatal(err)
	}
	return len(kvs)
}

func down(notify.Notice) error { return errs.E(errs.Unavailable, "receiver down") }

func TestNoticeIsDeliveredOnceAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.start()
		b.add("1.opened", "1")
		b.add("2.opened", "2")
		time.Sleep(time.Hour)
		b.stop()
		if d := cmp.Diff([]string{"1.opened", "2.opened"}, b.to.got); d != "" {
			t.Error(d)
		}
		if n := b.waiting(); n != 0 {
			t.Errorf("%d notices left", n)
		}
		if d := cmp.Diff([]string{"notify/1.opened/delivered", "notify/2.opened/delivered"}, b.journal.names); d != "" {
			t.Error(d)
		}
	})
}

func TestRetriesGrowApartUntilAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.to.answer = down
		b.start()
		begin := time.Now()
		b.add("1.opened", "1")
		time.Sleep(time.Hour)
		b.to.mu.Lock()
		b.to.answer = nil
		b.to.mu.Unlock()
		time.Sleep(time.Hour)
		b.stop()
		var got []time.Duration
		for _, at := range b.to.at[:11] {
			got = append(got, at.Sub(begin))
		}
		s := time.Second
		want := []time.Duration{0, 1 * s, 3 * s, 7 * s, 15 * s, 31 * s, 63 * s, 127 * s, 255 * s, 511 * s, 811 * s}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if b.waiting() != 0 {
			t.Error("the notice is still there")
		}
		if d := cmp.Diff([]string{"notify/1.opened/delayed", "notify/1.opened/delivered"}, b.journal.names); d != "" {
			t.Error(d)
		}
	})
}

func TestNoticeSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.to.answer = down
		b.start()
		b.add("1.opened", "1")
		time.Sleep(time.Minute)
		b.stop()
		b.to.answer, b.to.got = nil, nil
		b.start()
		time.Sleep(time.Second)
		b.stop()
		if d := cmp.Diff([]string{"1.opened"}, b.to.got); d != "" {
			t.Error(d)
		}
	})
}

func TestNoticeIsGivenUpAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.to.answer = down
		b.start()
		b.add("1.opened", "1")
		time.Sleep(notify.MaxAge - time.Minute)
		if b.waiting() != 1 {
			t.Error("given up too early")
		}
		time.Sleep(10 * time.Minute)
		b.stop()
		if b.waiting() != 0 {
			t.Error("still there after a day")
		}
		if e := b.journal.last; e.Level != journal.Error || e.Kind != journal.KindNotify || e.Incident != "1" || !strings.Contains(e.Message, "gave up") {
			t.Errorf("journal: %+v", e)
		}
	})
}

func TestRefusedNoticeIsGivenUpVisibly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.to.answer = func(notify.Notice) error { return errs.E(errs.Invalid, "answered 410 Gone") }
		b.start()
		b.add("1.opened", "1")
		time.Sleep(time.Hour)
		b.stop()
		if len(b.to.got) != 1 || b.waiting() != 0 {
			t.Errorf("%d attempts, %d waiting", len(b.to.got), b.waiting())
		}
		if e := b.journal.last; e.Level != journal.Error || !strings.Contains(e.Message, "410") {
			t.Errorf("journal: %+v", e)
		}
	})
}

func TestClosingNeverOvertakesOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		tries := 0
		b.to.answer = func(n notify.Notice) error {
			if n.ID == "1.opened" && tries < 4 {
				tries++
				return down(n)
			}
			return nil
		}
		b.start()
		b.add("1.opened", "1")
		time.Sleep(100 * time.Millisecond)
		b.add("1.closed", "1")
		b.add("2.opened", "2") // about something else: need not wait
		time.Sleep(time.Hour)
		b.stop()
		want := []string{"1.opened", "2.opened", "1.opened", "1.opened", "1.opened", "1.opened", "1.closed"}
		if d := cmp.Diff(want, b.to.got); d != "" {
			t.Error(d)
		}
	})
}

func TestAddingTwiceDeliversOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.to.answer = down
		b.start()
		defer b.stop()
		b.add("1.opened", "1")
		b.add("1.opened", "1")
		if n := b.waiting(); n != 1 {
			t.Errorf("%d notices wait", n)
		}
	})
}

// forgetful is a store that fails to remove, once.
type forgetful struct {
	state.Store
	failed bool
}

func (s *forgetful) Delete(ctx context.Context, key string, expect state.Revision) error {
	if !s.failed {
		s.failed = true
		return errs.E(errs.Unavailable, "store down")
	}
	return s.Store.Delete(ctx, key, expect)
}

func TestDeliveryThatIsNotNotedIsRepeatedUnderTheSameID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to, j := &receiver{}, &book{}
		box := notify.NewOutbox(notify.Options{Store: &forgetful{Store: memstate.New()}, Journal: j, Sender: to, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = box.Run(ctx) }()
		if err := box.Add(ctx, notify.Notice{ID: "1.opened", Subject: "1", Incident: json.RawMessage(`{}`)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		cancel()
		<-done
		if d := cmp.Diff([]string{"1.opened", "1.opened"}, to.got); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"notify/1.opened/delivered"}, j.names); d != "" {
			t.Error(d)
		}
	})
}
