package fileblob

import (
	"crypto/md5"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

func md5Of(text string) string { return fmt.Sprintf("%x", md5.Sum([]byte(text))) }

func wantHead(t *testing.T, d *Driver, key, etag, kind string) {
	t.Helper()
	o, err := d.Head(t.Context(), key)
	if err != nil || o.ETag != etag || o.Header != (blob.Header{Type: kind}) || len(o.Meta) != 0 {
		t.Errorf("head %s: %+v, %v; want ETag %s, type %s and nothing more", key, o, err, etag, kind)
	}
}

func TestFilesOfOthersAreObjects(t *testing.T) {
	d := open(t, t.TempDir())
	write(t, d.dir, "a/photo.png", "a photo")
	write(t, d.dir, "a/data", "data")
	for range 2 { // computed, and known
		wantHead(t, d, "a/photo.png", md5Of("a photo"), "image/png")
		wantHead(t, d, "a/data", md5Of("data"), "application/octet-stream")
	}
	again, err := Open(d.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := again.List(t.Context(), blob.ListOptions{})
	if err != nil || len(p.Objects) != 2 || p.Objects[1].ETag != md5Of("a photo") {
		t.Errorf("listed %+v, %v", p, err)
	}
}

// The MD5 of a file is kept for that file in that state.
func TestChangedFileHasANewETag(t *testing.T) {
	d := open(t, t.TempDir())
	path := filepath.Join(d.dir, "f.bin")
	past := time.Now().Add(-time.Hour)
	for i, text := range []string{"one", "two", "six"} { // of one size, and one time of change
		write(t, d.dir, "f.bin", text)
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
		wantHead(t, d, "f.bin", md5Of(text), "application/octet-stream")
		if i == 1 {
			if err := os.Remove(path); err != nil { // and now another file
				t.Fatal(err)
			}
		}
	}
}

// What the driver wrote and others then changed is theirs: its attributes do
// not go with other bytes.
func TestFileThatOthersOverwroteHasNoOldAttributes(t *testing.T) {
	for name, overwrite := range map[string]func(path string) error{
		"in place": func(path string) error { return os.WriteFile(path, []byte("NEW"), 0o644) },
		"by rename": func(path string) error {
			if err := os.WriteFile(path+".tmp", []byte("NEW"), 0o644); err != nil {
				return err
			}
			return os.Rename(path+".tmp", path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, t.TempDir())
			mustPut(t, d, "k.txt", "old")
			if err := overwrite(filepath.Join(d.dir, "k.txt")); err != nil {
				t.Fatal(err)
			}
			wantHead(t, d, "k.txt", md5Of("NEW"), "text/plain; charset=utf-8")
			err := d.Delete(t.Context(), "k.txt", blob.DeleteOptions{If: blob.Condition{Match: md5Of("old")}})
			if !errs.Is(err, errs.Conflict) {
				t.Errorf("delete of the old object: %v", err)
			}
			mustPut(t, d, "k.txt", "again")
			if got := mustGet(t, d, "k.txt"); got != "again" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// A folder that was copied with its times of change keeps its attributes.
func TestCopiedFolderKeepsAttributes(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "from"))
	mustPut(t, d, "a/k", "body")
	to := d.dir + "-copy"
	if err := os.CopyFS(to, os.DirFS(d.dir)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(d.dir, "a/k"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(to, "a/k"), info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	c, err := Open(to, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, o, err := tryGet(t, c, "a/k"); err != nil || o.Meta["body"] != shown("body") {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestFileChangedInPlaceFailsItsReader(t *testing.T) {
	d := open(t, t.TempDir())
	const size = 1 << 20
	for name, text := range map[string]string{"longer": strings.Repeat("n", size+1), "as long": strings.Repeat("n", size), "shorter": "n"} {
		mustPut(t, d, "k", strings.Repeat("o", size))
		r, err := d.Get(t.Context(), "k", blob.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		write(t, d.dir, "k", text) // cp writes into the file that is there
		if _, err := io.Copy(io.Discard, r); err == nil {
			t.Errorf("%s: a mixture was read without an error", name)
		}
		_ = r.Close()
	}
}

// A page of large files whose ETags are not known ends early, and the listing
// goes on.
func TestListingComputesInBounds(t *testing.T) {
	d := open(t, t.TempDir())
	for _, name := range []string{"a", "b", "c"} {
		write(t, d.dir, name, "")
		if err := os.Truncate(filepath.Join(d.dir, name), hashBudget/2+1); err != nil { // no bytes on the disk
			t.Fatal(err)
		}
	}
	p, err := d.List(t.Context(), blob.ListOptions{})
	if err != nil || len(p.Objects) != 1 || p.Next != "a" {
		t.Fatalf("first page: %+v, %v", p, err)
	}
	if got := listKeys(t, d, blob.ListOptions{}); strings.Join(got, "") != "abc" {
		t.Errorf("listed %q", got)
	}
	if p, err = d.List(t.Context(), blob.ListOptions{}); err != nil || len(p.Objects) != 3 {
		t.Errorf("when all are known: %+v, %v", p, err)
	}
}

// Two drivers stand for two processes: they share nothing but the folder.
// Bodies have one length, so that only the time of change tells them apart.
func TestReadersNeverSeeBytesWithOtherAttributes(t *testing.T) {
	dir := t.TempDir()
	drivers := []*Driver{open(t, dir), open(t, dir)}
	body := func(w, n int) string { return strings.Repeat(fmt.Sprintf("%d-%04d ", w, n), 500) }
	mustPut(t, drivers[0], "k", body(0, 0))
	var all sync.WaitGroup
	for w, d := range drivers {
		all.Go(func() {
			for n := range 60 {
				if n%10 == 9 {
					mustDelete(t, d, "k")
				}
				mustPut(t, d, "k", body(w, n))
			}
		})
		for range 2 {
			all.Go(func() {
				for range 150 {
					text, o, err := tryGet(t, d, "k")
					switch {
					case errs.Is(err, errs.NotFound):
					case err != nil:
						t.Error(err)
					case o.ETag != md5Of(text) || o.Meta["body"] != shown(text) || o.Size != int64(len(text)):
						t.Errorf("read %.10q with the attributes %+v", text, o)
					}
					if h, err := d.Head(t.Context(), "k"); err == nil && h.Meta["body"] == "" || err != nil && !errs.Is(err, errs.NotFound) {
						t.Errorf("head: %+v, %v", h, err)
					}
				}
			})
		}
	}
	all.Wait()
}

// An object gives way to a folder and back under readers that must not miss
// it.
func TestObjectThatMakesRoomForAFolderIsNeverMissed(t *testing.T) {
	d := open(t, t.TempDir())
	for round := range 40 {
		key := fmt.Sprintf("k%d", round)
		mustPut(t, d, key, key)
		var all sync.WaitGroup
		stop := make(chan struct{})
		for range 2 {
			all.Go(func() {
				for {
					if got, _, err := tryGet(t, d, key); err != nil || got != key {
						t.Errorf("got %q, %v", got, err)
						return
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		mustPut(t, d, key+"/below", "below")
		mustPut(t, d, key, key)
		mustDelete(t, d, key+"/below")
		close(stop)
		all.Wait()
	}
}

func TestDamagedAttributesAreSaidAndCanBeReplaced(t *testing.T) {
	d := open(t, t.TempDir())
	mustPut(t, d, "a", "body")
	mustPut(t, d, "b", "body")
	p, err := locate("a")
	if err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(d.dir, metaDir, attrsDir, p.attrs, p.leaf)
	sound, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sound {
		bad := append([]byte{}, sound...)
		bad[i] ^= 1
		if err := os.WriteFile(record, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if o, err := d.Head(t.Context(), "a"); !errs.Is(err, errs.Internal) || errs.Hint(err) == "" {
			t.Fatalf("byte %d flipped: %+v, %v", i, o, err)
		}
	}
	if got := listKeys(t, d, blob.ListOptions{}); len(got) != 2 {
		t.Errorf("listed %q", got)
	}
	mustPut(t, d, "a", "new")
	if got := mustGet(t, d, "a"); got != "new" {
		t.Errorf("got %q", got)
	}
}

// A clock that was set back must not give a write the time of change of the
// one before; but one that was years ahead is not followed.
func TestWritesAfterAClockWasSetBackHaveTimesOfTheirOwn(t *testing.T) {
	for ahead, follow := range map[time.Duration]bool{time.Hour: true, 10 * farFuture: false} {
		d := open(t, t.TempDir())
		mustPut(t, d, "k", "old")
		f, p, err := d.ready(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		s, err := f.look(p, false)
		if err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(ahead).Truncate(time.Second)
		s.record.Gens[0].Stamp = then.UnixNano()
		if err := d.writeRecord(f, p, s.record); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(d.dir, "k"), then, then); err != nil {
			t.Fatal(err)
		}
		if got, o, err := tryGet(t, d, "k"); err != nil || got != "old" || o.Meta["body"] != shown("old") {
			t.Fatalf("%q, %+v, %v", got, o, err)
		}
		o := mustPut(t, d, "k", "new")
		if o.Modified.After(then) != follow || !follow && o.Modified.After(time.Now()) {
			t.Errorf("a write behind one of %v ahead has the time %v, that one has %v", ahead, o.Modified, then)
		}
		if got := mustGet(t, d, "k"); got != "new" {
			t.Errorf("got %q", got)
		}
	}
}
