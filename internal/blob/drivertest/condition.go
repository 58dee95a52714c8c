package drivertest

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

var conditionTests = []test{
	{"AbsentWritesOnlyWhereNothingIs", testAbsent, unlessConditional},
	{"MatchWritesOnlyOverThatObject", testMatch, unlessConditional},
	{"MatchAnyWritesOverAnyObject", testMatchAny, unlessConditional},
	{"ARepeatedObjectHasTheTagOfItsClass", testRepeated, unlessConditional},
	{"AbsentHasOneWinner", testAbsentRace, unlessConditional},
	{"MatchHasOneWinner", testMatchRace, unlessConditional},
	{"ConditionalIncrementsLoseNothing", testIncrements, unlessConditional},
	{"DeleteWithMatchDeletesOnlyThat", testDeleteMatch, unlessDeletes},
	{"ConditionalWritesAndDeletesHaveOneWinner", testDeleteRace, unlessDeletes},
}

func unlessDeletes(h Harness) string {
	if !h.Class.Heads() || h.NoConditionalDelete {
		return "conditional deletes"
	}
	return ""
}

var (
	absent = blob.Condition{Absent: true}
	anyOne = blob.Condition{Match: "*"}
)

func match(o blob.Object) blob.Condition { return blob.Condition{Match: o.ETag} }

func testAbsent(t *testing.T, h Harness) {
	if _, err := try(t, h.Driver, "k", "one", absent); err != nil {
		t.Fatal(err)
	}
	_, err := try(t, h.Driver, "k", "two", absent)
	wantKind(t, "over an object", err, errs.Conflict)
	_, err = try(t, h.Driver, "k", "one", absent)
	wantKind(t, "over the same object", err, errs.Conflict)
	wantBody(t, h.Driver, "k", []byte("one"))
	del(t, h.Driver, "k")
	if _, err := try(t, h.Driver, "k", "three", absent); err != nil {
		t.Errorf("after a delete: %v", err)
	}
	wantBody(t, h.Driver, "k", []byte("three"))
}

func testMatch(t *testing.T, h Harness) {
	first := put(t, h.Driver, "k", []byte("one"), blob.PutOptions{})
	second, err := try(t, h.Driver, "k", "two", match(first))
	if err != nil {
		t.Fatalf("match of the current tag: %v", err)
	}
	_, err = try(t, h.Driver, "k", "three", match(first))
	wantKind(t, "match of an old tag", err, errs.Conflict)
	_, err = try(t, h.Driver, "k", "three", blob.Condition{Match: "0123456789abcdef0123456789abcdef"})
	wantKind(t, "match of another tag", err, errs.Conflict)
	wantBody(t, h.Driver, "k", []byte("two"))
	_, err = try(t, h.Driver, "absent", "x", match(second))
	wantKind(t, "match where nothing is", err, errs.Conflict)
	wantBody(t, h.Driver, "absent", nil)
	del(t, h.Driver, "k")
	_, err = try(t, h.Driver, "k", "three", match(second))
	wantKind(t, "match after a delete", err, errs.Conflict)
	wantBody(t, h.Driver, "k", nil)
	if o := head(t, h.Driver, putKey(t, h.Driver, "l")); o.ETag == "" {
		t.Error("head gives no tag to match")
	}
}

// putKey puts an object and gives its key.
func putKey(t *testing.T, d blob.Driver, key string) string {
	t.Helper()
	return put(t, d, key, []byte(key), blob.PutOptions{}).Key
}

func testMatchAny(t *testing.T, h Harness) {
	_, err := try(t, h.Driver, "k", "x", anyOne)
	wantKind(t, "where nothing is", err, errs.Conflict)
	wantBody(t, h.Driver, "k", nil)
	put(t, h.Driver, "k", []byte("one"), blob.PutOptions{})
	if _, err := try(t, h.Driver, "k", "two", anyOne); err != nil {
		t.Errorf("over an object: %v", err)
	}
	wantBody(t, h.Driver, "k", []byte("two"))
	del(t, h.Driver, "k")
	_, err = try(t, h.Driver, "k", "x", anyOne)
	wantKind(t, "after a delete", err, errs.Conflict)
}

// testRepeated is the difference between the classes: X, Y, X again, and a
// write that knows of the first X.
func testRepeated(t *testing.T, h Harness) {
	first := put(t, h.Driver, "k", []byte("X"), blob.PutOptions{})
	put(t, h.Driver, "k", []byte("Y"), blob.PutOptions{})
	again := put(t, h.Driver, "k", []byte("X"), blob.PutOptions{})
	_, err := try(t, h.Driver, "k", "Z", match(first))
	if h.Class == blob.ClassContent {
		if err != nil || again.ETag != first.ETag {
			t.Fatalf("tags %q and %q of the same bytes, %v: the class is not content", first.ETag, again.ETag, err)
		}
		wantBody(t, h.Driver, "k", []byte("Z"))
		return
	}
	wantKind(t, "match of the first X", err, errs.Conflict)
	if again.ETag == first.ETag {
		t.Errorf("two writes have the tag %q", first.ETag)
	}
	if _, err := try(t, h.Driver, "k", "Z", match(again)); err != nil {
		t.Errorf("match of the second X: %v", err)
	}
}

// race runs f at once n times and gives the errors.
func race(n int, f func(i int) error) []error {
	got := make([]error, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			got[i] = f(i)
		})
	}
	close(start)
	all.Wait()
	return got
}

// wantWinner checks that one won and that the others know that they did not.
func wantWinner(t *testing.T, got []error) (winner int) {
	t.Helper()
	winner = -1
	for i, err := range got {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("both %d and %d won", winner, i)
		case err == nil:
			winner = i
		case errs.IsMaybeApplied(err) || !errs.Is(err, errs.Conflict) && !errs.Is(err, errs.Unavailable):
			t.Errorf("%d: got %v, want a conflict", i, err)
		}
	}
	if winner < 0 {
		t.Fatalf("nobody won: %v", got)
	}
	return winner
}

func (h Harness) rounds(n int) int {
	if h.Slow {
		return max(1, n/10)
	}
	return n
}

const racers = 20

// meeting lets bodies end at the same moment: a write that looks at its
// condition first, or last but not in one step with itself, is caught by the
// others in between.
type meeting struct {
	here atomic.Int32
	all  chan struct{}
}

func newMeeting() *meeting { return &meeting{all: make(chan struct{})} }

// meet returns when all racers are here, or soon: a client may hold some back.
func (m *meeting) meet() {
	if m.here.Add(1) == racers {
		close(m.all)
	}
	select {
	case <-m.all:
	case <-time.After(20 * time.Millisecond):
	}
}

// body gives s, and meets before it.
func (m *meeting) body(s string) io.Reader { return &meeter{m.meet, strings.NewReader(s)} }

type meeter struct {
	meet func()
	io.Reader
}

func (r *meeter) Read(p []byte) (int, error) {
	if r.meet != nil {
		r.meet()
		r.meet = nil
	}
	return r.Reader.Read(p)
}

func (m *meeting) try(t *testing.T, d blob.Driver, key, body string, c blob.Condition) (blob.Object, error) {
	return d.Put(t.Context(), key, m.body(body), int64(len(body)), blob.PutOptions{If: c})
}

func testAbsentRace(t *testing.T, h Harness) {
	for round := range h.rounds(50) {
		key := fmt.Sprintf("k%d", round)
		m := newMeeting()
		winner := wantWinner(t, race(racers, func(i int) error {
			_, err := m.try(t, h.Driver, key, fmt.Sprint("of ", i), absent)
			return err
		}))
		wantBody(t, h.Driver, key, []byte(fmt.Sprint("of ", winner)))
	}
}

func testMatchRace(t *testing.T, h Harness) {
	now := put(t, h.Driver, "k", []byte("start"), blob.PutOptions{})
	for round := range h.rounds(50) {
		tags := make([]blob.Object, racers)
		m := newMeeting()
		winner := wantWinner(t, race(racers, func(i int) error {
			var err error
			tags[i], err = m.try(t, h.Driver, "k", fmt.Sprint("round ", round, " of ", i), match(now))
			return err
		}))
		wantBody(t, h.Driver, "k", []byte(fmt.Sprint("round ", round, " of ", winner)))
		now = tags[winner]
	}
}

// testIncrements counts up from several goroutines by compare-and-swap.
func testIncrements(t *testing.T, h Harness) {
	const writers = 4
	each := h.rounds(20)
	put(t, h.Driver, "k", []byte("0"), blob.PutOptions{})
	for _, err := range race(writers, func(int) error {
		for done := 0; done < each; {
			r, body := read(t, h.Driver, "k", blob.GetOptions{})
			var n int
			if _, err := fmt.Sscan(string(body), &n); err != nil {
				return err
			}
			_, err := try(t, h.Driver, "k", fmt.Sprint(n+1), match(r.Object))
			switch {
			case err == nil:
				done++
			case errs.IsMaybeApplied(err) || !errs.Is(err, errs.Conflict) && !errs.Is(err, errs.Unavailable):
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	wantBody(t, h.Driver, "k", []byte(fmt.Sprint(writers*each)))
}

func testDeleteMatch(t *testing.T, h Harness) {
	first := put(t, h.Driver, "k", []byte("one"), blob.PutOptions{})
	second := put(t, h.Driver, "k", []byte("two"), blob.PutOptions{})
	remove := func(c blob.Condition) error {
		return h.Driver.Delete(t.Context(), "k", blob.DeleteOptions{If: c})
	}
	wantKind(t, "match of an old tag", remove(match(first)), errs.Conflict)
	wantBody(t, h.Driver, "k", []byte("two"))
	if err := remove(match(second)); err != nil {
		t.Errorf("match of the current tag: %v", err)
	}
	wantBody(t, h.Driver, "k", nil)
	wantKind(t, "match where nothing is", remove(match(second)), errs.Conflict)
	wantKind(t, "any where nothing is", remove(anyOne), errs.Conflict)
	put(t, h.Driver, "k", []byte("three"), blob.PutOptions{})
	if err := remove(anyOne); err != nil {
		t.Errorf("any: %v", err)
	}
	wantBody(t, h.Driver, "k", nil)
}

func testDeleteRace(t *testing.T, h Harness) {
	for round := range h.rounds(20) {
		now := put(t, h.Driver, "k", []byte(fmt.Sprint("round ", round)), blob.PutOptions{})
		m := newMeeting()
		winner := wantWinner(t, race(racers, func(i int) error {
			if i%2 == 0 {
				m.meet()
				return h.Driver.Delete(t.Context(), "k", blob.DeleteOptions{If: match(now)})
			}
			_, err := m.try(t, h.Driver, "k", fmt.Sprint("of ", i), match(now))
			return err
		}))
		if winner%2 == 0 {
			wantBody(t, h.Driver, "k", nil)
		} else {
			wantBody(t, h.Driver, "k", []byte(fmt.Sprint("of ", winner)))
		}
	}
}
