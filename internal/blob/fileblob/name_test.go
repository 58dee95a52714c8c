package fileblob

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
)

func TestOrdinaryKeysAreFilesOfTheSameName(t *testing.T) {
	d := open(t, t.TempDir())
	for _, key := range []string{"a/b.jpg", "photos/2024/ä b%20.JPG", ".hidden/.x", "a b", "%", "..a/b..", ".spare", strings.Repeat("n", 255), "c/d/e/f/g"} {
		mustPut(t, d, key, "of "+key)
		if got, err := os.ReadFile(filepath.Join(d.dir, key)); string(got) != "of "+key {
			t.Errorf("the file of key %q has %q, %v", key, got, err)
		}
	}
}

func TestOddSegmentsHaveNamesOfTheirOwn(t *testing.T) {
	for seg, want := range map[string]string{
		"":                       ".spare-x-",
		".":                      ".spare-x-.",
		"..":                     ".spare-x-..",
		".spare-meta":            ".spare-x-.spare-meta",
		".spare-x-a":             ".spare-x-.spare-x-a",
		"a\x00b%":                ".spare-x-a%00b%25",
		"a%":                     "a%",
		strings.Repeat("n", 256): ".spare-h-" + hashOf(strings.Repeat("n", 256)),
	} {
		if got := fileName(seg); got != want {
			t.Errorf("segment %.20q has file name %q, want %q", seg, got, want)
		}
	}
	if got := asideName("a%"); got != ".spare-o-a%25" {
		t.Errorf("aside name %q", got)
	}
}

// FuzzSegment checks that no two segments share a name, and that a name says
// which segment it is of.
func FuzzSegment(f *testing.F) {
	for _, s := range []string{"", ".", "..", "a", "%", "%00", "\x00", ".spare-", ".spare-x-", ".spare-o-a", ".spare-h-" + hashOf(""), strings.Repeat("%", 255), strings.Repeat("n", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, seg string) {
		seg = strings.ReplaceAll(seg, "/", "|")
		for name, aside := range map[string]bool{fileName(seg): false, asideName(seg): true} {
			if len(name) > 255 || strings.ContainsAny(name, "/\x00") || name == "" || name == "." || name == ".." || name == metaDir {
				t.Fatalf("segment %q has the file name %q", seg, name)
			}
			p, ok := parseName(name)
			if !ok || p.aside != aside || p.hash == "" && p.seg != seg || p.hash != "" && p.hash != hashOf(seg) {
				t.Fatalf("segment %q has the file name %q, which says %+v, %v", seg, name, p, ok)
			}
		}
		// Any name that is understood is the name of what it says.
		if p, ok := parseName(seg); ok && p.hash == "" && seg != "" && seg != "." && seg != ".." && len(seg) <= maxName && !strings.Contains(seg, "\x00") {
			if name := map[bool]string{false: fileName(p.seg), true: asideName(p.seg)}[p.aside]; name != seg {
				t.Fatalf("name %q says %+v, whose name is %q", seg, p, name)
			}
		}
	})
}

// FuzzKeys puts keys side by side and looks for them in every way.
func FuzzKeys(f *testing.F) {
	f.Add("a\na/b\na/\na//\n/a\n.\n..\n../a")
	f.Add("a/b/c\na/b\na\n.spare-meta/bucket\n.spare-x-\n.spare-o-a")
	f.Add(strings.Repeat("n", 300) + "\n" + strings.Repeat("n", 300) + "/x\n" + strings.Repeat("%", 255) + "/y\n" + strings.Repeat("%", 255))
	f.Fuzz(func(t *testing.T, lines string) {
		keys := strings.Split(lines, "\n")
		if len(keys) > 12 {
			return
		}
		keys = slices.DeleteFunc(keys, func(key string) bool { return blob.CheckKey(key) != nil })
		testKeys(t, keys)
	})
}

// testKeys puts keys in their order, reads and lists them, and deletes them.
func testKeys(t *testing.T, keys []string) {
	t.Helper()
	above := t.TempDir()
	d := open(t, filepath.Join(above, "bucket"))
	defer func() { _ = d.Close() }()
	for _, key := range keys {
		mustPut(t, d, key, "of "+key)
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(keys)))
	if got := listKeys(t, d, blob.ListOptions{Limit: 3}); !slices.Equal(got, sorted) {
		t.Fatalf("listed %q, want %q", got, sorted)
	}
	for _, key := range sorted {
		if got := mustGet(t, d, key); got != "of "+key {
			t.Fatalf("key %q holds %q", key, got)
		}
	}
	for i, key := range sorted {
		mustDelete(t, d, key)
		if got := listKeys(t, d, blob.ListOptions{}); !slices.Equal(got, sorted[i+1:]) {
			t.Fatalf("after the delete of %q: listed %q, want %q", key, got, sorted[i+1:])
		}
	}
	for dir, want := range map[string]string{above: "bucket", d.dir: metaDir} {
		if got := fileNames(t, dir); !slices.Equal(got, []string{want}) {
			t.Fatalf("%s holds %q at the end", dir, got)
		}
	}
}

func TestKeysLieInAndBesideEachOther(t *testing.T) {
	long, percent := strings.Repeat("n", 300), strings.Repeat("%", 255)
	for _, keys := range [][]string{
		{"a", "a/b", "a/b/c", "a/", "a//", "a/b/"},
		{"a/b/c", "a/b", "a", "a/"},
		{long, long + "/x", long + "/" + long},
		{percent, percent + "/x"},
		{percent + "/x", percent},
		{"../../../../etc/passwd", "/etc/passwd", "..", ".", "./a", "a/../b"},
		{".spare-meta/bucket", ".spare-meta", ".spare-x-", ".spare-o-a", "a", "a/b"},
		{"a\x00b", "a%00b", "\x00"},
	} {
		testKeys(t, keys)
	}
}

// segments from which random keys are made: those around the slash in the byte
// order, odd ones, and such as are names and folders at once.
var segments = []string{"a", "b", "a-b", "a0", "a.", "a!", "", ".", "..", "ä", "\U0001F600", "~", " ", ".spare-x-a", "A", strings.Repeat("l", 260), strings.Repeat("m", 255)}

func randomKey(rng *rand.Rand) string {
	for {
		var segs []string
		for range 1 + rng.IntN(4) {
			segs = append(segs, segments[rng.IntN(len(segments))])
		}
		if key := strings.Join(segs, "/"); blob.CheckKey(key) == nil {
			return key
		}
	}
}

func TestListingIsTheSortedKeys(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	for range rounds {
		d := open(t, t.TempDir())
		keys := map[string]bool{}
		for range 60 {
			key := randomKey(rng)
			mustPut(t, d, key, key)
			if keys[key] = true; rng.IntN(4) == 0 {
				mustDelete(t, d, key)
				delete(keys, key)
			}
		}
		var sorted []string
		for key := range keys {
			sorted = append(sorted, key)
		}
		slices.Sort(sorted)
		for range 100 {
			o := blob.ListOptions{Limit: 1 + rng.IntN(10), Delimiter: []string{"", "/", "-", "/a"}[rng.IntN(4)]}
			if key := randomKey(rng); rng.IntN(2) == 0 {
				o.Prefix = strings.ToValidUTF8(key[:rng.IntN(len(key)+1)], "")
			}
			if rng.IntN(2) == 0 {
				o.After = o.Prefix + randomKey(rng)
			}
			if got, want := listKeys(t, d, o), reference(sorted, o); !slices.Equal(got, want) {
				t.Fatalf("list %+v: %q, want %q, of %q", o, got, want, sorted)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// reference gives the names that a listing of sorted keys has.
func reference(keys []string, o blob.ListOptions) []string {
	var want []string
	for _, key := range keys {
		rest, ok := strings.CutPrefix(key, o.Prefix)
		if !ok || key <= o.After {
			continue
		}
		if head, _, found := strings.Cut(rest, o.Delimiter); found && o.Delimiter != "" {
			if key = o.Prefix + head + o.Delimiter; strings.HasPrefix(o.After, blob.AfterPrefix(key)) {
				continue
			}
		}
		if len(want) == 0 || want[len(want)-1] != key {
			want = append(want, key)
		}
	}
	return want
}

// listKeys gives all names that a listing gives, page by page.
func listKeys(t testing.TB, d *Driver, o blob.ListOptions) []string {
	t.Helper()
	b := blob.New("b", d) // which checks the pages
	var all []string
	for {
		p, err := b.List(t.Context(), o)
		if err != nil {
			t.Fatalf("list %+v: %v", o, err)
		}
		page := slices.Clone(p.Prefixes)
		for _, obj := range p.Objects {
			page = append(page, obj.Key)
		}
		slices.Sort(page)
		all = append(all, page...)
		if o.After = p.Next; o.After == "" {
			return all
		}
	}
}

func mustPut(t testing.TB, d *Driver, key, body string) blob.Object {
	t.Helper()
	o, err := d.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{Meta: map[string]string{"body": shown(body)}})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return o
}

// shown makes of a body what metadata can hold.
func shown(body string) string { return hashOf(body) }

// mustGet gives an object's body, and checks that its attributes are its own.
func mustGet(t testing.TB, d *Driver, key string) string {
	t.Helper()
	body, o, err := tryGet(t, d, key)
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	if o.Meta["body"] != "" && o.Meta["body"] != shown(body) {
		t.Fatalf("object %q has the body %.40q and attributes of another: %q", key, body, o.Meta)
	}
	return body
}

func tryGet(t testing.TB, d *Driver, key string) (string, blob.Object, error) {
	t.Helper()
	r, err := d.Get(t.Context(), key, blob.GetOptions{})
	if err != nil {
		return "", blob.Object{}, err
	}
	defer func() { _ = r.Close() }()
	var b bytes.Buffer
	_, err = b.ReadFrom(r)
	return b.String(), r.Object, err
}

func mustDelete(t testing.TB, d *Driver, key string) {
	t.Helper()
	if err := d.Delete(t.Context(), key, blob.DeleteOptions{}); err != nil {
		t.Fatalf("delete %q: %v", key, err)
	}
}

func fileNames(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
