package web

import (
	"bufio"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/journal"
)

// counting is the shop, with requests that a test counts, at the time of now.
type counting struct {
	*apitest.Backend
	mu       sync.Mutex
	requests uint64
	looks    int
	err      error
}

func (b *counting) Status(ctx context.Context) (apiv1.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	st, err := b.Backend.Status(ctx)
	st.Services = []apiv1.Service{st.Services[1]}
	st.Services[0].Traffic.Requests = b.requests
	st.IncidentsOpen, st.At = 0, time.Now()
	st.DataProcesses = []apiv1.DataProcess{{PID: 1, RSSBytes: int64(b.looks)}} // a process breathes
	if b.err != nil {
		err = b.err
	}
	return st, err
}

func (b *counting) count(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests += n
}

func (b *counting) looked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.looks
}

func newCounting() (*counting, *Console) {
	b := &counting{Backend: apitest.New()}
	return b, New(Options{Backend: b, Token: func() string { return "" }, Log: slog.New(slog.DiscardHandler), OpenReads: true})
}

// stream collects what a listener is sent.
type stream struct {
	header http.Header
	mu     sync.Mutex
	text   strings.Builder
}

func (s *stream) Header() http.Header { return s.header }
func (s *stream) WriteHeader(int)     {}
func (s *stream) Flush()              {}
func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *stream) events() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), "event: state\n")
}

// listen runs the console and one listener in a bubble, until stop.
func listen(c *Console) (s *stream, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	s = &stream{header: http.Header{}}
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.Run(ctx) })
	wg.Go(func() { c.live(s, httptest.NewRequest("GET", "/live", nil)) })
	return s, func() { cancel(); wg.Wait() }
}

func TestListenersAreToldOfChangesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newCounting()
		s, stop := listen(c)
		time.Sleep(3500 * time.Millisecond)
		first := s.events() // of the first picture
		if first > 1 {
			t.Errorf("%d events for one picture", first)
		}
		time.Sleep(10 * time.Second)
		if n := s.events(); n != first {
			t.Errorf("%d events, and nothing had changed", n-first)
		}
		for _, change := range []func(){
			func() { b.count(1) },
			func() { b.Append(journal.Entry{Message: "x"}) },
		} {
			before := s.events()
			change()
			time.Sleep(1100 * time.Millisecond)
			if n := s.events() - before; n != 1 {
				t.Errorf("%d events for one change", n)
			}
		}
		stop()
	})
}

func TestListenersAreToldAtMostOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newCounting()
		s, stop := listen(c)
		for range 200 {
			b.count(1)
			time.Sleep(50 * time.Millisecond)
		}
		if n := s.events(); n < 8 || n > 11 {
			t.Errorf("%d events in 10 s", n)
		}
		stop()
	})
}

func TestSilentStreamsSayThatTheyLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newCounting()
		s, stop := listen(c)
		time.Sleep(time.Minute)
		stop()
		if n := strings.Count(s.text.String(), ": still here\n\n"); n < 3 || n > 4 {
			t.Errorf("%d signs of life in a minute", n)
		}
	})
}

// A stream's end lets a browser come again and be checked again.
func TestStreamsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newCounting()
		began := time.Now()
		c.live(&stream{header: http.Header{}}, httptest.NewRequest("GET", "/live", nil))
		if took := time.Since(began); took != streamLife {
			t.Errorf("it lasted %v", took)
		}
	})
}

func TestStreamsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newCounting()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range maxStreams {
			wg.Go(func() {
				c.live(&stream{header: http.Header{}}, httptest.NewRequestWithContext(ctx, "GET", "/live", nil))
			})
		}
		synctest.Wait()
		w := httptest.NewRecorder()
		c.live(w, httptest.NewRequest("GET", "/live", nil))
		if w.Code != 503 {
			t.Errorf("one more: %d", w.Code)
		}
		cancel()
		wg.Wait()
		if n := c.news.listeners(); n != 0 {
			t.Errorf("%d are still counted", n)
		}
	})
}

func TestRatesComeWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newCounting()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(500 * time.Millisecond) // in between two looks
		for range 30 {
			b.count(5)
			time.Sleep(time.Second)
		}
		if p, ok := c.history.Rate("blog"); !ok || p.Rate < 4.9 || p.Rate > 5.1 {
			t.Errorf("%+v %v", p, ok)
		}
		if n := len(c.history.Points("blog")); n < 28 || n > 30 {
			t.Errorf("%d points in 30 s", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Looking costs a share of the time at most, and less while nobody is there.
func TestLooksArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := newCounting()
		for _, tt := range []struct {
			services int
			took     time.Duration
			viewed   bool
			want     time.Duration
		}{
			{10, time.Millisecond, false, time.Second},
			{10, time.Millisecond, true, time.Second},
			{10_000, 20 * time.Millisecond, true, time.Second},
			{10_000, 20 * time.Millisecond, false, 10 * time.Second},
			{10_000, 200 * time.Millisecond, true, 10 * time.Second},
		} {
			c.viewed.Store(0)
			if tt.viewed {
				c.seen()
			}
			if got := c.pause(tt.services, tt.took); got != tt.want {
				t.Errorf("%+v: %v", tt, got)
			}
		}
	})
}

func TestAVisitWakesAnIdleConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newCounting()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		time.Sleep(time.Hour + 500*time.Millisecond)
		before := b.looked()
		c.seen()
		synctest.Wait()
		if b.looked() != before+1 {
			t.Errorf("%d looks", b.looked()-before)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// One look serves all that ask at the same moment, and none after an action.
func TestLooksAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newCounting()
		for range 20 {
			if _, err := c.status(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if b.looked() != 1 {
			t.Errorf("%d looks for 20 at once", b.looked())
		}
		time.Sleep(freshFor)
		_, _ = c.status(t.Context())
		c.forget()
		_, _ = c.status(t.Context())
		if b.looked() != 3 {
			t.Errorf("%d looks, want 3", b.looked())
		}
	})
}

func TestAStatusThatFailsEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, c := newCounting()
		b.err = errs.E(errs.Unavailable, "away")
		s, stop := listen(c)
		time.Sleep(5 * time.Second)
		b.mu.Lock()
		b.err = nil
		b.mu.Unlock()
		time.Sleep(2 * time.Second)
		if s.events() == 0 {
			t.Error("nothing was told after it came back")
		}
		stop()
	})
}

// Run's end is the end of every stream: the API waits for them when it stops.
func TestRunsEndIsTheStreamsEnd(t *testing.T) {
	_, c := newCounting()
	ts := httptest.NewServer(c)
	defer ts.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	res, err := http.Get(ts.URL + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || lines.Text() != "retry: 2000" || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("stream begins with %q, %v", lines.Text(), res.Header)
	}
	cancel()
	stuck := time.AfterFunc(5*time.Second, func() {
		t.Error("the stream goes on")
		_ = res.Body.Close()
	})
	for lines.Scan() {
	}
	stuck.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
