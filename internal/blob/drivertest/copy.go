package drivertest

import (
	"maps"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

var copyTests = []test{
	{"ACopyHasBytesHeadersAndMetadata", testCopy, nil},
	{"ACopyMayReplaceHeadersAndMetadata", testCopyReplace, nil},
	{"ACopyOntoItselfReplacesMetadata", testCopyInPlace, nil},
	{"ACopyWithMatchTakesOnlyThat", testCopyMatch, nil},
	{"ACopyOntoAConditionKeepsIt", testCopyCondition, unless(func(h Harness) bool { return h.Class.Heads() && !h.NoConditionalCopy }, "conditional copies")},
	{"ACopyMayComeFromAnotherBucket", testCopyOther, unless(func(h Harness) bool { return h.Other != nil }, "another bucket")},
	{"ACopyFromElsewhereIsUnsupported", testCopyElsewhere, nil},
}

var (
	copyHeader = blob.Header{Type: "text/plain", CacheControl: "max-age=60"}
	copyMeta   = map[string]string{"a": "1", "name": "Zoë"}
)

func source(t *testing.T, d blob.Driver) (blob.Object, []byte) {
	t.Helper()
	body := content(100_000, 1)
	return put(t, d, "src/k", body, blob.PutOptions{Header: copyHeader, Meta: copyMeta}), body
}

func wantCopy(t *testing.T, d blob.Driver, made blob.Object, err error, body []byte, h blob.Header, meta map[string]string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	o := head(t, d, made.Key)
	if o.ETag != made.ETag || o.Version != made.Version || o.Size != int64(len(body)) {
		t.Errorf("copy gave %+v, head %+v", made, o)
	}
	if o.Header != h || !maps.Equal(o.Meta, meta) {
		t.Errorf("the copy has headers %+v and metadata %q, want %+v and %q", o.Header, o.Meta, h, meta)
	}
	wantBody(t, d, made.Key, body)
}

func testCopy(t *testing.T, h Harness) {
	_, body := source(t, h.Driver)
	o, err := h.Driver.Copy(t.Context(), "dst/k", h.Driver, "src/k", blob.CopyOptions{})
	wantCopy(t, h.Driver, o, err, body, copyHeader, copyMeta)
	put(t, h.Driver, "src/k", []byte("changed"), blob.PutOptions{})
	wantCopy(t, h.Driver, o, nil, body, copyHeader, copyMeta)
	o, err = h.Driver.Copy(t.Context(), "dst/k", h.Driver, "src/k", blob.CopyOptions{})
	if err != nil || o.Size != 7 {
		t.Errorf("a copy over an object: %+v, %v", o, err)
	}
	wantBody(t, h.Driver, "dst/k", []byte("changed"))
}

func testCopyReplace(t *testing.T, h Harness) {
	_, body := source(t, h.Driver)
	replace := blob.PutOptions{Header: blob.Header{Type: "image/png", Language: "fr"}, Meta: map[string]string{"b": "日本"}}
	o, err := h.Driver.Copy(t.Context(), "dst/k", h.Driver, "src/k", blob.CopyOptions{Replace: &replace})
	wantCopy(t, h.Driver, o, err, body, replace.Header, replace.Meta)
	o, err = h.Driver.Copy(t.Context(), "bare", h.Driver, "src/k", blob.CopyOptions{Replace: &blob.PutOptions{Header: blob.Header{Type: "a/b"}}})
	wantCopy(t, h.Driver, o, err, body, blob.Header{Type: "a/b"}, nil)
	wantCopy(t, h.Driver, head(t, h.Driver, "src/k"), nil, body, copyHeader, copyMeta)
}

func testCopyInPlace(t *testing.T, h Harness) {
	_, body := source(t, h.Driver)
	replace := blob.PutOptions{Header: copyHeader, Meta: map[string]string{"b": "2"}}
	o, err := h.Driver.Copy(t.Context(), "src/k", h.Driver, "src/k", blob.CopyOptions{Replace: &replace})
	wantCopy(t, h.Driver, o, err, body, copyHeader, replace.Meta)
}

func testCopyMatch(t *testing.T, h Harness) {
	first, body := source(t, h.Driver)
	o, err := h.Driver.Copy(t.Context(), "dst", h.Driver, "src/k", blob.CopyOptions{Match: first.ETag})
	wantCopy(t, h.Driver, o, err, body, copyHeader, copyMeta)
	put(t, h.Driver, "src/k", []byte("changed"), blob.PutOptions{})
	_, err = h.Driver.Copy(t.Context(), "dst", h.Driver, "src/k", blob.CopyOptions{Match: first.ETag})
	wantKind(t, "a copy of another object", err, errs.Conflict)
	wantBody(t, h.Driver, "dst", body)
	_, err = h.Driver.Copy(t.Context(), "dst", h.Driver, "absent", blob.CopyOptions{Match: first.ETag})
	wantKind(t, "a copy of nothing", err, errs.NotFound)
	wantBody(t, h.Driver, "dst", body)
}

func testCopyCondition(t *testing.T, h Harness) {
	_, body := source(t, h.Driver)
	onto := func(c blob.Condition) (blob.Object, error) {
		return h.Driver.Copy(t.Context(), "dst", h.Driver, "src/k", blob.CopyOptions{Replace: &blob.PutOptions{Header: copyHeader, Meta: copyMeta, If: c}})
	}
	_, err := onto(blob.Condition{Match: "0123456789abcdef0123456789abcdef"})
	wantKind(t, "match where nothing is", err, errs.Conflict)
	wantBody(t, h.Driver, "dst", nil)
	o, err := onto(absent)
	wantCopy(t, h.Driver, o, err, body, copyHeader, copyMeta)
	other := put(t, h.Driver, "dst", []byte("other"), blob.PutOptions{})
	_, err = onto(absent)
	wantKind(t, "absent over an object", err, errs.Conflict)
	_, err = onto(match(o))
	wantKind(t, "match of an old tag", err, errs.Conflict)
	wantBody(t, h.Driver, "dst", []byte("other"))
	o, err = onto(match(other))
	wantCopy(t, h.Driver, o, err, body, copyHeader, copyMeta)
}

func testCopyOther(t *testing.T, h Harness) {
	first, body := source(t, h.Other)
	put(t, h.Driver, "src/k", []byte("of the same name here"), blob.PutOptions{})
	o, err := h.Driver.Copy(t.Context(), "dst", h.Other, "src/k", blob.CopyOptions{})
	wantCopy(t, h.Driver, o, err, body, copyHeader, copyMeta)
	o, err = h.Driver.Copy(t.Context(), "src/k", h.Other, "src/k", blob.CopyOptions{Match: first.ETag})
	wantCopy(t, h.Driver, o, err, body, copyHeader, copyMeta)
	_, err = h.Driver.Copy(t.Context(), "dst", h.Other, "absent", blob.CopyOptions{})
	wantKind(t, "a copy of nothing", err, errs.NotFound)
	wantBody(t, h.Other, "dst", nil)
}

// elsewhere is a driver that no other knows.
type elsewhere struct{ blob.Driver }

func testCopyElsewhere(t *testing.T, h Harness) {
	source(t, h.Driver)
	_, err := h.Driver.Copy(t.Context(), "dst", elsewhere{h.Driver}, "src/k", blob.CopyOptions{})
	wantKind(t, "a copy from another kind of driver", err, errs.Unsupported)
	wantBody(t, h.Driver, "dst", nil)
}
