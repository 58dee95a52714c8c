package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

var concurrencyTests = []test{
	{"ReadersSeeWholeWrites", testWholeWrites, nil},
	{"AllMethodsMayRunAtOnce", testAllAtOnce, nil},
}

// letter gives a body that shows by itself when it is mixed with another: one
// letter, as often as its length says.
func letter(i int) []byte { return bytes.Repeat([]byte{'a' + byte(i)}, 20_000+i*10_000) }

func whole(b []byte) bool {
	return len(b) > 0 && b[0] >= 'a' && b[0] < 'a'+26 && bytes.Equal(b, letter(int(b[0]-'a')))
}

func testWholeWrites(t *testing.T, h Harness) {
	const writers, readers = 3, 4
	put(t, h.Driver, "k", letter(0), blob.PutOptions{})
	each := h.rounds(30)
	for i, err := range race(writers+readers, func(i int) error {
		for range each {
			if i < writers {
				b := letter(i)
				_, err := h.Driver.Put(t.Context(), "k", bytes.NewReader(b), int64(len(b)), blob.PutOptions{Meta: map[string]string{"letter": string(b[:1])}})
				if err != nil {
					return err
				}
				continue
			}
			if err := readWhole(t.Context(), h.Driver, "k"); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func readWhole(ctx context.Context, d blob.Driver, key string) error {
	r, err := d.Get(ctx, key, blob.GetOptions{})
	if err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	switch err := errors.Join(err, r.Close()); {
	case err != nil:
		return err
	case !whole(b) || int64(len(b)) != r.Size || r.Meta["letter"] != "" && r.Meta["letter"] != string(b[:1]):
		return fmt.Errorf("read a mixture: %d bytes of %.10q, told were %d bytes, metadata %q", len(b), b, r.Size, r.Meta)
	}
	return nil
}

// testAllAtOnce looks for data races and for errors that no order explains.
func testAllAtOnce(t *testing.T, h Harness) {
	const workers = 6
	each := h.rounds(40)
	for w, err := range race(workers, func(w int) error {
		rng := rand.New(rand.NewPCG(uint64(w), 1))
		for range each {
			if err := oneOfAll(t, h.Driver, rng); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("worker %d: %v", w, err)
		}
	}
	for _, o := range list(t, h.Driver, blob.ListOptions{}).Objects {
		if err := readWhole(t.Context(), h.Driver, o.Key); err != nil {
			t.Errorf("%s: %v", o.Key, err)
		}
	}
}

// oneOfAll makes one random call. Only what another worker's delete explains
// is no error.
func oneOfAll(t *testing.T, d blob.Driver, rng *rand.Rand) error {
	ctx := t.Context()
	key, other := fmt.Sprint("k", rng.IntN(5)), fmt.Sprint("k", rng.IntN(5))
	b := letter(rng.IntN(5))
	var err error
	switch what := rng.IntN(10); {
	case what < 3:
		_, err = d.Put(ctx, key, bytes.NewReader(b), int64(len(b)), blob.PutOptions{})
	case what < 6:
		err = readWhole(ctx, d, key)
	case what == 6:
		err = d.Delete(ctx, key, blob.DeleteOptions{})
	case what == 7 && key != other:
		_, err = d.Copy(ctx, key, d, other, blob.CopyOptions{})
	case what == 8:
		err = uploadWhole(ctx, d, key, b)
	default:
		var p blob.Page
		p, err = d.List(ctx, blob.ListOptions{Limit: 3})
		for _, o := range p.Objects {
			if !strings.HasPrefix(o.Key, "k") || o.Size < 20_000 {
				return fmt.Errorf("listed %+v", o)
			}
		}
	}
	if errs.Is(err, errs.NotFound) {
		return nil
	}
	return err
}

func uploadWhole(ctx context.Context, d blob.Driver, key string, b []byte) error {
	id, err := d.CreateUpload(ctx, key, blob.PutOptions{})
	if err != nil {
		return err
	}
	p, err := d.UploadPart(ctx, key, id, 1, bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return err
	}
	_, err = d.CompleteUpload(ctx, key, id, []blob.Part{p}, blob.Condition{})
	return err
}
