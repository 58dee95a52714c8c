package drivertest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

var failureTests = []test{
	{"ABodyThatFailsStoresNothing", testBodyFails, nil},
	{"ABodyOfWrongLengthStoresNothing", testBodyLength, nil},
	{"APartThatFailsStoresNothing", testPartFails, nil},
	{"AnEndedContextChangesNothing", testEndedContext, nil},
	{"AContextThatEndsMidBodyStoresNothing", testContextEndsMidBody, nil},
	{"AContextThatEndsStopsAReader", testContextStopsReader, nil},
	{"AnOverwriteLeavesAReaderWhole", testOverwriteUnderReader, nil},
}

var errBody = errors.New("the body's own failure")

// failing gives the bytes, then errBody.
func failing(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b), broken{}) }

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBody }

// A failure is tried where there is no object, and over one.
func overNothingAndOld(t *testing.T, h Harness, f func(t *testing.T, key string)) {
	old := content(100, 1)
	for name, before := range map[string][]byte{"new": nil, "old": old} {
		t.Run(name, func(t *testing.T) {
			if before != nil {
				put(t, h.Driver, name, before, blob.PutOptions{Meta: map[string]string{"a": "1"}})
			}
			f(t, name)
			wantBody(t, h.Driver, name, before)
			if before == nil {
				wantNames(t, h.Driver, blob.ListOptions{Prefix: name})
			} else if o := head(t, h.Driver, name); o.Meta["a"] != "1" {
				t.Errorf("the old object's metadata is %q", o.Meta)
			}
		})
	}
}

func testBodyFails(t *testing.T, h Harness) {
	for _, size := range []int{1, 1000, 1 << 20, 6 << 20} {
		overNothingAndOld(t, h, func(t *testing.T, key string) {
			b := content(size, 2)
			for _, given := range []int{0, size / 2, size - 1} {
				_, err := h.Driver.Put(t.Context(), key, failing(b[:given]), int64(size), blob.PutOptions{})
				if !errors.Is(err, errBody) {
					t.Errorf("failed after %d of %d bytes: got %v, want the body's error in its chain", given, size, err)
				}
			}
			// The body fails behind its last byte: that is found by the Bucket.
			_, err := blob.New("b", h.Driver).Put(t.Context(), key, failing(b), int64(size), blob.PutOptions{})
			if !errors.Is(err, errBody) {
				t.Errorf("failed after all %d bytes: got %v, want the body's error in its chain", size, err)
			}
		})
	}
}

func testBodyLength(t *testing.T, h Harness) {
	b := content(100_000, 2)
	bucket := blob.New("b", h.Driver)
	overNothingAndOld(t, h, func(t *testing.T, key string) {
		for _, given := range []int{0, 1, 50_000, 99_999} {
			_, err := h.Driver.Put(t.Context(), key, bytes.NewReader(b[:given]), 100_000, blob.PutOptions{})
			wantError(t, "a short body to the driver", err, blob.ErrShort, errs.Invalid)
			_, err = bucket.Put(t.Context(), key, bytes.NewReader(b[:given]), 100_000, blob.PutOptions{})
			wantError(t, "a short body to the bucket", err, blob.ErrShort, errs.Invalid)
		}
		for _, declared := range []int64{0, 1, 99_999} {
			_, err := bucket.Put(t.Context(), key, bytes.NewReader(b), declared, blob.PutOptions{})
			wantKind(t, "a long body to the bucket", err, errs.Invalid)
		}
	})
}

func testPartFails(t *testing.T, h Harness) {
	bucket := blob.New("b", h.Driver)
	id := begin(t, h.Driver, "k")
	b := content(10_000, 2)
	_, err := h.Driver.UploadPart(t.Context(), "k", id, 1, failing(b[:5000]), 10_000)
	if !errors.Is(err, errBody) {
		t.Errorf("a body that fails: got %v", err)
	}
	_, err = h.Driver.UploadPart(t.Context(), "k", id, 2, bytes.NewReader(b[:5000]), 10_000)
	wantError(t, "a short body", err, blob.ErrShort, errs.Invalid)
	_, err = bucket.UploadPart(t.Context(), "k", id, 3, failing(b), 10_000)
	if !errors.Is(err, errBody) {
		t.Errorf("a body that fails at its end: got %v", err)
	}
	_, err = bucket.UploadPart(t.Context(), "k", id, 4, bytes.NewReader(b), 5000)
	wantKind(t, "a long body", err, errs.Invalid)
	parts, more, err := h.Driver.ListParts(t.Context(), "k", id, 0, 0)
	if len(parts) != 0 || more || err != nil {
		t.Errorf("parts %+v, more %v, %v; want none", parts, more, err)
	}
}

func testEndedContext(t *testing.T, h Harness) {
	put(t, h.Driver, "k", []byte("old"), blob.PutOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := h.Driver
	for name, call := range map[string]func() error{
		"head": func() error { _, err := d.Head(ctx, "k"); return err },
		"get":  func() error { _, err := d.Get(ctx, "k", blob.GetOptions{}); return err },
		"put": func() error {
			_, err := d.Put(ctx, "k", bytes.NewReader([]byte("new")), 3, blob.PutOptions{})
			return err
		},
		"copy":          func() error { _, err := d.Copy(ctx, "new", d, "k", blob.CopyOptions{}); return err },
		"delete":        func() error { return d.Delete(ctx, "k", blob.DeleteOptions{}) },
		"list":          func() error { _, err := d.List(ctx, blob.ListOptions{}); return err },
		"create upload": func() error { _, err := d.CreateUpload(ctx, "k", blob.PutOptions{}); return err },
	} {
		err := call()
		wantError(t, name, err, context.Canceled, errs.Unavailable)
	}
	wantBody(t, d, "k", []byte("old"))
	wantNames(t, d, blob.ListOptions{}, "k")
}

// ending is a body that ends its call's context when half of it was read, and
// goes on.
type ending struct {
	io.Reader
	left   int
	cancel context.CancelFunc
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	before := e.left
	if e.left -= n; before > 0 && e.left <= 0 {
		e.cancel()
		time.Sleep(100 * time.Millisecond) // a client over a network takes note of it beside the body
	}
	return n, err
}

func testContextEndsMidBody(t *testing.T, h Harness) {
	for _, size := range []int{1000, 6 << 20} {
		overNothingAndOld(t, h, func(t *testing.T, key string) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			body := &ending{Reader: bytes.NewReader(content(size, 2)), left: size / 2, cancel: cancel}
			// Byte by byte where it is short, so that half is seen as half.
			_, err := h.Driver.Put(ctx, key, slowly{body, max(1, size/64)}, int64(size), blob.PutOptions{})
			wantError(t, "put", err, context.Canceled, errs.Unavailable)
		})
	}
}

// slowly gives at most n bytes at once.
type slowly struct {
	io.Reader
	n int
}

func (s slowly) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.n)]) }

func testContextStopsReader(t *testing.T, h Harness) {
	body := content(8<<20, 1)
	put(t, h.Driver, "k", body, blob.PutOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := h.Driver.Get(ctx, "k", blob.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }() // the read has failed already
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	cancel()
	rest, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(rest, body[1000:]) {
		t.Errorf("%d bytes came and no error", len(rest))
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error in its chain", err)
	}
}

func testOverwriteUnderReader(t *testing.T, h Harness) {
	const size = 8 << 20
	older, newer := content(size, 1), content(size, 2)
	for name, change := range map[string]func(){
		"overwrite": func() { put(t, h.Driver, "overwrite", newer, blob.PutOptions{}) },
		"shorter":   func() { put(t, h.Driver, "shorter", newer[:10], blob.PutOptions{}) },
		"delete":    func() { del(t, h.Driver, "delete") },
	} {
		t.Run(name, func(t *testing.T) {
			put(t, h.Driver, name, older, blob.PutOptions{})
			r, err := h.Driver.Get(t.Context(), name, blob.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = r.Close() }() // what matters was read
			var got bytes.Buffer
			if _, err := io.CopyN(&got, r, 1000); err != nil {
				t.Fatal(err)
			}
			change()
			_, err = io.Copy(&got, r)
			if !bytes.HasPrefix(older, got.Bytes()) || err == nil && got.Len() != size {
				t.Errorf("read %d bytes that are not the old object's, and %v", got.Len(), err)
			}
		})
	}
}
