package fileblob

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

func wantNoBucket(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, blob.ErrNoBucket) || !errs.Is(err, errs.Unavailable) || errs.Hint(err) == "" {
		t.Errorf("%s: got %v, want ErrNoBucket, Unavailable, with a hint", what, err)
	}
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestMissingOrEmptyFolderIsNoBucket(t *testing.T) {
	empty, formatted := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(formatted, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(empty, "missing"), empty, formatted} {
		_, err := Open(dir, Options{})
		wantNoBucket(t, "open "+dir, err)
	}
	if names := fileNames(t, empty); len(names) != 0 {
		t.Errorf("the folder that was refused holds %q", names)
	}
}

func TestMakeMakesABucketOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "b")
	d := open(t, dir)
	mustPut(t, d, "k", "body")
	if err := d.Make(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir, Options{Marked: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := mustGet(t, again, "k"); got != "body" {
		t.Errorf("got %q", got)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "x", "y"), Options{Make: true}); err == nil {
		t.Error("the folder above was made too")
	}
}

func TestFolderWithFilesIsABucketUnlessTheMarkerIsAskedFor(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "photo.jpg", "a photo")
	_, err := Open(dir, Options{Marked: true})
	wantNoBucket(t, "with Marked", err)
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := listKeys(t, d, blob.ListOptions{}); !slices.Equal(got, []string{"photo.jpg"}) {
		t.Errorf("listed %q", got)
	}
	if _, err := Open(dir, Options{Marked: true}); err != nil {
		t.Errorf("it has no marker now: %v", err)
	}
}

// unmount makes the folder look like the empty mount point of its disk, and
// gives what mounts it again.
func unmount(t *testing.T, dir string) (mount func()) {
	t.Helper()
	away := dir + ".unmounted"
	if err := errors.Join(os.Rename(dir, away), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.RemoveAll(dir), os.Rename(away, dir)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnmountedDiskIsNeverTakenForAnEmptyBucket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	d := open(t, dir)
	mustPut(t, d, "k", "body")
	mount := unmount(t, dir)
	_, err := d.Head(t.Context(), "k")
	wantNoBucket(t, "head", err)
	_, err = d.Head(t.Context(), "absent")
	wantNoBucket(t, "head of what was never there", err)
	_, err = d.Get(t.Context(), "k", blob.GetOptions{})
	wantNoBucket(t, "get", err)
	_, err = d.List(t.Context(), blob.ListOptions{})
	wantNoBucket(t, "list", err)
	wantNoBucket(t, "put", putBody(t.Context(), d, "k", "new"))
	wantNoBucket(t, "delete", d.Delete(t.Context(), "k", blob.DeleteOptions{}))
	_, err = d.ListUploads(t.Context(), "")
	wantNoBucket(t, "list uploads", err)
	if names := fileNames(t, dir); len(names) != 0 {
		t.Errorf("the mount point holds %q", names)
	}
	write(t, dir, "README", "mount the disk here") // and still it is not the bucket that was there
	_, err = d.Head(t.Context(), "k")
	wantNoBucket(t, "head beside a stray file", err)
	mount()
	if got := mustGet(t, d, "k"); got != "body" {
		t.Errorf("mounted again: %q", got)
	}
}

func TestOpenLaterWaitsForTheDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	mustPut(t, open(t, dir), "k", "body")
	mount := unmount(t, dir)
	d, err := Open(dir, Options{Later: true, Marked: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Head(t.Context(), "k")
	wantNoBucket(t, "head", err)
	mount()
	if got := mustGet(t, d, "k"); got != "body" {
		t.Errorf("got %q", got)
	}
}

func TestAnotherDiskInTheSamePlaceIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	d := open(t, dir)
	mustPut(t, d, "k", "body")
	unmount(t, dir)
	mustPut(t, open(t, dir), "other", "body")
	_, err := d.Head(t.Context(), "k")
	wantNoBucket(t, "head", err)
}

// The folder stays in its place, and all that is in it goes.
func TestBucketRemovedBehindOurBackIsNoBucket(t *testing.T) {
	d := open(t, t.TempDir())
	mustPut(t, d, "a/k", "body")
	for _, name := range fileNames(t, d.dir) {
		if err := os.RemoveAll(filepath.Join(d.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := d.Head(t.Context(), "a/k")
	wantNoBucket(t, "head", err)
	_, err = d.List(t.Context(), blob.ListOptions{})
	wantNoBucket(t, "list", err)
	wantNoBucket(t, "put", putBody(t.Context(), d, "a/k", "new"))
}

func TestFileSystemThatFoldsNamesIsRefused(t *testing.T) {
	for _, alias := range []string{"probe-\u00e9", "Probe-e\u0301"} {
		d := open(t, t.TempDir())
		write(t, d.dir, filepath.Join(metaDir, alias), "") // as if the probe's name were this one too
		if _, err := Open(d.dir, Options{}); !errs.Is(err, errs.Unsupported) {
			t.Errorf("%q: got %v", alias, err)
		}
	}
}

func TestDamagedOrNewerMarkerIsRefused(t *testing.T) {
	for text, kind := range map[string]errs.Kind{"": errs.Unavailable, "{": errs.Unavailable, `{"format":2,"id":"x"}`: errs.Unsupported} {
		d := open(t, t.TempDir())
		write(t, d.dir, filepath.Join(metaDir, markerFile), text)
		if _, err := Open(d.dir, Options{Make: true}); !errs.Is(err, kind) {
			t.Errorf("marker %q: got %v, want %v", text, err, kind)
		}
	}
}

func TestSymbolicLinksAreNotFollowed(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, "secret", "secret")
	d := open(t, t.TempDir())
	mustPut(t, d, "real/k", "body")
	for link, to := range map[string]string{"file": filepath.Join(outside, "secret"), "dir": outside, "inside": "real", "meta": metaDir, "dangling": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(d.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if got := listKeys(t, d, blob.ListOptions{}); !slices.Equal(got, []string{"real/k"}) {
		t.Errorf("listed %q", got)
	}
	for _, key := range []string{"file", "dir/secret", "inside/k", "meta/bucket", "dangling"} {
		if _, err := d.Head(t.Context(), key); !errs.Is(err, errs.NotFound) {
			t.Errorf("head %s: %v", key, err)
		}
		if err := putBody(t.Context(), d, key, "new"); !errs.Is(err, errs.Unsupported) {
			t.Errorf("put %s: %v", key, err)
		}
		mustDelete(t, d, key)
	}
	if got := fileNames(t, outside); !slices.Equal(got, []string{"secret"}) {
		t.Errorf("outside: %q", got)
	}
	if b, err := os.ReadFile(filepath.Join(outside, "secret")); string(b) != "secret" {
		t.Errorf("outside: %q, %v", b, err)
	}
}

func TestPipesAndSocketsAreNoObjects(t *testing.T) {
	d := open(t, t.TempDir())
	if err := syscall.Mkfifo(filepath.Join(d.dir, "pipe"), 0o644); err != nil {
		t.Skip(err)
	}
	if _, err := d.Get(t.Context(), "pipe", blob.GetOptions{}); !errs.Is(err, errs.NotFound) {
		t.Errorf("get: %v", err)
	}
	if got := listKeys(t, d, blob.ListOptions{}); len(got) != 0 {
		t.Errorf("listed %q", got)
	}
}
