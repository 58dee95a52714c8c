package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/journal"
)

// display is an output that can be looked at while it is written.
type display struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *display) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *display) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *display) ids(t *testing.T) []int64 {
	t.Helper()
	var ids []int64
	for line := range strings.Lines(s.String()) {
		var e apiv1.Entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

// follower is `spare journal --follow --json` under way.
type follower struct {
	t           *testing.T
	b           *apitest.Backend
	ts          *httptest.Server
	out, errOut display
	stop        func() int
}

func follow(t *testing.T, args ...string) *follower {
	t.Chdir(t.TempDir()) // no estate file of somebody else's
	f := &follower{t: t, b: apitest.New()}
	f.ts = httptest.NewServer(api.New(api.Options{Backend: f.b, Token: func() string { return "" }, Log: slog.New(slog.DiscardHandler), OpenReads: true}))
	t.Cleanup(f.ts.Close)
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	args = append([]string{"journal", "--follow", "--json", "--api", f.ts.URL}, args...)
	go func() { code <- execute(ctx, Options{}, args, &f.out, &f.errOut) }()
	f.stop = sync.OnceValue(func() int { cancel(); return <-code })
	t.Cleanup(func() { f.stop() })
	return f
}

func (f *follower) write() {
	f.b.Append(journal.Entry{At: apitest.Noon, Kind: journal.KindTable, Message: "table published"})
}

func (f *follower) wait(want ...int64) {
	f.t.Helper()
	end := time.Now().Add(20 * time.Second)
	for time.Now().Before(end) && len(f.out.ids(f.t)) < len(want) {
		time.Sleep(10 * time.Millisecond)
	}
	if d := cmp.Diff(want, f.out.ids(f.t)); d != "" {
		f.t.Fatalf("entries (-want +got):\n%s\nstderr: %s", d, f.errOut.String())
	}
}

func TestFollowShowsEachEntryOnceAlthoughTheServerGoesAway(t *testing.T) {
	f := follow(t)
	f.wait(1, 2, 3)
	f.write()
	f.wait(1, 2, 3, 4)
	f.ts.CloseClientConnections()
	f.write()
	f.write()
	f.wait(1, 2, 3, 4, 5, 6)
	if code := f.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(f.errOut.String(), "the connection was lost") {
		t.Errorf("stderr %q", f.errOut.String())
	}
}

func TestFollowBeginsWithTheNextWhereNothingMatches(t *testing.T) {
	f := follow(t, "--kind", "table", "--limit", "1")
	for len(f.out.ids(t)) == 0 && f.errOut.String() == "" { // when it begins is not known here
		f.write()
		time.Sleep(20 * time.Millisecond)
	}
	for _, id := range f.out.ids(t) {
		if id <= 3 {
			t.Errorf("entry %d is of another kind", id)
		}
	}
}
