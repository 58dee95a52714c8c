package fileblob

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What is flushed, and before which step, is what DESIGN.md promises.
func TestEveryStepIsFlushedBeforeTheNext(t *testing.T) {
	d := open(t, t.TempDir())
	var log []string
	note := func(name string) {
		rest, err := filepath.Rel(d.dir, name)
		if err != nil {
			t.Error(err)
		}
		rest = strings.TrimPrefix(rest, metaDir+"/")
		if dir, _, _ := strings.Cut(rest, "/"); dir == tempDir || dir == attrsDir { // names that are hashes, or random
			rest = dir + strings.Repeat("/*", strings.Count(rest, "/"))
		}
		log = append(log, "flush "+rest)
	}
	flushes.Store(&note)
	defer flushes.Store(nil)
	d.fault = func(step string) error {
		log = append(log, step)
		return nil
	}
	mustPut(t, d, "x/y/k", "body")
	want := []string{
		"create body", "write body", "stamp body", "sync body", "flush tmp/*",
		"make folder", "make folder",
		"check", "write record", "flush tmp/*", "rename record", "sync record", "flush attr", "flush attr/*", "flush attr/*/*",
		"rename body", "sync folder", "flush .", "flush x", "flush x/y",
	}
	if !slices.Equal(log, want) {
		t.Errorf("put:\ngot  %q\nwant %q", log, want)
	}
	log = nil
	mustPut(t, d, "x/y/l", "body") // the folders are known to be on the disk
	want = []string{
		"create body", "write body", "stamp body", "sync body", "flush tmp/*",
		"check", "write record", "flush tmp/*", "rename record", "sync record", "flush attr/*/*",
		"rename body", "sync folder", "flush x/y",
	}
	if !slices.Equal(log, want) {
		t.Errorf("second put:\ngot  %q\nwant %q", log, want)
	}
	log = nil
	mustDelete(t, d, "x/y/k")
	if want := []string{"check", "remove body", "sync folder", "flush x/y", "drop record"}; !slices.Equal(log, want) {
		t.Errorf("delete:\ngot  %q\nwant %q", log, want)
	}
}

// image is a file that holds a file system. A copy of it is what a loss of
// power at that moment leaves of the disk: what was not flushed is not in it.
type image struct{ path, dir string }

func newImage(t *testing.T) *image {
	t.Helper()
	if os.Getuid() != 0 || testing.Short() {
		t.Skip("only root can mount a disk for the test, and it takes time")
	}
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skip("mkfs.ext4 is not installed")
	}
	i := &image{path: filepath.Join(t.TempDir(), "image"), dir: t.TempDir()}
	if err := errors.Join(os.WriteFile(i.path, nil, 0o600), os.Truncate(i.path, 16<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), mkfs, "-q", "-F", i.path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return i
}

// mount mounts the image. Nothing is flushed but what is asked to be.
func (i *image) mount(t *testing.T) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "ext4", "-o", "loop,commit=3600,noauto_da_alloc", i.path, i.dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a disk for the test: %v: %s", err, out)
	}
	t.Cleanup(i.unmount)
}

func (i *image) unmount() { _ = exec.Command("umount", "-l", i.dir).Run() }

// loss gives the disk after a loss of power now.
func (i *image) loss(t *testing.T) *image {
	t.Helper()
	after := &image{path: filepath.Join(t.TempDir(), "image"), dir: t.TempDir()}
	from, err := os.Open(i.path)
	if err != nil {
		t.Fatal(err)
	}
	to, err := os.Create(after.path)
	if err == nil {
		_, err = io.Copy(to, from)
		err = errors.Join(err, to.Close(), from.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return after
}

func TestLossOfPowerAtEveryStep(t *testing.T) {
	newImage(t) // or skip
	for _, o := range operations {
		for i, step := range append(o.steps(t), "end") {
			t.Run(fmt.Sprintf("%s/%d %s", o.name, i, step), func(t *testing.T) { testLossOfPower(t, o, i) })
		}
	}
}

func testLossOfPower(t *testing.T, o operation, at int) {
	disk := newImage(t)
	disk.mount(t)
	dir := filepath.Join(disk.dir, "bucket")
	d := open(t, dir)
	mustPut(t, d, "dir/bystander", "bystander")
	given := ""
	if o.prepare != nil {
		given = o.prepare(t, d)
	}
	if o.name == "overwrite of a file of others" { // who flush when they please
		if out, err := exec.CommandContext(t.Context(), "sync", filepath.Join(dir, stepKey), filepath.Join(dir, "dir")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	var after *image
	n, seen := 0, false
	d.fault = func(step string) error {
		if n++; n == at+1 {
			after = disk.loss(t)
		}
		seen = seen || after == nil && step == o.seen
		return nil
	}
	if err := o.do(t.Context(), d, given); err != nil {
		t.Fatal(err)
	}
	d.fault = nil
	ended := after == nil
	if ended {
		after = disk.loss(t)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	disk.unmount()
	after.mount(t)
	c, err := Open(filepath.Join(after.dir, "bucket"), Options{Marked: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	// Between the moment of the write and its flush it is the one or the other.
	done := ended
	if seen && !ended {
		got, _, err := tryGet(t, c, stepKey)
		done = got == o.new && (o.new != "" || err != nil)
	}
	o.wantState(t, c, done)
}
