package drivertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
)

var listTests = []test{
	{"AnEmptyBucketListsNothing", testListEmpty, nil},
	{"KeysComeInByteOrder", testListOrder, nil},
	{"PrefixAndDelimiterRollUp", testListRollUp, nil},
	{"AfterGoesOnBehindANameOrAPrefix", testListAfter, nil},
	{"KeysBehindAfterPrefixRepeatNoPrefix", testListBehindAfterPrefix, nil},
	{"PagesLoseAndRepeatNothing", testListPages, nil},
	{"ListingSaysWhatHeadSays", testListSays, nil},
	{"ListSeesEveryWriteAndDelete", testListAfterWrite, nil},
	{"LargeListingsComeInPages", testListLarge, unless(func(h Harness) bool { return !h.Slow }, "speed for a large listing")},
}

func list(t *testing.T, d blob.Driver, o blob.ListOptions) blob.Page {
	t.Helper()
	p, err := d.List(t.Context(), o)
	if err != nil {
		t.Fatalf("list %+v: %v", o, err)
	}
	return p
}

// names gives all that a listing gives, page by page, in order: keys and
// prefixes.
func names(t *testing.T, d blob.Driver, o blob.ListOptions) []string {
	t.Helper()
	limit := min(o.Limit, blob.MaxPage)
	if limit == 0 {
		limit = blob.MaxPage
	}
	var all []string
	for {
		p := list(t, d, o)
		var page []string
		for _, obj := range p.Objects {
			page = append(page, obj.Key)
		}
		if !slices.IsSorted(page) || !slices.IsSorted(p.Prefixes) {
			t.Errorf("list %+v: not in order: %q, %q", o, page, p.Prefixes)
		}
		page = append(page, p.Prefixes...)
		slices.Sort(page)
		if len(page) > limit || p.Next != "" && (len(page) == 0 || p.Next <= o.After) {
			t.Fatalf("list %+v: %d names, next %q", o, len(page), p.Next)
		}
		if len(all) > 0 && len(page) > 0 && page[0] <= all[len(all)-1] {
			t.Errorf("list %+v: %q came behind %q of the page before", o, page[0], all[len(all)-1])
		}
		all = append(all, page...)
		if p.Next == "" {
			return all
		}
		o.After = p.Next
	}
}

func wantNames(t *testing.T, d blob.Driver, o blob.ListOptions, want ...string) {
	t.Helper()
	if got := names(t, d, o); !slices.Equal(got, want) {
		t.Errorf("list %+v:\ngot  %q\nwant %q", o, got, want)
	}
}

// rollUp is the reference: what a listing of sorted keys must give.
func rollUp(keys []string, prefix, delimiter, after string) []string {
	var want []string
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key, prefix)
		if !ok || key <= after {
			continue
		}
		name := key
		if head, _, found := strings.Cut(rest, delimiter); found && delimiter != "" {
			name = prefix + head + delimiter
			if after == blob.AfterPrefix(name) {
				continue
			}
		}
		if len(want) == 0 || want[len(want)-1] != name {
			want = append(want, name)
		}
	}
	return want
}

// fill puts an object of one byte under each key.
func fill(t *testing.T, h Harness, keys []string) []string {
	t.Helper()
	keys = h.together(keys)
	for _, key := range keys {
		put(t, h.Driver, key, []byte("x"), blob.PutOptions{})
	}
	return keys
}

var treeKeys = []string{
	"a", "a-1", "a.txt", "a/1", "a/2", "a/b/1", "a/b/2", "a/c/1", "a0", "b/1", "b/1/2", "c", "d-1", "d-2", "d/1/2/3",
	"e/1", "f/1", "f/2", "g", "h", "i/j/k", "i/j/l", "ü/1", "\uFFFD/1", "\U0001F600/1", "\U0001F600x",
}

func testListEmpty(t *testing.T, h Harness) {
	for _, o := range []blob.ListOptions{{}, {Prefix: "a"}, {Delimiter: "/"}, {After: "z"}, {Limit: 1}} {
		if p := list(t, h.Driver, o); len(p.Objects)+len(p.Prefixes) != 0 || p.Next != "" {
			t.Errorf("list %+v gave %+v", o, p)
		}
	}
}

func testListOrder(t *testing.T, h Harness) {
	keys := fill(t, h, treeKeys)
	for _, limit := range []int{0, 4} {
		wantNames(t, h.Driver, blob.ListOptions{Limit: limit}, keys...)
	}
}

func testListRollUp(t *testing.T, h Harness) {
	keys := fill(t, h, treeKeys)
	for _, prefix := range []string{"", "a", "a/", "a/b", "a/b/", "d-", "d/1/", "zz", "ü", "i/j/", "\U0001F600"} {
		for _, delimiter := range []string{"", "/", "-"} {
			o := blob.ListOptions{Prefix: prefix, Delimiter: delimiter}
			wantNames(t, h.Driver, o, rollUp(keys, prefix, delimiter, "")...)
		}
	}
	p := list(t, h.Driver, blob.ListOptions{Prefix: "d", Delimiter: "/"})
	if len(p.Objects) != 2 || !slices.Equal(p.Prefixes, []string{"d/"}) || p.Next != "" {
		t.Errorf("got %+v", p)
	}
}

func testListAfter(t *testing.T, h Harness) {
	keys := fill(t, h, treeKeys)
	for _, after := range []string{"a", "a-", "a/1", "a/b/1", "b", "c", "zzz", "ü", "\U0001F600x", blob.AfterPrefix("a/"), blob.AfterPrefix("a/b/"), blob.AfterPrefix("zz")} {
		wantNames(t, h.Driver, blob.ListOptions{After: after}, rollUp(keys, "", "", after)...)
		wantNames(t, h.Driver, blob.ListOptions{After: after, Prefix: "a/"}, rollUp(keys, "a/", "", after)...)
		wantNames(t, h.Driver, blob.ListOptions{After: after, Prefix: "a/", Limit: 1}, rollUp(keys, "a/", "", after)...)
	}
	for _, after := range []string{"a", "c", "g", blob.AfterPrefix("a/"), blob.AfterPrefix("b/"), blob.AfterPrefix("f/"), blob.AfterPrefix("\U0001F600/")} {
		wantNames(t, h.Driver, blob.ListOptions{After: after, Delimiter: "/"}, rollUp(keys, "", "/", after)...)
	}
}

// testListBehindAfterPrefix has keys that AfterPrefix does not skip. Whoever
// pages with it must come to an end nevertheless.
func testListBehindAfterPrefix(t *testing.T, h Harness) {
	keys := []string{"a/1", blob.AfterPrefix("a/") + "x", blob.AfterPrefix("a/") + "y", "b"}
	for _, key := range keys {
		if !h.takes(key) {
			t.Skipf("this bucket does not take %q", key)
		}
		putKey(t, h.Driver, key)
	}
	for _, limit := range []int{0, 1} {
		wantNames(t, h.Driver, blob.ListOptions{Delimiter: "/", Limit: limit}, "a/", "b")
		wantNames(t, h.Driver, blob.ListOptions{Delimiter: "/", Limit: limit, After: blob.AfterPrefix("a/")}, "b")
	}
	wantNames(t, h.Driver, blob.ListOptions{Limit: 1}, keys...)
}

func testListPages(t *testing.T, h Harness) {
	keys := fill(t, h, treeKeys)
	limits := []int{1, 2, 3, 7}
	if h.Slow {
		limits = []int{3}
	}
	for _, limit := range limits {
		for _, prefix := range []string{"", "a/", "i/"} {
			for _, delimiter := range []string{"", "/", "-"} {
				o := blob.ListOptions{Prefix: prefix, Delimiter: delimiter, Limit: limit}
				wantNames(t, h.Driver, o, rollUp(keys, prefix, delimiter, "")...)
			}
		}
	}
	if p := list(t, h.Driver, blob.ListOptions{Limit: len(keys)}); p.Next != "" {
		t.Errorf("a page that holds all goes on behind %q", p.Next)
	}
}

func testListSays(t *testing.T, h Harness) {
	for i, key := range []string{"a", "b/c", "d"} {
		put(t, h.Driver, key, content(i*1000, uint64(i)), blob.PutOptions{Meta: map[string]string{"a": "1"}})
	}
	for _, got := range list(t, h.Driver, blob.ListOptions{}).Objects {
		want := head(t, h.Driver, got.Key)
		if got.Size != want.Size || got.ETag != want.ETag || got.Modified.Unix() != want.Modified.Unix() {
			t.Errorf("list gave %+v, head %+v", got, want)
		}
	}
}

func testListAfterWrite(t *testing.T, h Harness) {
	const key = "p/k"
	putKey(t, h.Driver, "p/other")
	for round := range h.rounds(20) {
		o := put(t, h.Driver, key, content(round+1, uint64(round)), blob.PutOptions{})
		p := list(t, h.Driver, blob.ListOptions{Prefix: "p/"})
		if len(p.Objects) != 2 || p.Objects[0].Key != key || p.Objects[0].ETag != o.ETag || p.Objects[0].Size != o.Size {
			t.Fatalf("round %d: after a write of %+v: %+v", round, o, p.Objects)
		}
		del(t, h.Driver, key)
		wantNames(t, h.Driver, blob.ListOptions{Prefix: "p/"}, "p/other")
	}
}

func testListLarge(t *testing.T, h Harness) {
	const count, workers = 2500, 10
	want := make([]string, count)
	for i := range want {
		want[i] = fmt.Sprintf("large/%04d", i)
	}
	for _, err := range race(workers, func(w int) error {
		for i := w; i < count; i += workers {
			if _, err := try(t, h.Driver, want[i], "x", blob.Condition{}); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	wantNames(t, h.Driver, blob.ListOptions{}, want...)
	wantNames(t, h.Driver, blob.ListOptions{Delimiter: "/"}, "large/")
	wantNames(t, h.Driver, blob.ListOptions{After: want[999], Limit: 5000}, want[1000:]...)
	if p := list(t, h.Driver, blob.ListOptions{}); len(p.Objects) != blob.MaxPage || p.Next != want[999] {
		t.Errorf("the first page has %d objects and goes on behind %q", len(p.Objects), p.Next)
	}
}
