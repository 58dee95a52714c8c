package faultblob

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

const text = "0123456789"

func open(t *testing.T, f Fault) *blob.Bucket {
	t.Helper()
	d := Wrap(memblob.Open(memblob.Options{}))
	mustPut(t, d, "k", text)
	mustPut(t, d, "empty", "")
	inject(t, d, f)
	return blob.New("b", d)
}

func get(t *testing.T, b *blob.Bucket, key string, r *blob.Range) (string, error) {
	t.Helper()
	body, err := b.Get(t.Context(), key, blob.GetOptions{Range: r})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(iotest.OneByteReader(body))
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	return string(got), err
}

func TestATruncatedBodyIsAnErrorOfTheBucket(t *testing.T) {
	for _, tt := range []struct {
		at   int64
		r    *blob.Range
		want string
	}{
		{0, nil, "01234"}, {3, nil, "012"}, {100, nil, "012345678"}, {1, &blob.Range{Offset: 4, Length: 3}, "4"},
	} {
		got, err := get(t, open(t, Fault{Kind: Truncated, At: tt.at}), "k", tt.r)
		if got != tt.want || !errors.Is(err, io.ErrUnexpectedEOF) || !errs.Is(err, errs.Unavailable) {
			t.Errorf("at %d: got %q, %v", tt.at, got, err)
		}
	}
	if got, err := get(t, open(t, Fault{Kind: Truncated}), "empty", nil); got != "" || err != nil {
		t.Errorf("an empty body: %q, %v", got, err)
	}
}

func TestACorruptBodyHasOneWrongBit(t *testing.T) {
	for at, want := range map[int64]string{0: "0123446789", 2: "0133456789", 100: "0123456788"} {
		if got, err := get(t, open(t, Fault{Kind: Corrupt, At: at}), "k", nil); got != want || err != nil {
			t.Errorf("at %d: got %q, %v", at, got, err)
		}
	}
	seen := map[string]bool{}
	b := open(t, Fault{Kind: Corrupt, Rand: rand.New(rand.NewPCG(1, 1))})
	for range 200 {
		got, err := get(t, b, "k", nil)
		if got == text || len(got) != len(text) || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		seen[got] = true
	}
	if len(seen) != len(text) {
		t.Errorf("%d places in 200 reads", len(seen))
	}
	wrapped := Wrap(memblob.Open(memblob.Options{}))
	mustPut(t, wrapped, "k", text)
	i := inject(t, wrapped, Fault{Kind: Corrupt})
	if got := content(t, wrapped, "k"); got != "0123446789" { // in one read
		t.Errorf("got %q", got)
	}
	i.Clear()
	if got := content(t, wrapped, "k"); got != text {
		t.Errorf("the stored object changed: %q", got)
	}
}

func TestAStalledBodyWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, Fault{Kind: Stalled, At: 4, For: MaxAge})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		r, err := b.Get(ctx, "k", blob.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if string(got) != text[:4] || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("got %q, %v after %s", got, err, time.Since(start))
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}

		r, err = b.Get(t.Context(), "k", blob.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		time.AfterFunc(time.Second, func() { _ = r.Close() }) // the reader sees what it does
		if _, err := io.ReadAll(r); !errs.Is(err, errs.Unavailable) || time.Since(start) != time.Second {
			t.Errorf("closed: %v after %s", err, time.Since(start))
		}

		r, err = b.Get(t.Context(), "k", blob.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		if _, err := io.Copy(&strings.Builder{}, r); !errs.Is(err, errs.Unavailable) || time.Since(start) != MaxAge {
			t.Errorf("left alone: %v after %s", err, time.Since(start))
		}
	})
}
