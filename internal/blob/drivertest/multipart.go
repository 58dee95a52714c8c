package drivertest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

var multipartTests = []test{
	{"PartsMakeAnObject", testUpload, nil},
	{"AnUploadIsNotSeenBeforeItsEnd", testUploadUnseen, nil},
	{"TheLastPartOfANumberCounts", testPartTwice, nil},
	{"PartsNotNamedAreLeftOut", testPartLeftOut, nil},
	{"PartsMissingOrOtherAreErrPart", testPartWrong, nil},
	{"ASmallPartIsErrTooSmall", testPartTooSmall, unless(func(h Harness) bool { return h.MinPart > 1 }, "a least size of parts")},
	{"AnAbortedUploadIsGone", testAbort, nil},
	{"WhatWasNotBegunIsErrNoUpload", testNoUpload, nil},
	{"ListPartsComesInPages", testListParts, nil},
	{"ListUploadsGivesThoseUnderWay", testListUploads, unless(func(h Harness) bool { return !h.NoListUploads }, "a list of uploads")},
	{"CompleteKeepsItsCondition", testCompleteCondition, unless(func(h Harness) bool { return h.Class.Heads() && !h.NoConditionalComplete }, "conditional completes")},
	{"CompleteWithAbsentHasOneWinner", testCompleteRace, unless(func(h Harness) bool { return h.Class.Heads() && !h.NoConditionalComplete }, "conditional completes")},
	{"PartsMayBeSentAtOnce", testPartsAtOnce, nil},
}

func begin(t *testing.T, d blob.Driver, key string) string {
	t.Helper()
	id, err := d.CreateUpload(t.Context(), key, blob.PutOptions{})
	if err != nil || id == "" {
		t.Fatalf("create upload: %q, %v", id, err)
	}
	return id
}

func sendPart(t *testing.T, d blob.Driver, key, id string, number int, body []byte) blob.Part {
	t.Helper()
	p, err := d.UploadPart(t.Context(), key, id, number, bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatalf("upload part %d: %v", number, err)
	}
	if p.Number != number || p.Size != int64(len(body)) || p.ETag == "" {
		t.Errorf("upload part %d gave %+v", number, p)
	}
	return p
}

func complete(t *testing.T, d blob.Driver, key, id string, parts ...blob.Part) blob.Object {
	t.Helper()
	o, err := d.CompleteUpload(t.Context(), key, id, parts, blob.Condition{})
	if err != nil {
		t.Fatalf("complete upload: %v", err)
	}
	return o
}

// size is that of a part, in bytes.
func (h Harness) size() int { return int(max(h.MinPart, 1000)) }

func testUpload(t *testing.T, h Harness) {
	a, b, c := content(h.size(), 1), content(h.size()+1, 2), content(10, 3)
	put(t, h.Driver, "k", []byte("old"), blob.PutOptions{Meta: map[string]string{"old": "1"}})
	id, err := h.Driver.CreateUpload(t.Context(), "k", blob.PutOptions{Header: copyHeader, Meta: copyMeta})
	if err != nil {
		t.Fatal(err)
	}
	// Out of order, and with holes between the numbers.
	third := sendPart(t, h.Driver, "k", id, 10_000, c)
	first := sendPart(t, h.Driver, "k", id, 1, a)
	second := sendPart(t, h.Driver, "k", id, 7, b)
	made := complete(t, h.Driver, "k", id, first, second, third)
	want := slices.Concat(a, b, c)
	r, got := read(t, h.Driver, "k", blob.GetOptions{})
	if !bytes.Equal(got, want) {
		t.Errorf("got %d other bytes, want %d", len(got), len(want))
	}
	if r.ETag != made.ETag || r.Size != int64(len(want)) || r.Header != copyHeader || !maps.Equal(r.Meta, copyMeta) {
		t.Errorf("complete gave %+v, get %+v", made, r.Object)
	}
	if h.Class == blob.ClassContent && (r.Parts != 3 || head(t, h.Driver, "k").Parts != 3) {
		t.Errorf("get gave %d parts, head %d, want 3", r.Parts, head(t, h.Driver, "k").Parts)
	}
	if _, got := read(t, h.Driver, "k", blob.GetOptions{Range: &blob.Range{Offset: int64(h.size()) - 5, Length: 10}}); !bytes.Equal(got, want[h.size()-5:h.size()+5]) {
		t.Error("a range over two parts has other bytes")
	}
}

func testUploadUnseen(t *testing.T, h Harness) {
	id := begin(t, h.Driver, "dir/k")
	p := sendPart(t, h.Driver, "dir/k", id, 1, []byte("x"))
	wantBody(t, h.Driver, "dir/k", nil)
	wantNames(t, h.Driver, blob.ListOptions{})
	wantNames(t, h.Driver, blob.ListOptions{Delimiter: "/"})
	complete(t, h.Driver, "dir/k", id, p)
	wantBody(t, h.Driver, "dir/k", []byte("x"))
	wantNames(t, h.Driver, blob.ListOptions{}, "dir/k")
	_, err := h.Driver.CompleteUpload(t.Context(), "dir/k", id, []blob.Part{p}, blob.Condition{})
	if err != nil { // some servers answer the repetition with success
		wantError(t, "complete again", err, blob.ErrNoUpload, errs.NotFound)
	}
	wantBody(t, h.Driver, "dir/k", []byte("x"))
}

func testPartTwice(t *testing.T, h Harness) {
	id := begin(t, h.Driver, "k")
	first := sendPart(t, h.Driver, "k", id, 1, content(20, 1))
	again := sendPart(t, h.Driver, "k", id, 1, content(30, 2))
	_, err := h.Driver.CompleteUpload(t.Context(), "k", id, []blob.Part{first}, blob.Condition{})
	wantError(t, "complete with the first", err, blob.ErrPart, errs.Invalid)
	wantBody(t, h.Driver, "k", nil)
	complete(t, h.Driver, "k", id, again)
	wantBody(t, h.Driver, "k", content(30, 2))
}

func testPartLeftOut(t *testing.T, h Harness) {
	id := begin(t, h.Driver, "k")
	sendPart(t, h.Driver, "k", id, 1, content(20, 1))
	second := sendPart(t, h.Driver, "k", id, 2, content(30, 2))
	complete(t, h.Driver, "k", id, second)
	wantBody(t, h.Driver, "k", content(30, 2))
}

func testPartWrong(t *testing.T, h Harness) {
	id := begin(t, h.Driver, "k")
	body := content(h.size(), 1)
	p := sendPart(t, h.Driver, "k", id, 1, body)
	last := sendPart(t, h.Driver, "k", id, 3, []byte("end"))
	for what, parts := range map[string][]blob.Part{
		"missing":          {p, {Number: 2, Size: 3, ETag: last.ETag}},
		"with another tag": {{Number: 1, Size: p.Size, ETag: last.ETag}, last},
	} {
		_, err := h.Driver.CompleteUpload(t.Context(), "k", id, parts, blob.Condition{})
		wantError(t, "a part "+what, err, blob.ErrPart, errs.Invalid)
		wantBody(t, h.Driver, "k", nil)
	}
	complete(t, h.Driver, "k", id, p, last)
	wantBody(t, h.Driver, "k", append(body, "end"...))
}

func testPartTooSmall(t *testing.T, h Harness) {
	id := begin(t, h.Driver, "k")
	p := sendPart(t, h.Driver, "k", id, 1, content(int(h.MinPart)-1, 1))
	last := sendPart(t, h.Driver, "k", id, 2, []byte("end"))
	_, err := h.Driver.CompleteUpload(t.Context(), "k", id, []blob.Part{p, last}, blob.Condition{})
	wantError(t, "complete", err, blob.ErrTooSmall, errs.Invalid)
	wantBody(t, h.Driver, "k", nil)
}

func testAbort(t *testing.T, h Harness) {
	put(t, h.Driver, "k", []byte("old"), blob.PutOptions{})
	id := begin(t, h.Driver, "k")
	p := sendPart(t, h.Driver, "k", id, 1, []byte("x"))
	if err := h.Driver.AbortUpload(t.Context(), "k", id); err != nil {
		t.Fatal(err)
	}
	wantNoUpload(t, h, "k", id, p)
	wantBody(t, h.Driver, "k", []byte("old"))
}

func testNoUpload(t *testing.T, h Harness) {
	id := begin(t, h.Driver, "k")
	p := sendPart(t, h.Driver, "k", id, 1, []byte("x"))
	wantNoUpload(t, h, "another", id, p)
	wantBody(t, h.Driver, "another", nil)
	if parts, _, err := h.Driver.ListParts(t.Context(), "k", id, 0, 0); err != nil || len(parts) != 1 {
		t.Errorf("the upload has %+v, %v", parts, err)
	}
}

// wantNoUpload checks that no method knows the upload.
func wantNoUpload(t *testing.T, h Harness, key, id string, p blob.Part) {
	t.Helper()
	_, err := h.Driver.UploadPart(t.Context(), key, id, 2, bytes.NewReader([]byte("y")), 1)
	wantError(t, "upload part", err, blob.ErrNoUpload, errs.NotFound)
	_, _, err = h.Driver.ListParts(t.Context(), key, id, 0, 0)
	wantError(t, "list parts", err, blob.ErrNoUpload, errs.NotFound)
	_, err = h.Driver.CompleteUpload(t.Context(), key, id, []blob.Part{p}, blob.Condition{})
	wantError(t, "complete upload", err, blob.ErrNoUpload, errs.NotFound)
	wantError(t, "abort upload", h.Driver.AbortUpload(t.Context(), key, id), blob.ErrNoUpload, errs.NotFound)
}

func testListParts(t *testing.T, h Harness) {
	id := begin(t, h.Driver, "k")
	numbers := []int{9, 1, 5, 3, 100}
	sent := map[int]blob.Part{}
	for _, n := range numbers {
		sent[n] = sendPart(t, h.Driver, "k", id, n, content(n, uint64(n)))
	}
	slices.Sort(numbers)
	for _, limit := range []int{0, 2, 5} {
		var got []int
		for after, more := 0, true; more; {
			var parts []blob.Part
			var err error
			parts, more, err = h.Driver.ListParts(t.Context(), "k", id, after, limit)
			if err != nil || limit > 0 && len(parts) > limit || more && len(parts) == 0 {
				t.Fatalf("limit %d: %d parts, more %v, %v", limit, len(parts), more, err)
			}
			for _, p := range parts {
				if p.Number <= after {
					t.Fatalf("limit %d: part %d came behind %d", limit, p.Number, after)
				}
				after = p.Number
				got = append(got, p.Number)
				if p.Size != sent[p.Number].Size || p.ETag != sent[p.Number].ETag {
					t.Errorf("listed %+v, sent %+v", p, sent[p.Number])
				}
			}
		}
		if !slices.Equal(got, numbers) {
			t.Errorf("limit %d: parts %d, want %d", limit, got, numbers)
		}
	}
}

func testListUploads(t *testing.T, h Harness) {
	want := map[string]string{}
	for _, key := range []string{"m/b", "m/a", "m/a", "n/c", "m/b/d"} {
		want[begin(t, h.Driver, key)] = key
	}
	if len(want) != 5 {
		t.Fatalf("ids repeat: %q", want)
	}
	check := func(prefix string, keys ...string) {
		t.Helper()
		all, err := h.Driver.ListUploads(t.Context(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, u := range all {
			got = append(got, u.Key)
			if want[u.ID] != u.Key || u.Started.IsZero() {
				t.Errorf("listed %+v", u)
			}
		}
		if !slices.Equal(got, keys) {
			t.Errorf("uploads under %q: %q, want %q", prefix, got, keys)
		}
	}
	check("", "m/a", "m/a", "m/b", "m/b/d", "n/c")
	check("m/", "m/a", "m/a", "m/b", "m/b/d")
	check("m/b", "m/b", "m/b/d")
	check("x")
	for id, key := range want {
		if key == "m/b" {
			complete(t, h.Driver, key, id, sendPart(t, h.Driver, key, id, 1, []byte("x")))
		}
		if key == "m/b/d" {
			if err := h.Driver.AbortUpload(t.Context(), key, id); err != nil {
				t.Error(err)
			}
		}
	}
	check("m/", "m/a", "m/a")
}

func testCompleteCondition(t *testing.T, h Harness) {
	id := begin(t, h.Driver, "k")
	p := sendPart(t, h.Driver, "k", id, 1, []byte("new"))
	finish := func(c blob.Condition) error {
		_, err := h.Driver.CompleteUpload(t.Context(), "k", id, []blob.Part{p}, c)
		return err
	}
	old := put(t, h.Driver, "other", []byte("other"), blob.PutOptions{})
	wantKind(t, "match where nothing is", finish(match(old)), errs.Conflict)
	wantBody(t, h.Driver, "k", nil)
	old = put(t, h.Driver, "k", []byte("old"), blob.PutOptions{})
	wantKind(t, "absent over an object", finish(absent), errs.Conflict)
	wantBody(t, h.Driver, "k", []byte("old"))
	if err := finish(match(old)); err != nil {
		t.Errorf("match of the current tag: %v", err)
	}
	wantBody(t, h.Driver, "k", []byte("new"))
}

func testCompleteRace(t *testing.T, h Harness) {
	const uploads = 5
	for round := range h.rounds(10) {
		key := fmt.Sprintf("k%d", round)
		ids, parts := make([]string, uploads), make([]blob.Part, uploads)
		for i := range ids {
			ids[i] = begin(t, h.Driver, key)
			parts[i] = sendPart(t, h.Driver, key, ids[i], 1, fmt.Append(nil, "of ", i))
		}
		winner := wantWinner(t, race(uploads, func(i int) error {
			_, err := h.Driver.CompleteUpload(t.Context(), key, ids[i], parts[i:i+1], absent)
			return err
		}))
		wantBody(t, h.Driver, key, fmt.Append(nil, "of ", winner))
	}
}

func testPartsAtOnce(t *testing.T, h Harness) {
	const count = 4
	id := begin(t, h.Driver, "k")
	parts := make([]blob.Part, count)
	var want []byte
	for i := range count {
		want = append(want, content(h.size(), uint64(i))...)
	}
	for _, err := range race(count, func(i int) (err error) {
		b := want[i*h.size() : (i+1)*h.size()]
		parts[i], err = h.Driver.UploadPart(t.Context(), "k", id, i+1, bytes.NewReader(b), int64(len(b)))
		return err
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	complete(t, h.Driver, "k", id, parts...)
	wantBody(t, h.Driver, "k", want)
}
