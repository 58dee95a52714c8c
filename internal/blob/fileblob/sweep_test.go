package fileblob

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// age makes a file or folder old.
func age(t *testing.T, path string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

func TestLeftoversAreSweptAfterSevenDays(t *testing.T) {
	for what, sweep := range map[string]func(t *testing.T, d *Driver){
		"by Open": func(t *testing.T, d *Driver) {
			if _, err := Open(d.dir, Options{}); err != nil {
				t.Fatal(err)
			}
		},
		"by CreateUpload, a day later": func(t *testing.T, d *Driver) {
			d.swept.Store(time.Now().Add(-25 * time.Hour).UnixNano())
			id, err := d.CreateUpload(t.Context(), "new", blob.PutOptions{})
			if err == nil {
				err = d.AbortUpload(t.Context(), "new", id)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			d := open(t, t.TempDir())
			tmp, uploads := filepath.Join(d.dir, metaDir, tempDir), filepath.Join(d.dir, metaDir, uploadDir)
			ids := map[string]string{}
			for _, key := range []string{"old", "fresh"} {
				id, err := d.CreateUpload(t.Context(), key, blob.PutOptions{})
				if err != nil {
					t.Fatal(err)
				}
				ids[key] = id
				write(t, tmp, key, "half a bod")
			}
			age(t, filepath.Join(tmp, "old"), leftoverAge+time.Hour)
			age(t, filepath.Join(uploads, ids["old"]), leftoverAge+time.Hour)
			age(t, filepath.Join(tmp, "fresh"), leftoverAge-time.Hour)
			age(t, filepath.Join(uploads, ids["fresh"]), leftoverAge-time.Hour)
			sweep(t, d)
			if names := fileNames(t, tmp); len(names) != 1 || names[0] != "fresh" {
				t.Errorf("temporary files: %q", names)
			}
			if names := fileNames(t, uploads); len(names) != 1 || names[0] != ids["fresh"] {
				t.Errorf("uploads: %q", names)
			}
		})
	}
}

// Others removed files; the attributes go when they are old.
func TestSweepRemovesAttributesWithoutObject(t *testing.T) {
	d := open(t, t.TempDir())
	attrs := filepath.Join(d.dir, metaDir, attrsDir)
	records := func() (n int) {
		err := filepath.WalkDir(attrs, func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				n++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	write(t, d.dir, "d/foreign", "foreign")
	if _, err := d.Head(t.Context(), "d/foreign"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"d/gone", "d/stays", "d/fresh"} {
		mustPut(t, d, key, key)
	}
	err := filepath.WalkDir(attrs, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			age(t, path, leftoverAge+time.Hour)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, d, "d/fresh", "again") // whose attributes are young
	for _, key := range []string{"d/gone", "d/fresh", "d/foreign"} {
		if err := os.Remove(filepath.Join(d.dir, key)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := records(); n != 2 {
		t.Errorf("%d records stay, want those of d/stays and d/fresh", n)
	}
	if got := mustGet(t, d, "d/stays"); got != "d/stays" {
		t.Errorf("got %q", got)
	}
	if _, err := d.Head(t.Context(), "d/gone"); !errs.Is(err, errs.NotFound) {
		t.Error(err)
	}
}
