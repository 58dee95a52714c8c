package drivertest

import (
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

var versionTests = []test{
	{"WithoutVersionsNoneIsNamed", testNoVersions, unless(func(h Harness) bool { return !h.Versions }, "a bucket without versions")},
	{"AnOverwrittenVersionStaysReadable", testVersionRead, unlessVersioned},
	{"ADeletedVersionStaysReadable", testVersionAfterDelete, unlessVersioned},
	{"OneVersionMayBeDeleted", testVersionDelete, unlessVersioned},
	{"AVersionMayBeCopiedOntoItsKey", testVersionRestore, unlessVersioned},
	{"AnUnknownVersionIsNotFound", testVersionUnknown, unlessVersioned},
}

var unlessVersioned = unless(func(h Harness) bool { return h.Versions }, "versions")

func testNoVersions(t *testing.T, h Harness) {
	if o := put(t, h.Driver, "k", []byte("x"), blob.PutOptions{}); o.Version != "" {
		t.Errorf("put gave version %q", o.Version)
	}
	if o := head(t, h.Driver, "k"); o.Version != "" {
		t.Errorf("head gave version %q", o.Version)
	}
}

// twoVersions puts two and gives both.
func twoVersions(t *testing.T, h Harness) (first, second blob.Object) {
	t.Helper()
	first = put(t, h.Driver, "k", []byte("one"), blob.PutOptions{Meta: map[string]string{"n": "1"}})
	second = put(t, h.Driver, "k", []byte("two"), blob.PutOptions{})
	if first.Version == "" || second.Version == "" || first.Version == second.Version {
		t.Fatalf("versions %q and %q", first.Version, second.Version)
	}
	return first, second
}

func wantVersion(t *testing.T, h Harness, want blob.Object, body string) {
	t.Helper()
	r, got := read(t, h.Driver, "k", blob.GetOptions{Version: want.Version})
	if string(got) != body || r.Version != want.Version || r.ETag != want.ETag {
		t.Errorf("version %q is %q with %+v", want.Version, got, r.Object)
	}
}

func testVersionRead(t *testing.T, h Harness) {
	first, second := twoVersions(t, h)
	wantVersion(t, h, first, "one")
	wantVersion(t, h, second, "two")
	if o := head(t, h.Driver, "k"); o.Version != second.Version {
		t.Errorf("the current version is %q, want %q", o.Version, second.Version)
	}
	r, got := read(t, h.Driver, "k", blob.GetOptions{Version: first.Version, Range: &blob.Range{Offset: 1, Length: 1}})
	if string(got) != "n" || r.Meta["n"] != "1" {
		t.Errorf("a range of the first is %q, metadata %q", got, r.Meta)
	}
	wantNames(t, h.Driver, blob.ListOptions{}, "k")
}

func testVersionAfterDelete(t *testing.T, h Harness) {
	first, second := twoVersions(t, h)
	del(t, h.Driver, "k")
	wantBody(t, h.Driver, "k", nil)
	wantNames(t, h.Driver, blob.ListOptions{})
	wantVersion(t, h, first, "one")
	wantVersion(t, h, second, "two")
	if h.Class.Heads() {
		if _, err := try(t, h.Driver, "k", "three", absent); err != nil {
			t.Errorf("a write where a deletion is: %v", err)
		}
	} else {
		put(t, h.Driver, "k", []byte("three"), blob.PutOptions{})
	}
	wantBody(t, h.Driver, "k", []byte("three"))
	wantVersion(t, h, first, "one")
}

func testVersionDelete(t *testing.T, h Harness) {
	first, second := twoVersions(t, h)
	third := put(t, h.Driver, "k", []byte("three"), blob.PutOptions{})
	remove := func(o blob.Object) {
		t.Helper()
		if err := h.Driver.Delete(t.Context(), "k", blob.DeleteOptions{Version: o.Version}); err != nil {
			t.Fatal(err)
		}
		r, err := h.Driver.Get(t.Context(), "k", blob.GetOptions{Version: o.Version})
		if err == nil {
			_ = r.Close()
		}
		wantKind(t, "get of a version that was deleted", err, errs.NotFound)
	}
	remove(first)
	wantBody(t, h.Driver, "k", []byte("three"))
	remove(third) // the current one: the one before is current then
	wantBody(t, h.Driver, "k", []byte("two"))
	remove(second)
	wantBody(t, h.Driver, "k", nil)
	wantNames(t, h.Driver, blob.ListOptions{})
}

func testVersionRestore(t *testing.T, h Harness) {
	first, second := twoVersions(t, h)
	o, err := h.Driver.Copy(t.Context(), "k", h.Driver, "k", blob.CopyOptions{Version: first.Version, Match: first.ETag})
	if err != nil || o.Version == first.Version || o.Version == second.Version {
		t.Fatalf("copy of the first: %+v, %v", o, err)
	}
	if now := head(t, h.Driver, "k"); now.Version != o.Version || now.Meta["n"] != "1" {
		t.Errorf("head gave %+v, copy %+v", now, o)
	}
	wantBody(t, h.Driver, "k", []byte("one"))
	_, err = h.Driver.Copy(t.Context(), "l", h.Driver, "k", blob.CopyOptions{Version: first.Version, Match: second.ETag})
	wantKind(t, "a copy with another tag", err, errs.Conflict)
}

func testVersionUnknown(t *testing.T, h Harness) {
	first, _ := twoVersions(t, h)
	if err := h.Driver.Delete(t.Context(), "k", blob.DeleteOptions{Version: first.Version}); err != nil {
		t.Fatal(err)
	}
	// A version that was once: servers refuse what cannot be one in their own ways.
	r, err := h.Driver.Get(t.Context(), "k", blob.GetOptions{Version: first.Version})
	if err == nil {
		_ = r.Close()
	}
	wantKind(t, "get", err, errs.NotFound)
	_, err = h.Driver.Copy(t.Context(), "l", h.Driver, "k", blob.CopyOptions{Version: first.Version})
	wantKind(t, "copy", err, errs.NotFound)
	wantBody(t, h.Driver, "l", nil)
}
