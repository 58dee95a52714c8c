package fileblob

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// disk mounts a file system of its own for a test.
func disk(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a disk for the test")
	}
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("cannot mount a disk for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDiskIsErrFullAndLeavesNothing(t *testing.T) {
	d := open(t, disk(t, "size=2m"))
	mustPut(t, d, "old", strings.Repeat("o", 500_000))
	id, err := d.CreateUpload(t.Context(), "new/a", blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("n", 3<<20)
	full := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, blob.ErrFull) || !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) {
			t.Errorf("%s: got %v, want ErrFull", what, err)
		}
	}
	for range 5 { // nothing is lost of the space
		full("put", putBody(t.Context(), d, "new/a", big))
		full("overwrite", putBody(t.Context(), d, "old", big))
		_, err := d.UploadPart(t.Context(), "new/a", id, 1, strings.NewReader(big), int64(len(big)))
		full("part", err)
	}
	if got := mustGet(t, d, "old"); got != strings.Repeat("o", 500_000) {
		t.Errorf("the old object has %d other bytes", len(got))
	}
	if got := fileNames(t, d.dir); !slices.Equal(got, []string{metaDir, "old"}) {
		t.Errorf("the folder holds %q", got)
	}
	mustPut(t, d, "new/a", strings.Repeat("n", 1_000_000)) // what is free can be used
}

// A disk without inodes takes a body's bytes and not the files around it.
func TestDiskThatTakesNoMoreFilesIsErrFull(t *testing.T) {
	d := open(t, disk(t, "nr_inodes=200"))
	write(t, d.dir, "foreign", "which no write has locked before")
	n := 0
	var err error
	for ; err == nil && n < 200; n++ {
		err = putBody(t.Context(), d, "k/"+strings.Repeat("x/", n%5)+fmt.Sprint(n), "body")
	}
	if !errors.Is(err, blob.ErrFull) {
		t.Fatalf("after %d objects: %v", n, err)
	}
	if got := listKeys(t, d, blob.ListOptions{}); len(got) != n {
		t.Errorf("%d objects are listed, %d were put", len(got), n)
	}
	operation{}.wantClean(t, d)
	for i := 0; os.WriteFile(filepath.Join(d.dir, fmt.Sprint("fill", i)), nil, 0o644) == nil; i++ {
		continue // to the last
	}
	mustDelete(t, d, "foreign")
	mustDelete(t, d, listKeys(t, d, blob.ListOptions{Prefix: "k/"})[0])
	mustPut(t, d, "k/again", "body")
}

func TestReadOnlyDiskIsReadAndNotWritten(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"a bucket": func(t *testing.T, dir string) { mustPut(t, open(t, dir), "d/k", "body") },
		"a folder": func(t *testing.T, dir string) { write(t, dir, "d/k", "body") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := disk(t, "size=2m")
			prepare(t, dir)
			if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			d, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = d.Close() }()
			if got := mustGet(t, d, "d/k"); got != "body" {
				t.Errorf("got %q", got)
			}
			if _, err := d.Head(t.Context(), "d/absent"); !errs.Is(err, errs.NotFound) {
				t.Errorf("head: %v", err)
			}
			if got := listKeys(t, d, blob.ListOptions{}); !slices.Equal(got, []string{"d/k"}) {
				t.Errorf("listed %q", got)
			}
			_, err = d.CreateUpload(t.Context(), "d/k", blob.PutOptions{})
			for what, err := range map[string]error{"put": putBody(t.Context(), d, "d/k", "new"), "delete": d.Delete(t.Context(), "d/k", blob.DeleteOptions{}), "upload": err} {
				if !errs.Is(err, errs.Denied) || errs.IsMaybeApplied(err) {
					t.Errorf("%s: got %v, want Denied", what, err)
				}
			}
			if _, err := d.ListUploads(t.Context(), ""); err != nil {
				t.Errorf("list uploads: %v", err)
			}
		})
	}
}
