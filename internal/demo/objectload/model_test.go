package objectload

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/demo/load"
)

func put(key, sum string) Entry {
	return Entry{Op: Put, Key: key, SHA256: sum, Outcome: load.OK}
}

func del(key string) Entry { return Entry{Op: Delete, Key: key, Outcome: load.OK} }

func get(key, sum string) Entry {
	return Entry{Op: Get, Key: key, SHA256: sum, Absent: sum == "", Outcome: load.OK}
}

func list(prefix string, keys ...string) Entry {
	return Entry{Op: List, Key: prefix, Listed: keys, Outcome: load.OK}
}

func came(o load.Outcome, e Entry) Entry {
	e.Outcome = o
	return e
}

func TestReadsMustGiveTheLastAcknowledgedWrite(t *testing.T) {
	maybe, failed := load.MaybeApplied, load.Failed
	stale, back := []Wrong{{"a", Stale}}, []Wrong{{"a", Resurrected}}
	for _, c := range []struct {
		name string
		l    []Entry
		want []Wrong // of the last
	}{
		{"what was written", []Entry{put("a", "1"), get("a", "1")}, nil},
		{"what was never written", []Entry{get("a", "")}, nil},
		{"what was deleted", []Entry{put("a", "1"), del("a"), get("a", "")}, nil},
		{"an older write", []Entry{put("a", "1"), put("a", "2"), get("a", "1")}, stale},
		{"foreign bytes", []Entry{put("a", "1"), get("a", "9")}, stale},
		{"nothing", []Entry{put("a", "1"), get("a", "")}, stale},
		{"a deleted write", []Entry{put("a", "1"), del("a"), get("a", "1")}, back},
		{"bytes from nowhere", []Entry{get("a", "1")}, back},
		{"a failed read", []Entry{put("a", "1"), came(failed, get("a", ""))}, nil},

		{"a write of unknown effect", []Entry{put("a", "1"), came(maybe, put("a", "2")), get("a", "2")}, nil},
		{"not it, yet", []Entry{put("a", "1"), came(maybe, put("a", "2")), get("a", "1")}, nil},
		{"it, and then not", []Entry{put("a", "1"), came(maybe, put("a", "2")), get("a", "2"), get("a", "1")}, stale},
		{"it, late", []Entry{put("a", "1"), came(maybe, put("a", "2")), put("a", "3"), get("a", "2")}, nil},
		{"it, once more", []Entry{came(maybe, put("a", "2")), get("a", "2"), put("a", "3"), get("a", "2")}, stale},
		{"a delete of unknown effect", []Entry{put("a", "1"), came(maybe, del("a")), get("a", "")}, nil},
		{"not it, yet", []Entry{put("a", "1"), came(maybe, del("a")), get("a", "1")}, nil},
		{"it, and then not", []Entry{put("a", "1"), came(maybe, del("a")), get("a", ""), get("a", "1")}, back},
		{"a write that failed", []Entry{put("a", "1"), came(failed, put("a", "2")), get("a", "2")}, stale},
		{"a delete that failed", []Entry{put("a", "1"), came(failed, del("a")), get("a", "")}, stale},

		{"a whole list", []Entry{put("a", "1"), put("b", "1"), list("", "a", "b")}, nil},
		{"a list of others", []Entry{put("a", "1"), put("x/b", "1"), list("x/", "x/b")}, nil},
		{"a list that lacks one", []Entry{put("a", "1"), put("b", "1"), list("", "b")}, stale},
		{"a list with a deleted one", []Entry{put("a", "1"), del("a"), list("", "a")}, back},
		{"a list with one from nowhere", []Entry{put("b", "1"), list("", "a", "b")}, back},
		{"a list that failed", []Entry{put("a", "1"), came(failed, list(""))}, nil},
		{"a list with one of unknown effect", []Entry{came(maybe, put("a", "1")), list("", "a")}, nil},
		{"a list without it", []Entry{came(maybe, put("a", "1")), list("")}, nil},
		{"a list without one that may be deleted", []Entry{put("a", "1"), came(maybe, del("a")), list("")}, nil},
	} {
		m := NewModel()
		var got []Wrong
		for _, e := range c.l {
			if len(got) > 0 {
				t.Fatalf("%s: %v before the last", c.name, got)
			}
			got = m.Apply(e)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

func TestReplayKnowsWhatMustBeThere(t *testing.T) {
	m := Replay([]Entry{put("a", "1"), put("a", "2"), put("b", "1"), del("b"), came(load.Failed, put("c", "1")), get("d", "")})
	if d := cmp.Diff([]string{"a", "b", "d"}, slices.DeleteFunc(m.Keys(), func(k string) bool { return k == "c" })); d != "" {
		t.Error(d)
	}
	for key, want := range map[string]Expect{"a": {SHA256: "2"}, "b": {Deleted: true}, "c": {}, "d": {}, "e": {}} {
		if d := cmp.Diff(want, m.Expect(key)); d != "" {
			t.Errorf("%s: %s", key, d)
		}
	}
}
