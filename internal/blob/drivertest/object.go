package drivertest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

var objectTests = []test{
	{"GetGivesWhatWasPut", testGetGivesWhatWasPut, nil},
	{"HeadersComeBackAsTheyCame", testHeaders, nil},
	{"MetadataComesBackAsItCame", testMetadata, nil},
	{"AnOverwriteReplacesAll", testOverwriteReplacesAll, nil},
	{"ModifiedIsTheTimeOfTheWrite", testModified, unless(func(h Harness) bool { return h.Modified }, "a clock to trust")},
	{"RangesGiveTheirBytes", testRanges, nil},
	{"ARangeWithoutBytesIsErrRange", testEmptyRanges, nil},
	{"GetWithMatchReadsOnlyThat", testGetMatch, nil},
	{"WhatIsNotThereIsNotFound", testNotFound, nil},
	{"DeletedIsNotFound", testDelete, nil},
	{"AReaderMayBeGivenUp", testReaderGivenUp, nil},
	{"AReaderMayBeClosedWhileItIsRead", testReaderClosed, nil},
	{"OddKeysAreKeysLikeOthers", testOddKeys, nil},
}

func testGetGivesWhatWasPut(t *testing.T, h Harness) {
	for _, size := range []int{0, 1, 4 << 10, 5<<20 + 1} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			want := content(size, uint64(size))
			key := fmt.Sprintf("size/%d", size)
			stored := put(t, h.Driver, key, want, blob.PutOptions{})
			r, got := read(t, h.Driver, key, blob.GetOptions{})
			if !bytes.Equal(got, want) {
				t.Fatalf("got %d other bytes", len(got))
			}
			if r.Offset != 0 || r.Length != int64(size) || r.Partial {
				t.Errorf("get gave %d bytes from %d, partial %v", r.Length, r.Offset, r.Partial)
			}
			known := head(t, h.Driver, key)
			for call, o := range map[string]blob.Object{"get": r.Object, "head": known} {
				if o.Key != key || o.Size != int64(size) || o.ETag != stored.ETag || o.Version != stored.Version || o.Parts != 0 {
					t.Errorf("%s gave %+v, put gave %+v", call, o, stored)
				}
			}
		})
	}
}

func testHeaders(t *testing.T, h Harness) {
	want := blob.Header{
		Type: "text/plain; charset=utf-8", Encoding: "gzip", Disposition: `attachment; filename="a b.txt"`,
		Language: "de, en", CacheControl: "max-age=60, public", Expires: "Thu, 01 Dec 2033 16:00:00 GMT",
	}
	body := []byte("not gzip at all: nobody may unpack it")
	put(t, h.Driver, "k", body, blob.PutOptions{Header: want})
	r, got := read(t, h.Driver, "k", blob.GetOptions{})
	if r.Header != want {
		t.Errorf("get gave %+v, want %+v", r.Header, want)
	}
	if o := head(t, h.Driver, "k"); o.Header != want {
		t.Errorf("head gave %+v, want %+v", o.Header, want)
	}
	if !bytes.Equal(got, body) {
		t.Errorf("the body came as %q", got)
	}
}

func testMetadata(t *testing.T, h Harness) {
	for name, want := range map[string]map[string]string{
		"plain":     {"a": "1", "spare-op": "0f", "with-dash": "a b, c; d=\"e\"", "x_under.dot": "v"},
		"unicode":   {"name": "Zoë 日本 \U0001F600", "mixed": "ascii and ü"},
		"spaces":    {"lead": " x", "trail": "x ", "inner": "a  b"},
		"encoded":   {"q": "=?UTF-8?Q?=C3=A9?=", "b": "=?UTF-8?B?w6k=?=", "pct": "%C3%A9", "json": `{"a":"\u00e9"}`},
		"unusual":   {"nbsp": "\u00a0x", "latin1": "\u00e9\u00ff"},
		"the limit": {"n": strings.Repeat("v", blob.MaxMeta-1)},
	} {
		t.Run(name, func(t *testing.T) {
			if err := blob.CheckMeta(want); err != nil {
				t.Fatal(err)
			}
			put(t, h.Driver, "k", []byte("x"), blob.PutOptions{Meta: maps.Clone(want)})
			r, _ := read(t, h.Driver, "k", blob.GetOptions{})
			if !maps.Equal(r.Meta, want) {
				t.Errorf("get gave %q, want %q", r.Meta, want)
			}
			if o := head(t, h.Driver, "k"); !maps.Equal(o.Meta, want) {
				t.Errorf("head gave %q, want %q", o.Meta, want)
			}
		})
	}
}

func testOverwriteReplacesAll(t *testing.T, h Harness) {
	meta := map[string]string{"a": "1"}
	put(t, h.Driver, "k", []byte("the first, long"), blob.PutOptions{Meta: meta, Header: blob.Header{CacheControl: "no-store"}})
	meta["a"] = "changed by its owner"
	if o := head(t, h.Driver, "k"); o.Meta["a"] != "1" {
		t.Errorf("the metadata changed with the caller's map: %q", o.Meta)
	}
	put(t, h.Driver, "k", []byte("2"), blob.PutOptions{})
	o := head(t, h.Driver, "k")
	if o.Size != 1 || len(o.Meta) != 0 || o.Header.CacheControl != "" {
		t.Errorf("after an overwrite: %+v", o)
	}
	wantBody(t, h.Driver, "k", []byte("2"))
}

func testModified(t *testing.T, h Harness) {
	const slack = 5 * time.Second
	start := time.Now()
	put(t, h.Driver, "k", []byte("x"), blob.PutOptions{})
	o := head(t, h.Driver, "k")
	if o.Modified.Before(start.Add(-slack)) || o.Modified.After(time.Now().Add(slack)) {
		t.Errorf("modified %s, written %s", o.Modified, start)
	}
	p := list(t, h.Driver, blob.ListOptions{})
	if len(p.Objects) != 1 || p.Objects[0].Modified.Sub(o.Modified).Abs() > time.Second {
		t.Errorf("listed as %+v, head says %s", p.Objects, o.Modified)
	}
}

func testRanges(t *testing.T, h Harness) {
	body := content(1000, 1)
	put(t, h.Driver, "k", body, blob.PutOptions{})
	for _, tt := range []struct {
		r        blob.Range
		from, to int
	}{
		{blob.Range{Offset: 0, Length: 1}, 0, 1},
		{blob.Range{Offset: 0, Length: 1000}, 0, 1000},
		{blob.Range{Offset: 0, Length: -1}, 0, 1000},
		{blob.Range{Offset: 10, Length: 20}, 10, 30},
		{blob.Range{Offset: 999, Length: 1}, 999, 1000},
		{blob.Range{Offset: 990, Length: 100}, 990, 1000},
		{blob.Range{Offset: 990, Length: -1}, 990, 1000},
		{blob.Range{Offset: 1, Length: 1<<63 - 1}, 1, 1000},
		{blob.Range{Offset: -1, Length: -1}, 999, 1000},
		{blob.Range{Offset: -5, Length: 2}, 995, 1000},
		{blob.Range{Offset: -1000, Length: -1}, 0, 1000},
		{blob.Range{Offset: -5000, Length: -1}, 0, 1000},
		{blob.Range{Offset: -1 << 63, Length: -1}, 0, 1000},
	} {
		t.Run(fmt.Sprintf("%d+%d", tt.r.Offset, tt.r.Length), func(t *testing.T) {
			r, got := read(t, h.Driver, "k", blob.GetOptions{Range: &tt.r})
			if !bytes.Equal(got, body[tt.from:tt.to]) {
				t.Errorf("got %d bytes, want those from %d to %d", len(got), tt.from, tt.to)
			}
			if r.Offset != int64(tt.from) || r.Length != int64(tt.to-tt.from) || r.Size != 1000 || !r.Partial {
				t.Errorf("offset %d, length %d, size %d, partial %v", r.Offset, r.Length, r.Size, r.Partial)
			}
		})
	}
}

func testEmptyRanges(t *testing.T, h Harness) {
	put(t, h.Driver, "k", content(10, 1), blob.PutOptions{})
	put(t, h.Driver, "empty", nil, blob.PutOptions{})
	for _, tt := range []struct {
		key string
		r   blob.Range
	}{
		{"k", blob.Range{Offset: 10, Length: 1}},
		{"k", blob.Range{Offset: 10, Length: -1}},
		{"k", blob.Range{Offset: 1 << 40, Length: 5}},
		{"k", blob.Range{Offset: 3, Length: 0}},
		{"empty", blob.Range{Offset: 0, Length: -1}},
		{"empty", blob.Range{Offset: 0, Length: 1}},
		{"empty", blob.Range{Offset: -1, Length: -1}},
	} {
		t.Run(fmt.Sprintf("%s %d+%d", tt.key, tt.r.Offset, tt.r.Length), func(t *testing.T) {
			r, err := h.Driver.Get(t.Context(), tt.key, blob.GetOptions{Range: &tt.r})
			if err == nil {
				_ = r.Close()
			}
			wantError(t, "get", err, blob.ErrRange, errs.Invalid)
		})
	}
	r, err := h.Driver.Get(t.Context(), "absent", blob.GetOptions{Range: &blob.Range{Offset: 3, Length: 0}})
	if err == nil {
		_ = r.Close()
	}
	wantKind(t, "an empty range of an absent object", err, errs.NotFound)
}

func testGetMatch(t *testing.T, h Harness) {
	first := put(t, h.Driver, "k", []byte("one"), blob.PutOptions{})
	if _, got := read(t, h.Driver, "k", blob.GetOptions{Match: first.ETag}); string(got) != "one" {
		t.Errorf("got %q", got)
	}
	second := put(t, h.Driver, "k", []byte("two"), blob.PutOptions{})
	for what, o := range map[string]blob.GetOptions{
		"all":     {Match: first.ETag},
		"a range": {Match: first.ETag, Range: &blob.Range{Offset: 1, Length: 1}},
	} {
		r, err := h.Driver.Get(t.Context(), "k", o)
		if err == nil {
			_ = r.Close()
		}
		wantKind(t, what+" of another object", err, errs.Conflict)
	}
	if _, got := read(t, h.Driver, "k", blob.GetOptions{Match: second.ETag, Range: &blob.Range{Offset: 1, Length: 1}}); string(got) != "w" {
		t.Errorf("got %q", got)
	}
}

func testNotFound(t *testing.T, h Harness) {
	put(t, h.Driver, "dir/there", []byte("x"), blob.PutOptions{})
	for _, key := range []string{"absent", "dir", "dir/", "dir/ther", "dir/there2", "dir/there/below"} {
		if !h.takes(key) {
			continue
		}
		_, err := h.Driver.Head(t.Context(), key)
		wantKind(t, "head "+key, err, errs.NotFound)
		r, err := h.Driver.Get(t.Context(), key, blob.GetOptions{})
		if err == nil {
			_ = r.Close()
		}
		wantKind(t, "get "+key, err, errs.NotFound)
		_, err = h.Driver.Copy(t.Context(), "copy", h.Driver, key, blob.CopyOptions{})
		wantKind(t, "copy "+key, err, errs.NotFound)
		if err := h.Driver.Delete(t.Context(), key, blob.DeleteOptions{}); err != nil {
			t.Errorf("delete %s: %v", key, err)
		}
	}
	wantBody(t, h.Driver, "dir/there", []byte("x"))
	wantBody(t, h.Driver, "copy", nil)
}

func testDelete(t *testing.T, h Harness) {
	put(t, h.Driver, "dir/a", []byte("a"), blob.PutOptions{})
	put(t, h.Driver, "dir/b", []byte("b"), blob.PutOptions{})
	for range 2 {
		del(t, h.Driver, "dir/a")
		wantBody(t, h.Driver, "dir/a", nil)
	}
	_, err := h.Driver.Get(t.Context(), "dir/a", blob.GetOptions{})
	wantKind(t, "get of what was deleted", err, errs.NotFound)
	wantBody(t, h.Driver, "dir/b", []byte("b"))
	del(t, h.Driver, "dir/b")
	wantNames(t, h.Driver, blob.ListOptions{})
	wantNames(t, h.Driver, blob.ListOptions{Delimiter: "/"}) // no folder stays
	put(t, h.Driver, "dir/a", []byte("again"), blob.PutOptions{})
	wantBody(t, h.Driver, "dir/a", []byte("again"))
}

func testReaderGivenUp(t *testing.T, h Harness) {
	body := content(1<<20, 1)
	put(t, h.Driver, "k", body, blob.PutOptions{})
	for range 5 {
		r, err := h.Driver.Get(t.Context(), "k", blob.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var first [10]byte
		_, err = io.ReadFull(r, first[:])
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first[:], body[:10]) {
			t.Fatalf("began with %q", first)
		}
	}
	wantBody(t, h.Driver, "k", body)
}

func testReaderClosed(t *testing.T, h Harness) {
	body := content(8<<20, 1)
	put(t, h.Driver, "k", body, blob.PutOptions{})
	for range h.rounds(20) {
		r, err := h.Driver.Get(t.Context(), "k", blob.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, err := range race(2, func(i int) (err error) {
			if i == 0 {
				got, _ = io.ReadAll(r) // how far it came, and with what error, is open
				return nil
			}
			return r.Close()
		}) {
			if err != nil {
				t.Error(err)
			}
		}
		if !bytes.HasPrefix(body, got) {
			t.Errorf("read %d bytes that are not the object's", len(got))
		}
	}
}
