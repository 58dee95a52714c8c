package drivertest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// content gives n bytes that another seed does not give.
func content(n int, seed uint64) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

func put(t *testing.T, d blob.Driver, key string, body []byte, o blob.PutOptions) blob.Object {
	t.Helper()
	obj, err := d.Put(t.Context(), key, bytes.NewReader(body), int64(len(body)), o)
	if err != nil {
		t.Fatalf("put %.64q: %v", key, err)
	}
	if obj.Key != key || obj.Size != int64(len(body)) || obj.ETag == "" || strings.HasPrefix(obj.ETag, `"`) {
		t.Errorf("put %.64q of %d bytes gave key %.64q, size %d, ETag %q", key, len(body), obj.Key, obj.Size, obj.ETag)
	}
	return obj
}

// try puts and gives the error.
func try(t *testing.T, d blob.Driver, key, body string, c blob.Condition) (blob.Object, error) {
	t.Helper()
	return d.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{If: c})
}

func head(t *testing.T, d blob.Driver, key string) blob.Object {
	t.Helper()
	obj, err := d.Head(t.Context(), key)
	if err != nil {
		t.Fatalf("head %.64q: %v", key, err)
	}
	return obj
}

func del(t *testing.T, d blob.Driver, key string) {
	t.Helper()
	if err := d.Delete(t.Context(), key, blob.DeleteOptions{}); err != nil {
		t.Fatalf("delete %.64q: %v", key, err)
	}
}

func read(t *testing.T, d blob.Driver, key string, o blob.GetOptions) (*blob.Reader, []byte) {
	t.Helper()
	r, err := d.Get(t.Context(), key, o)
	if err != nil {
		t.Fatalf("get %.64q: %v", key, err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("read %.64q: %v", key, err)
	}
	return r, b
}

// wantBody checks an object's bytes; nil means that it is not there.
func wantBody(t *testing.T, d blob.Driver, key string, want []byte) {
	t.Helper()
	if want == nil {
		_, err := d.Head(t.Context(), key)
		wantKind(t, "head of an absent object", err, errs.NotFound)
		return
	}
	if _, got := read(t, d, key, blob.GetOptions{}); !bytes.Equal(got, want) {
		t.Errorf("object %.64q has %d bytes %.20q, want %d bytes %.20q", key, len(got), got, len(want), want)
	}
}

func wantKind(t *testing.T, what string, err error, kind errs.Kind) {
	t.Helper()
	if !errs.Is(err, kind) {
		t.Errorf("%s: got %v, want an error of kind %s", what, err, kind)
	}
}

func wantError(t *testing.T, what string, err, want error, kind errs.Kind) {
	t.Helper()
	wantKind(t, what, err, kind)
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %q in its chain", what, err, want)
	}
}
