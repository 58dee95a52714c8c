package blob_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

func TestBodiesHaveTheirExactLength(t *testing.T) {
	boom := errors.New("boom")
	fails := func(s string) io.Reader { return io.MultiReader(strings.NewReader(s), iotest.ErrReader(boom)) }
	b := bucket()
	id, err := b.CreateUpload(t.Context(), "u", blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		body io.Reader
		size int64
		want error // nil = Invalid of any kind
	}{
		"short":                    {strings.NewReader("1234"), 5, blob.ErrShort},
		"empty for some":           {strings.NewReader(""), 5, blob.ErrShort},
		"nil for some":             {nil, 5, blob.ErrShort},
		"long":                     {strings.NewReader("123456"), 5, nil},
		"some for empty":           {strings.NewReader("1"), 0, nil},
		"fails at once":            {fails(""), 5, boom},
		"fails in the middle":      {fails("123"), 5, boom},
		"fails at its very end":    {fails("12345"), 5, boom},
		"fails when it is empty":   {fails(""), 0, boom},
		"fails with its last byte": {iotest.DataErrReader(fails("12345")), 5, boom},
		"fails byte by byte":       {iotest.OneByteReader(fails("12345")), 5, boom},
		"never ends":               {io.MultiReader(strings.NewReader("12345"), idle{}), 5, io.ErrNoProgress},
	} {
		var data []byte
		if tt.body != nil {
			tt.body = io.TeeReader(tt.body, &writer{&data})
		}
		_, err := b.Put(t.Context(), "k", tt.body, tt.size, blob.PutOptions{})
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: put: got %v", name, err)
		}
		if tt.body != nil {
			body := io.MultiReader(strings.NewReader(string(data)), iotest.ErrReader(boom))
			if _, err := b.UploadPart(t.Context(), "u", id, 1, body, tt.size); err == nil {
				t.Errorf("%s: upload part: no error", name)
			}
		}
		if got := content(t, b, "k"); got != "" {
			t.Errorf("%s: there is %q", name, got)
		}
	}
	if parts, _, err := b.ListParts(t.Context(), "u", id, 0, 0); len(parts) != 0 || err != nil {
		t.Errorf("parts %+v, %v", parts, err)
	}
	for name, body := range map[string]io.Reader{
		"whole": strings.NewReader("12345"), "byte by byte": iotest.OneByteReader(strings.NewReader("12345")),
		"end with the data": iotest.DataErrReader(strings.NewReader("12345")), "halting": io.MultiReader(strings.NewReader("123"), &halting{}, strings.NewReader("45")),
	} {
		if _, err := b.Put(t.Context(), name, body, 5, blob.PutOptions{}); err != nil || content(t, b, name) != "12345" {
			t.Errorf("%s: %v", name, err)
		}
	}
	calls := b.Stats()
	calls.Calls(func(method string, _, failed uint64) {
		if failed != 0 {
			t.Errorf("%d failures of %s count as the provider's", failed, method)
		}
	})
}

// trusting takes what its body gives for what was declared.
type trusting struct {
	blob.Driver
	got []byte
	err error
}

func (d *trusting) Put(_ context.Context, _ string, body io.Reader, _ int64, _ blob.PutOptions) (blob.Object, error) {
	d.got, d.err = io.ReadAll(body)
	return blob.Object{}, d.err
}

func TestAWrongBodyIsNeverGivenWhole(t *testing.T) {
	boom := errors.New("boom")
	for name, tt := range map[string]struct {
		body io.Reader
		want error
	}{
		"short":         {strings.NewReader("1234"), blob.ErrShort},
		"long":          {strings.NewReader("123456"), nil},
		"fails":         {failing("123", boom), boom},
		"fails at end":  {failing("12345", boom), boom},
		"fails with it": {iotest.DataErrReader(failing("12345", boom)), boom},
		"ends wrapped":  {failing("12345", errs.Wrap(errs.Unavailable, io.EOF, "the line")), io.EOF},
	} {
		var d trusting
		_, err := blob.New("b", &d).Put(t.Context(), "k", tt.body, 5, blob.PutOptions{})
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) || len(d.got) >= 5 {
			t.Errorf("%s: the driver got %q and %v", name, d.got, err)
		}
	}
}

// idle gives nothing and no end.
type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// halting gives nothing for a while.
type halting struct{ n int }

func (h *halting) Read([]byte) (int, error) {
	if h.n++; h.n > 50 {
		return 0, io.EOF
	}
	return 0, nil
}

type writer struct{ to *[]byte }

func (w *writer) Write(p []byte) (int, error) {
	*w.to = append(*w.to, p...)
	return len(p), nil
}
