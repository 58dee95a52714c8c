package drivertest

import (
	"slices"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// oddKeys are keys that a URL, an XML document, a header, a file system or a
// sort order is known to spoil.
var oddKeys = []string{
	"a b", "a+b", "a%20b", "ü", "u\u0308", "日本", "\uFFFD", "\U0001F600", "a//b", "a/", "/a", "//", "%2F", "a%2Fb", "%", "a&b", "&amp;", "<a>",
	"a?b", "a#b", `a"b`, "a'b", `a\b`, "a;b", "a:b", "a*b", "a=b", "a,b", "(a)", "[a]", "a~b", "~", "a|b", "$a", "a@b", "!", " a", "a ", "a.", "..a", ".hidden",
	".", "..", "a/.", "a/..", "./a", "../a", "a/./b", "a/../b", "...", "A", "a", "a-b", "a/b", "a0", "CON", "a\tb", "?versionId=1", "?uploads",
	strings.Repeat("k", 1000), strings.Repeat("long/", 199) + "12345", strings.Repeat("ü", 500), strings.Repeat("a%", 500),
}

func testOddKeys(t *testing.T, h Harness) {
	for _, key := range oddKeys {
		t.Run(title(key), func(t *testing.T) {
			if h.takes(key) {
				testOneKey(t, h, key)
				return
			}
			_, err := try(t, h.Driver, key, "x", blob.Condition{})
			if k := errs.KindOf(err); err == nil || k != errs.Invalid && k != errs.Unsupported {
				t.Errorf("put: got %v, want Invalid or Unsupported", err)
			}
			wantNames(t, h.Driver, blob.ListOptions{})
		})
	}
	keys := h.together(oddKeys)
	for i, key := range keys {
		put(t, h.Driver, key, content(20+i, uint64(i)), blob.PutOptions{})
	}
	wantNames(t, h.Driver, blob.ListOptions{Limit: 7}, keys...)
	wantNames(t, h.Driver, blob.ListOptions{Limit: 3, Delimiter: "/"}, rollUp(keys, "", "/", "")...)
	for i, key := range keys {
		wantBody(t, h.Driver, key, content(20+i, uint64(i)))
		del(t, h.Driver, key)
	}
	wantNames(t, h.Driver, blob.ListOptions{})
}

// testOneKey puts a key through every method, alone in the bucket.
func testOneKey(t *testing.T, h Harness, key string) {
	body := []byte("of " + key)
	stored := put(t, h.Driver, key, body, blob.PutOptions{})
	wantBody(t, h.Driver, key, body)
	if o := head(t, h.Driver, key); o.Key != key || o.ETag != stored.ETag {
		t.Errorf("head gave key %.64q, ETag %q", o.Key, o.ETag)
	}
	wantNames(t, h.Driver, blob.ListOptions{}, key)
	wantNames(t, h.Driver, blob.ListOptions{Prefix: key}, key)
	wantNames(t, h.Driver, blob.ListOptions{After: key})
	const other = "~~copy"
	if _, err := h.Driver.Copy(t.Context(), other, h.Driver, key, blob.CopyOptions{}); err != nil {
		t.Errorf("copy from: %v", err)
	}
	wantBody(t, h.Driver, other, body)
	del(t, h.Driver, key)
	wantBody(t, h.Driver, key, nil)
	if _, err := h.Driver.Copy(t.Context(), key, h.Driver, other, blob.CopyOptions{}); err != nil {
		t.Errorf("copy to: %v", err)
	}
	wantBody(t, h.Driver, key, body)
	del(t, h.Driver, other)
	del(t, h.Driver, key)
	id, err := h.Driver.CreateUpload(t.Context(), key, blob.PutOptions{})
	if err != nil {
		t.Fatalf("create upload: %v", err)
	}
	part := sendPart(t, h.Driver, key, id, 1, body)
	if _, err := h.Driver.CompleteUpload(t.Context(), key, id, []blob.Part{part}, blob.Condition{}); err != nil {
		t.Fatalf("complete upload: %v", err)
	}
	wantBody(t, h.Driver, key, body)
	del(t, h.Driver, key)
	wantNames(t, h.Driver, blob.ListOptions{})
}

// title gives a name for a subtest.
func title(key string) string {
	if len(key) > 30 {
		return key[:12] + "..."
	}
	return key
}

// together gives those of the keys, in order, that the server can hold at
// once.
func (h Harness) together(keys []string) []string {
	var fit []string
	for _, key := range keys {
		above := func(other string) bool {
			return strings.HasPrefix(other, strings.TrimSuffix(key, "/")+"/") && other != key
		}
		if h.takes(key) && (!h.Tree || !slices.ContainsFunc(keys, above)) {
			fit = append(fit, key)
		}
	}
	slices.Sort(fit)
	return fit
}
