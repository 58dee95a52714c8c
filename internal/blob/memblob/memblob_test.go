package memblob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/drivertest"
	"github.com/sparecloud/spare/internal/errs"
)

func TestConformance(t *testing.T) {
	for name, h := range map[string]drivertest.Harness{
		"content":            {Class: blob.ClassContent},
		"unique":             {Class: blob.ClassUnique},
		"bodies":             {Class: blob.ClassBodies},
		"versions":           {Class: blob.ClassContent, Versions: true},
		"unique, versions":   {Class: blob.ClassUnique, Versions: true},
		"least size of part": {Class: blob.ClassContent, MinPart: 100_000},
	} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, func(*testing.T) drivertest.Harness {
				h := h
				h.Modified = true
				o := Options{Versioned: h.Versions, Tags: h.Class, MinPart: h.MinPart}
				h.Driver, h.Other = Open(o), Open(o)
				return h
			})
		})
	}
}

func put(t *testing.T, d *Driver, key, body string) blob.Object {
	t.Helper()
	o, err := d.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func content(t *testing.T, d *Driver, key, version string) string {
	t.Helper()
	r, err := d.Get(t.Context(), key, blob.GetOptions{Version: version})
	if errs.Is(err, errs.NotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// multipart makes an object of parts.
func multipart(t *testing.T, d *Driver, key string, bodies ...string) blob.Object {
	t.Helper()
	id, err := d.CreateUpload(t.Context(), key, blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var parts []blob.Part
	for i, b := range bodies {
		p, err := d.UploadPart(t.Context(), key, id, i+1, strings.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	o, err := d.CompleteUpload(t.Context(), key, id, parts, blob.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// TestTagsAreThoseOfS3 has its values from md5sum: of "hello", and of the
// MD5s of "hello" and " world".
func TestTagsAreThoseOfS3(t *testing.T) {
	for _, class := range []blob.Class{blob.ClassUnknown, blob.ClassContent, blob.ClassBodies} {
		d := Open(Options{Tags: class})
		if o := put(t, d, "k", "hello"); o.ETag != "5d41402abc4b2a76b9719d911017c592" {
			t.Errorf("%s: put gave %q", class, o.ETag)
		}
		if o := multipart(t, d, "m", "hello", " world"); o.ETag != "a56979024342128ecebc884e3442121b-2" || o.Parts != 2 {
			t.Errorf("%s: complete gave %q of %d parts", class, o.ETag, o.Parts)
		}
		o, err := d.Copy(t.Context(), "c", d, "m", blob.CopyOptions{})
		if err != nil || o.ETag != "5eb63bbbe01eeed093cb22bb8f5acdc3" || o.Parts != 0 {
			t.Errorf("%s: copy gave %q of %d parts, %v", class, o.ETag, o.Parts, err)
		}
	}
}

func TestUniqueTagsAreNewForEveryWrite(t *testing.T) {
	d := Open(Options{Tags: blob.ClassUnique, Versioned: true})
	seen := map[string]bool{}
	for range 3 {
		copied, err := d.Copy(t.Context(), "k", d, "k", blob.CopyOptions{Replace: &blob.PutOptions{}})
		if err != nil && len(seen) > 0 {
			t.Fatal(err)
		}
		for _, o := range []blob.Object{put(t, d, "k", "x"), multipart(t, d, "k", "x"), copied} {
			if o.ETag == "" {
				continue // the first copy has no source
			}
			if seen[o.ETag] || seen[o.Version] {
				t.Errorf("tag %q or version %q repeats", o.ETag, o.Version)
			}
			seen[o.ETag], seen[o.Version] = true, true
		}
	}
	snapshot := d.Snapshot()
	newer := put(t, d, "k", "y")
	d.Restore(snapshot)
	if o := put(t, d, "k", "y"); o.ETag == newer.ETag || o.Version == newer.Version {
		t.Error("a rollback lets tags repeat")
	}
}

func TestWithoutConditionsTheyAreUnsupported(t *testing.T) {
	d := Open(Options{Tags: blob.ClassBodies})
	o := put(t, d, "k", "x")
	id, err := d.CreateUpload(t.Context(), "k", blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []blob.Condition{{Absent: true}, {Match: "*"}, {Match: o.ETag}} {
		_, put := d.Put(t.Context(), "k", strings.NewReader("y"), 1, blob.PutOptions{If: c})
		_, copied := d.Copy(t.Context(), "k", d, "k", blob.CopyOptions{Replace: &blob.PutOptions{If: c}})
		_, completed := d.CompleteUpload(t.Context(), "k", id, nil, c)
		for name, err := range map[string]error{
			"put": put, "copy": copied, "complete": completed, "delete": d.Delete(t.Context(), "k", blob.DeleteOptions{If: c}),
		} {
			if !errs.Is(err, errs.Unsupported) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	if got := content(t, d, "k", ""); got != "x" {
		t.Errorf("there is %q", got)
	}
}

func TestDeclaredSumsAreKept(t *testing.T) {
	d := Open(Options{})
	read := false
	body := &noting{Reader: strings.NewReader("x"), read: &read}
	sums := func() blob.Sums {
		if !read {
			t.Error("asked for before the body was read")
		}
		return blob.Sums{"SHA256": "abc="}
	}
	if _, err := d.Put(t.Context(), "k", body, 1, blob.PutOptions{Sums: sums}); err != nil {
		t.Fatal(err)
	}
	o, err := d.Head(t.Context(), "k")
	if err != nil || o.Sums["SHA256"] != "abc=" {
		t.Errorf("head gave %q, %v", o.Sums, err)
	}
	o.Sums["SHA256"] = "changed by its owner"
	if o, err := d.Copy(t.Context(), "l", d, "k", blob.CopyOptions{}); err != nil || o.Sums["SHA256"] != "abc=" {
		t.Errorf("copy gave %q, %v", o.Sums, err)
	}
}

type noting struct {
	io.Reader
	read *bool
}

func (n *noting) Read(p []byte) (int, error) {
	*n.read = true
	return n.Reader.Read(p)
}

func TestASnapshotIsRestoredWhole(t *testing.T) {
	for _, versioned := range []bool{false, true} {
		t.Run(fmt.Sprint(versioned), func(t *testing.T) {
			d := Open(Options{Versioned: versioned})
			first := put(t, d, "kept", "one")
			put(t, d, "deleted", "x")
			id, err := d.CreateUpload(t.Context(), "u", blob.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			p, err := d.UploadPart(t.Context(), "u", id, 1, strings.NewReader("part"), 4)
			if err != nil {
				t.Fatal(err)
			}
			before := d.Snapshot()
			change := func() {
				t.Helper()
				put(t, d, "kept", "two")
				if err := d.Delete(t.Context(), "deleted", blob.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
				put(t, d, "new", "x")
				if _, err := d.UploadPart(t.Context(), "u", id, 1, strings.NewReader("other"), 5); err != nil {
					t.Fatal(err)
				}
				if _, err := d.UploadPart(t.Context(), "u", id, 2, strings.NewReader("more"), 4); err != nil {
					t.Fatal(err)
				}
				if err := d.AbortUpload(t.Context(), "u", id); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 { // a snapshot is not used up
				change()
				d.Restore(before)
				if content(t, d, "kept", "") != "one" || content(t, d, "deleted", "") != "x" || content(t, d, "new", "") != "" {
					t.Error("the objects are not those before")
				}
				page, err := d.List(t.Context(), blob.ListOptions{})
				if err != nil || len(page.Objects) != 2 {
					t.Errorf("listed %+v, %v", page, err)
				}
				if versioned && content(t, d, "kept", first.Version) != "one" {
					t.Error("the version is lost")
				}
				parts, _, err := d.ListParts(t.Context(), "u", id, 0, 0)
				if err != nil || len(parts) != 1 || parts[0].ETag != p.ETag {
					t.Errorf("parts %+v, %v", parts, err)
				}
			}
			other := Open(Options{Versioned: versioned})
			other.Restore(before)
			put(t, other, "kept", "elsewhere")
			if content(t, d, "kept", "") != "one" {
				t.Error("a bucket made of the snapshot shares what changes")
			}
		})
	}
}

func TestAReaderFailsWhenItsCallIsOver(t *testing.T) {
	d := Open(Options{})
	put(t, d, "k", "0123456789")
	ctx, cancel := context.WithCancel(t.Context())
	r, err := d.Get(ctx, "k", blob.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 5)); !errors.Is(err, context.Canceled) || !errs.Is(err, errs.Unavailable) {
		t.Errorf("after its context: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	r, err = d.Get(t.Context(), "k", blob.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.Read(make([]byte, 5)); !errs.Is(err, errs.Invalid) {
		t.Errorf("after it was closed: %v", err)
	}
}

func TestABodyTakesNoLock(t *testing.T) {
	d := Open(Options{})
	put(t, d, "k", "old")
	// A body that uses the bucket while it is read.
	body := reader(func(p []byte) (int, error) {
		put(t, d, "other", content(t, d, "k", ""))
		return copy(p, "new"), io.EOF
	})
	if _, err := d.Put(t.Context(), "k", body, 3, blob.PutOptions{If: blob.Condition{Match: "*"}}); err != nil {
		t.Fatal(err)
	}
	if content(t, d, "other", "") != "old" || content(t, d, "k", "") != "new" {
		t.Errorf("there are %q and %q", content(t, d, "other", ""), content(t, d, "k", ""))
	}
}

type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

func TestTheConditionIsThatOfTheWritesEnd(t *testing.T) {
	d := Open(Options{})
	body := reader(func(p []byte) (int, error) {
		put(t, d, "k", "first")
		return copy(p, "new"), io.EOF
	})
	_, err := d.Put(t.Context(), "k", body, 3, blob.PutOptions{If: blob.Condition{Absent: true}})
	if !errs.Is(err, errs.Conflict) || content(t, d, "k", "") != "first" {
		t.Errorf("got %v, there is %q", err, content(t, d, "k", ""))
	}
}

func TestAClaimedSizeTakesNoMemory(t *testing.T) {
	d := Open(Options{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		if _, err := d.Put(t.Context(), "k", strings.NewReader("x"), blob.MaxPut, blob.PutOptions{}); !errors.Is(err, blob.ErrShort) {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 100 {
		t.Errorf("ten bodies of one byte took %d MiB", n)
	}
}

func TestOneOrderOfCallsGivesOneResult(t *testing.T) {
	run := func() (all []any) {
		synctest.Test(t, func(t *testing.T) {
			d := Open(Options{Tags: blob.ClassUnique, Versioned: true})
			for i := range 20 {
				time.Sleep(time.Second)
				all = append(all, put(t, d, fmt.Sprint("k", i%7), "x"), multipart(t, d, fmt.Sprint("k", i%5), "y"))
				if _, err := d.CreateUpload(t.Context(), "u", blob.PutOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			p, err := d.List(t.Context(), blob.ListOptions{})
			uploads, uerr := d.ListUploads(t.Context(), "")
			if err := errors.Join(err, uerr); err != nil {
				t.Fatal(err)
			}
			all = append(all, p, uploads)
		})
		return all
	}
	if d := cmp.Diff(run(), run()); d != "" {
		t.Error(d)
	}
}

func TestMisuseIsRefused(t *testing.T) {
	d := Open(Options{})
	put(t, d, "k", "x")
	for name, call := range map[string]func() error{
		"an empty key": func() error { _, err := d.Head(t.Context(), ""); return err },
		"a copy onto itself": func() error {
			_, err := d.Copy(t.Context(), "k", d, "k", blob.CopyOptions{})
			return err
		},
		"a negative size": func() error {
			_, err := d.Put(t.Context(), "k", strings.NewReader(""), -1, blob.PutOptions{})
			return err
		},
		"an upload with a condition": func() error {
			_, err := d.CreateUpload(t.Context(), "k", blob.PutOptions{If: blob.Condition{Absent: true}})
			return err
		},
	} {
		if err := call(); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWhatIsStoredOutlivesClose(t *testing.T) {
	d := Open(Options{})
	put(t, d, "k", "x")
	if err := d.Close(); err != nil || content(t, d, "k", "") != "x" {
		t.Errorf("close: %v, then %q", err, content(t, d, "k", ""))
	}
}
