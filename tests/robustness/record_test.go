package robustness_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// witness remembers every journal entry that was shown to anybody.
type witness struct {
	mu   sync.Mutex
	seen map[int64]entry
}

func (w *witness) add(e entry) {
	e.Data = compact(e.Data)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[e.ID] = e
}

// compact takes out the white space, which is no part of what a document says.
func compact(doc json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	if json.Compact(&b, doc) != nil {
		return doc
	}
	return b.Bytes()
}

// follow takes entries from the event stream until ctx ends or it breaks.
func (w *witness) follow(ctx context.Context, s *spare) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.api+"/api/v1/events", nil)
	if err != nil {
		return
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return
	}
	defer func() { _ = resp.Body.Close() }()
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var e entry
		data, ok := strings.CutPrefix(in.Text(), "data:")
		if ok && json.Unmarshal([]byte(data), &e) == nil && e.ID != 0 {
			w.add(e)
		}
	}
}

// TestNoAcknowledgedEntryIsLost kills all processes at once, at random moments
// amid operators' actions and dying origins, and wants every entry that was
// shown before to be there after the restart, with the same content.
func TestNoAcknowledgedEntryIsLost(t *testing.T) {
	rnd := random(t)
	a, b := startOrigins(t, "nginx")
	s := startSpare(t, a, b, "")
	w := &witness{seen: map[int64]entry{}}
	var starts []time.Duration
	n := rounds(10, 100)
	for round := range n {
		// A drained spare and a dead primary are an outage that was asked for: the
		// primary dies in rounds in which nobody drains.
		faulty := round%3 == 1
		if faulty {
			_ = s.act("undrain", `{"site":"beta"}`) // NotFound: it was not drained
		}
		calm := w.stir(s, faulty)
		if faulty {
			a.run.kill()
		}
		time.Sleep(time.Duration(50+rnd.IntN(900)) * time.Millisecond)
		s.run.kill()
		calm()
		starts = append(starts, s.timeToServe())
		if faulty {
			a.start()
		}
		s.waitReady()
		w.compare(t, round, s.journal())
		if t.Failed() {
			return
		}
	}
	slices.Sort(starts)
	t.Logf("%d entries shown over %d crashes, all there; serving again in %v (median), %v (worst)", len(w.seen), n, starts[n/2].Round(time.Millisecond), starts[n-1].Round(time.Millisecond))
	if starts[n/2] > 2*time.Second {
		t.Errorf("serving again took %v; want under 2 s", starts[n/2])
	}
	if len(w.seen) < 10*n {
		t.Errorf("only %d entries were shown: the test shows little", len(w.seen))
	}
}

// stir has operators at work, and their record watched, until calm is called.
// An action that is answered is in the record.
func (w *witness) stir(s *spare, freeze bool) (calm func()) {
	do, undo := [2]string{"drain", `{"site":"beta","for":"10m","reason":"robustness"}`}, [2]string{"undrain", `{"site":"beta"}`}
	if freeze {
		do, undo = [2]string{"freeze", `{"for":"10m","reason":"robustness"}`}, [2]string{"unfreeze", `{}`}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { w.follow(ctx, s) })
	all.Go(func() {
		for ctx.Err() == nil {
			_ = s.act(do[0], do[1])
			_ = s.act(undo[0], undo[1])
		}
	})
	all.Go(func() { // what the command line prints was shown, too
		var page struct{ Entries []entry }
		out, _, code := s.cli("journal", "--json", "--limit", "50")
		if code == 0 && json.Unmarshal([]byte(out), &page) == nil {
			for _, e := range page.Entries {
				w.add(e)
			}
		}
	})
	return func() {
		cancel()
		all.Wait()
	}
}

func (w *witness) compare(t *testing.T, round int, list []entry) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	have := map[int64]entry{}
	for i, e := range list {
		e.Data = compact(e.Data)
		have[e.ID] = e
		if i > 0 && e.ID <= list[i-1].ID {
			t.Errorf("round %d: entry %d stands after entry %d", round, e.ID, list[i-1].ID)
		}
	}
	lost := 0
	for id, before := range w.seen {
		after, ok := have[id]
		if !ok {
			lost++
			t.Errorf("round %d: entry %d was shown and is gone: %s", round, id, before.Message)
		} else if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("round %d: entry %d is another now:\n%s", round, id, diff)
		}
		if lost > 5 {
			return
		}
	}
}

// TestServesFromLastStateWithoutControl makes control unable to start: what
// serves then is the last table alone, and it fails over.
func TestServesFromLastStateWithoutControl(t *testing.T) {
	a, b := startOrigins(t, "nginx")
	s := startSpare(t, a, b, "")
	s.run.kill()
	state := filepath.Join(s.dir, "data", "state.db")
	if err := os.Rename(state, state+".away"); err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{"-wal", "-shm"} {
		_ = os.Remove(state + left)
	}
	if err := os.Mkdir(state, 0o700); err != nil { // a folder is no database
		t.Fatal(err)
	}
	took := s.timeToServe()
	l := startLoad(t, s.http, gets)
	time.Sleep(time.Second)
	a.run.kill()
	time.Sleep(time.Second)
	l.stop().wantNoFailure(t, 500)
	if _, err := s.status(); err == nil {
		t.Error("control answers: the test shows nothing")
	}
	t.Logf("serving %v after exec, without control", took.Round(time.Millisecond))
	if took > 2*time.Second {
		t.Errorf("serving took %v; want under 2 s", took)
	}
}
