package fileblob

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
)

// many puts files into folders, as others would, and gives their keys.
func many(t *testing.T, dir string, folders, files int) (keys []string) {
	t.Helper()
	for i := range folders {
		sub := fmt.Sprintf("%03d", i)
		if folders == 1 {
			sub = ""
		}
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		for j := range files {
			key := filepath.Join(sub, fmt.Sprintf("%05d", j))
			if err := os.WriteFile(filepath.Join(dir, key), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
	}
	return keys
}

func TestPageReadsOnlyTheFoldersThatItNeeds(t *testing.T) {
	d := open(t, t.TempDir())
	const folders, files = 100, 50
	keys := many(t, d.dir, folders, files)
	f, err := d.folder()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what string
		o    blob.ListOptions
		most int64 // names that may be read: those of the bucket's own folder and of those that the page touches
	}{
		{"the first page", blob.ListOptions{Limit: 100}, folders + 3*files},
		{"a page from the middle", blob.ListOptions{Limit: 100, After: keys[len(keys)/2]}, folders + 4*files},
		{"a prefix", blob.ListOptions{Prefix: "070/"}, files},
		{"folders", blob.ListOptions{Delimiter: "/", Limit: 10}, folders + 11*files},
	} {
		before := f.scans.names.Load()
		if _, err := d.List(t.Context(), tt.o); err != nil {
			t.Fatal(err)
		}
		if n := f.scans.names.Load() - before; n > tt.most+10 {
			t.Errorf("%s read %d names, want at most %d of %d", tt.what, n, tt.most, folders*files)
		}
	}
}

// A large folder is read in stretches, each of which serves many pages.
func TestLargeFolderIsReadOnceForManyPages(t *testing.T) {
	d := open(t, t.TempDir())
	const files, stretch = 1000, 300
	keys := many(t, d.dir, 1, files)
	f, err := d.folder()
	if err != nil {
		t.Fatal(err)
	}
	f.scans.max = stretch
	list := func() (readings int64) {
		before := f.scans.names.Load()
		if got := listKeys(t, d, blob.ListOptions{Limit: 70}); !slices.Equal(got, keys) {
			t.Fatalf("listed %d keys, want %d", len(got), len(keys))
		}
		return (f.scans.names.Load() - before) / files
	}
	// A folder that changes is read for each page, and once more where a page
	// lies in two stretches.
	if n := list(); n > files/70+1+files/stretch+1 {
		t.Errorf("the folder was read %d times for %d pages", n, files/70+1)
	}
	time.Sleep(settledAt + 100*time.Millisecond) // by the file system's clock
	if n := list(); n > files/stretch+2 {
		t.Errorf("the folder was read %d times for %d stretches", n, files/stretch+1)
	}
	// What was kept is not taken for what is there now.
	mustPut(t, d, "00000a", "new")
	mustDelete(t, d, "00999")
	want := slices.Insert(slices.Clone(keys[:999]), 1, "00000a")
	if got := listKeys(t, d, blob.ListOptions{Limit: 70}); !slices.Equal(got, want) {
		t.Errorf("after a write and a delete: %d keys, want %d", len(got), len(want))
	}
}

// An empty folder that others left does not take an object's name from it.
func TestEmptyFolderGivesWayToAnObject(t *testing.T) {
	d := open(t, t.TempDir())
	if err := os.MkdirAll(filepath.Join(d.dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := listKeys(t, d, blob.ListOptions{Delimiter: "/"}); len(got) != 0 {
		t.Errorf("listed %q", got)
	}
	mustPut(t, d, "a/b", "body")
	if b, err := os.ReadFile(filepath.Join(d.dir, "a/b")); string(b) != "body" {
		t.Errorf("%q, %v", b, err)
	}
}

// An object that made room for a folder stays one file, whatever comes.
func TestObjectBesideAFolderIsOneFile(t *testing.T) {
	d := open(t, t.TempDir())
	mustPut(t, d, "a", "old")
	mustPut(t, d, "a/b", "below")
	mustDelete(t, d, "a/b")
	mustPut(t, d, "a", "new")
	if got := fileNames(t, d.dir); len(got) != 2 {
		t.Errorf("the folder holds %q, want %s and one file", got, metaDir)
	}
	if got := mustGet(t, d, "a"); got != "new" {
		t.Errorf("got %q", got)
	}
	mustDelete(t, d, "a")
	mustPut(t, d, "a", "again") // under its own name, now that it is free
	if got := fileNames(t, d.dir); !slices.Equal(got, []string{metaDir, "a"}) {
		t.Errorf("the folder holds %q", got)
	}
}
