package blob_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// liar answers as it likes.
type liar struct {
	blob.Driver
	page    blob.Page
	reader  blob.Reader
	uploads []blob.Upload
	closed  bool
}

func (l *liar) List(context.Context, blob.ListOptions) (blob.Page, error) { return l.page, nil }
func (l *liar) ListUploads(context.Context, string) ([]blob.Upload, error) {
	return l.uploads, nil
}

func (l *liar) Get(context.Context, string, blob.GetOptions) (*blob.Reader, error) {
	r := l.reader
	r.Body = body{r.Body, l}
	return &r, nil
}

type body struct {
	io.Reader
	l *liar
}

func (b body) Close() error {
	b.l.closed = true
	return nil
}

func wantSuspect(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, blob.ErrSuspect) || !errs.Is(err, errs.Internal) {
		t.Errorf("%s: got %v", what, err)
	}
}

func page(next string, names ...string) (p blob.Page) {
	for _, n := range names {
		if strings.HasSuffix(n, "/") {
			p.Prefixes = append(p.Prefixes, n)
		} else {
			p.Objects = append(p.Objects, blob.Object{Key: n})
		}
	}
	p.Next = next
	return p
}

func TestListingsThatCannotBeTrueAreSuspect(t *testing.T) {
	o := blob.ListOptions{Prefix: "a", After: "ab", Limit: 3, Delimiter: "/"}
	for name, p := range map[string]blob.Page{
		"out of order":                page("", "p/ad", "p/ac"),
		"twice":                       page("", "p/ac", "p/ac"),
		"not behind after":            page("", "p/ab"),
		"before after":                page("", "p/aa", "p/ac"),
		"of another prefix":           page("", "p/b"),
		"of another bucket":           page("", "a"),
		"empty key":                   page("", ""),
		"prefixes out of order":       page("", "p/ad/", "p/ac/"),
		"a prefix twice":              page("", "p/ad/", "p/ad/"),
		"a prefix of another":         page("", "p/b/"),
		"too many":                    page("", "p/ac", "p/ad", "p/ae/", "p/af/"),
		"goes on where it was":        page("p/ab"),
		"goes on before its end":      page("p/ac", "p/ad"),
		"goes on before its prefix":   page("p/ac", "p/ad/"),
		"goes on outside its prefix":  page("p/b", "p/ad"),
		"goes on in another's prefix": page("z"),
	} {
		b := blob.New("b", &liar{page: p}).Under("p/")
		_, err := b.List(t.Context(), o)
		wantSuspect(t, name, err)
	}
	for name, p := range map[string]blob.Page{
		"nothing":   page(""),
		"three":     page("p/ae", "p/ac", "p/ad/", "p/ae"),
		"no names":  page("p/ac"),
		"a prefix":  page(blob.AfterPrefix("p/ae/"), "p/ac", "p/ae/"),
		"not in it": page("", "p/abc", "p/ab/"),
	} {
		b := blob.New("b", &liar{page: p}).Under("p/")
		if _, err := b.List(t.Context(), o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := blob.New("b", &liar{uploads: []blob.Upload{{Key: "x"}}}).Under("p/").ListUploads(t.Context(), "")
	wantSuspect(t, "an upload of another", err)
}

func TestBodiesThatCannotBeTrueAreSuspect(t *testing.T) {
	object := blob.Object{Key: "k", Size: 10, ETag: "t", Version: "v"}
	of := func(offset, length int64) blob.Reader {
		return blob.Reader{Object: object, Offset: offset, Length: length, Body: io.NopCloser(strings.NewReader("0123456789"))}
	}
	r := &blob.Range{Offset: 2, Length: 3}
	for name, tt := range map[string]struct {
		o    blob.GetOptions
		came blob.Reader
	}{
		"a part for all":        {blob.GetOptions{}, of(0, 5)},
		"an end for all":        {blob.GetOptions{}, of(5, 5)},
		"all for a range":       {blob.GetOptions{Range: r}, of(0, 10)},
		"another range":         {blob.GetOptions{Range: r}, of(3, 3)},
		"a longer range":        {blob.GetOptions{Range: r}, of(2, 4)},
		"a range that is not":   {blob.GetOptions{Range: &blob.Range{Offset: 10, Length: 1}}, of(0, 10)},
		"another object":        {blob.GetOptions{Match: "u"}, of(0, 10)},
		"another version":       {blob.GetOptions{Version: "w"}, of(0, 10)},
		"another object's part": {blob.GetOptions{Match: "u", Range: r}, of(2, 3)},
	} {
		l := &liar{reader: tt.came}
		b := blob.New("b", l)
		_, err := b.Get(t.Context(), "k", tt.o)
		wantSuspect(t, name, err)
		if !l.closed {
			t.Errorf("%s: the body is left open", name)
		}
		b.Stats().Calls(func(method string, calls, failed uint64) {
			if method == "get" && (calls != 1 || failed != 1) {
				t.Errorf("%s: %d calls, %d failed", name, calls, failed)
			}
		})
	}
	for name, o := range map[string]blob.GetOptions{"all": {}, "match": {Match: "t"}, "version": {Version: "v"}} {
		if _, err := blob.New("b", &liar{reader: of(0, 10)}).Get(t.Context(), "k", o); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABodyIsHeardOutAtItsEnd(t *testing.T) {
	for name, tt := range map[string]struct {
		body io.Reader
		want error
		kind errs.Kind
	}{
		"a digest that does not match": {failing("0123456789", errs.Wrap(errs.Invalid, blob.ErrDigest, "at the end")), blob.ErrDigest, errs.Invalid},
		"a line that broke":            {failing("01234", io.ErrClosedPipe), io.ErrClosedPipe, errs.Unavailable},
		"too few bytes":                {strings.NewReader("012345678"), io.ErrUnexpectedEOF, errs.Unavailable},
		"too many bytes":               {strings.NewReader("0123456789x"), blob.ErrSuspect, errs.Internal},
	} {
		l := &liar{reader: blob.Reader{Object: blob.Object{Size: 10}, Length: 10, Body: io.NopCloser(tt.body)}}
		r, err := blob.New("virginia", l).Get(t.Context(), "k", blob.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if !errors.Is(err, tt.want) || !errs.Is(err, tt.kind) || !strings.HasPrefix(err.Error(), `virginia: read "k", `) {
			t.Errorf("%s: got %v", name, err)
		}
		if !strings.HasPrefix("0123456789", string(got)) {
			t.Errorf("%s: read %q", name, got)
		}
		if _, again := r.Read(make([]byte, 1)); again == nil || again.Error() != err.Error() {
			t.Errorf("%s: reading on gives %v", name, again)
		}
	}
}

func failing(s string, err error) io.Reader {
	return io.MultiReader(strings.NewReader(s), broken{err})
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
