package blob_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

func bucket() *blob.Bucket { return blob.New("virginia", memblob.Open(memblob.Options{})) }

func mustPut(t *testing.T, b *blob.Bucket, key, body string) blob.Object {
	t.Helper()
	o, err := b.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func content(t *testing.T, b *blob.Bucket, key string) string {
	t.Helper()
	r, err := b.Get(t.Context(), key, blob.GetOptions{})
	if errs.Is(err, errs.NotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// calls gives every method of a bucket that names a key.
func calls(t *testing.T, b *blob.Bucket) map[string]func(key string) error {
	ctx := t.Context()
	return map[string]func(key string) error{
		"head": func(key string) error { _, err := b.Head(ctx, key); return err },
		"get": func(key string) error {
			r, err := b.Get(ctx, key, blob.GetOptions{})
			if err == nil {
				err = r.Close()
			}
			return err
		},
		"put":    func(key string) error { _, err := b.Put(ctx, key, nil, 0, blob.PutOptions{}); return err },
		"copy":   func(key string) error { _, err := b.Copy(ctx, key, "src", blob.CopyOptions{}); return err },
		"delete": func(key string) error { return b.Delete(ctx, key, blob.DeleteOptions{}) },
		"list":   func(key string) error { _, err := b.List(ctx, blob.ListOptions{Prefix: key}); return err },
		"create_upload": func(key string) error {
			_, err := b.CreateUpload(ctx, key, blob.PutOptions{})
			return err
		},
		"upload_part": func(key string) error { _, err := b.UploadPart(ctx, key, "id", 1, nil, 0); return err },
		"complete_upload": func(key string) error {
			_, err := b.CompleteUpload(ctx, key, "id", []blob.Part{{Number: 1}}, blob.Condition{})
			return err
		},
		"abort_upload": func(key string) error { return b.AbortUpload(ctx, key, "id") },
		"list_parts":   func(key string) error { _, _, err := b.ListParts(ctx, key, "id", 0, 0); return err },
		"list_uploads": func(key string) error { _, err := b.ListUploads(ctx, key); return err },
	}
}

func TestErrorsNameBucketMethodAndKey(t *testing.T) {
	drv := faultblob.Wrap(memblob.Open(memblob.Options{}))
	fault, err := drv.Inject(faultblob.Fault{Kind: faultblob.Error})
	if err != nil {
		t.Fatal(err)
	}
	b := blob.New("virginia", drv).Under("part/")
	for method, call := range calls(t, b) {
		err := call("a/b")
		if want := "virginia: " + method + ` "a/b": `; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want it to begin with %s", err, want)
		}
		reads := strings.HasPrefix(method, "list") || method == "head" || method == "get"
		if !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) == reads {
			t.Errorf("%s: kind %s, maybe applied %v", method, errs.KindOf(err), errs.IsMaybeApplied(err))
		}
	}
	fault.Clear()
	if _, err := b.Head(t.Context(), "a/b"); !errs.Is(err, errs.NotFound) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsKeepWhatTheDriverSaid(t *testing.T) {
	drv := faultblob.Wrap(memblob.Open(memblob.Options{}))
	for kind, want := range map[faultblob.Kind]error{faultblob.Full: blob.ErrFull, faultblob.NoBucket: blob.ErrNoBucket, faultblob.Skew: blob.ErrSkew} {
		if _, err := drv.Inject(faultblob.Fault{Kind: kind, Times: 1}); err != nil {
			t.Fatal(err)
		}
		o, err := blob.New("b", drv).Put(t.Context(), "k", nil, 0, blob.PutOptions{})
		if !errors.Is(err, want) || !cmp.Equal(o, blob.Object{}) {
			t.Errorf("got %+v, %v, want %v", o, err, want)
		}
	}
}

func TestKeysAreChecked(t *testing.T) {
	b := bucket()
	mustPut(t, b, "src", "x")
	under := b.Under(strings.Repeat("p", 1000))
	before := b.Stats().Requests()
	for name, tt := range map[string]struct {
		b   *blob.Bucket
		key string
	}{
		"empty":                 {b, ""},
		"too long":              {b, strings.Repeat("k", blob.MaxKey+1)},
		"far too long":          {b, strings.Repeat("k", 1<<20)},
		"no text":               {b, "a\xff"},
		"too long under prefix": {under, strings.Repeat("k", 25)},
	} {
		for method, call := range calls(t, tt.b) {
			if tt.key == "" && strings.HasPrefix(method, "list_u") || tt.key == "" && method == "list" {
				continue // an empty prefix is all
			}
			if err := call(tt.key); !errs.Is(err, errs.Invalid) || !strings.HasPrefix(err.Error(), "virginia: "+method+" ") || len(err.Error()) > 1000 {
				t.Errorf("%s: %s: got %v", name, method, err)
			}
		}
	}
	if _, err := b.Copy(t.Context(), "dst", "", blob.CopyOptions{}); !errs.Is(err, errs.Invalid) {
		t.Errorf("copy of an empty key: %v", err)
	}
	if n := b.Stats().Requests(); n != before {
		t.Errorf("%d calls were made", n-before)
	}
	mustPut(t, b, strings.Repeat("k", blob.MaxKey), "x")
	mustPut(t, under, strings.Repeat("k", 24), "x")
}

func TestMetadataAndHeadersAreChecked(t *testing.T) {
	b := bucket()
	mustPut(t, b, "src", "x")
	long := func(n int) map[string]string { return map[string]string{"name": strings.Repeat("v", n-4)} }
	for name, tt := range map[string]struct {
		o  blob.PutOptions
		ok bool
	}{
		"at the limit":       {blob.PutOptions{Meta: long(blob.MaxMeta)}, true},
		"over the limit":     {blob.PutOptions{Meta: long(blob.MaxMeta + 1)}, false},
		"unicode":            {blob.PutOptions{Meta: map[string]string{"a": "日本\tx"}}, true},
		"upper case":         {blob.PutOptions{Meta: map[string]string{"Name": "x"}}, false},
		"an empty name":      {blob.PutOptions{Meta: map[string]string{"": "x"}}, false},
		"a name with blanks": {blob.PutOptions{Meta: map[string]string{"a b": "x"}}, false},
		"a unicode name":     {blob.PutOptions{Meta: map[string]string{"ü": "x"}}, false},
		"a line break":       {blob.PutOptions{Meta: map[string]string{"a": "x\r\ny: z"}}, false},
		"a NUL":              {blob.PutOptions{Meta: map[string]string{"a": "x\x00"}}, false},
		"no text":            {blob.PutOptions{Meta: map[string]string{"a": "\xff"}}, false},
		"a header's break":   {blob.PutOptions{Header: blob.Header{Type: "a/b\nx"}}, false},
		"a header's length":  {blob.PutOptions{Header: blob.Header{Disposition: strings.Repeat("x", 5000)}}, false},
		"both conditions":    {blob.PutOptions{If: blob.Condition{Match: "*", Absent: true}}, false},
	} {
		_, put := b.Put(t.Context(), "k", nil, 0, tt.o)
		_, create := b.CreateUpload(t.Context(), "k", tt.o)
		_, copied := b.Copy(t.Context(), "k", "src", blob.CopyOptions{Replace: &tt.o})
		for method, err := range map[string]error{"put": put, "create": create, "copy": copied} {
			if tt.ok && err != nil || !tt.ok && !errs.Is(err, errs.Invalid) {
				t.Errorf("%s: %s: got %v", name, method, err)
			}
		}
	}
}

func TestCallsThatMeanNothingAreRefused(t *testing.T) {
	b := bucket()
	ctx := t.Context()
	part := func(numbers ...int) (all []blob.Part) {
		for _, n := range numbers {
			all = append(all, blob.Part{Number: n})
		}
		return all
	}
	for name, call := range map[string]func() error{
		"a negative size": func() error { _, err := b.Put(ctx, "k", nil, -1, blob.PutOptions{}); return err },
		"too large":       func() error { _, err := b.Put(ctx, "k", nil, blob.MaxPut+1, blob.PutOptions{}); return err },
		"a condition too early": func() error {
			_, err := b.CreateUpload(ctx, "k", blob.PutOptions{If: blob.Condition{Absent: true}})
			return err
		},
		"deleting what is absent": func() error {
			return b.Delete(ctx, "k", blob.DeleteOptions{If: blob.Condition{Absent: true}})
		},
		"part 0":       func() error { _, err := b.UploadPart(ctx, "k", "id", 0, nil, 0); return err },
		"part 10,001":  func() error { _, err := b.UploadPart(ctx, "k", "id", 10_001, nil, 0); return err },
		"a large part": func() error { _, err := b.UploadPart(ctx, "k", "id", 1, nil, blob.MaxPut+1); return err },
		"no parts":     func() error { _, err := b.CompleteUpload(ctx, "k", "id", nil, blob.Condition{}); return err },
		"falling parts": func() error {
			_, err := b.CompleteUpload(ctx, "k", "id", part(2, 1), blob.Condition{})
			return err
		},
		"a part twice": func() error {
			_, err := b.CompleteUpload(ctx, "k", "id", part(1, 1), blob.Condition{})
			return err
		},
		"named part 10,001": func() error {
			_, err := b.CompleteUpload(ctx, "k", "id", part(1, 10_001), blob.Condition{})
			return err
		},
		"both conditions": func() error {
			_, err := b.CompleteUpload(ctx, "k", "id", part(1), blob.Condition{Match: "*", Absent: true})
			return err
		},
		"a start that is no text": func() error { _, err := b.List(ctx, blob.ListOptions{After: "\xff"}); return err },
	} {
		if err := call(); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if n := b.Stats().Requests(); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestUnderIsABucketOfItsOwn(t *testing.T) {
	whole := bucket()
	part := whole.Under("p/").Under("q/")
	mustPut(t, whole, "x", "of the whole")
	mustPut(t, whole, "p/q0", "beside")
	if o := mustPut(t, part, "x", "of the part"); o.Key != "x" {
		t.Errorf("put gave key %q", o.Key)
	}
	if content(t, part, "x") != "of the part" || content(t, whole, "p/q/x") != "of the part" || content(t, whole, "x") != "of the whole" {
		t.Error("the parts mix")
	}
	r, err := part.Get(t.Context(), "x", blob.GetOptions{})
	if err != nil || r.Key != "x" {
		t.Fatalf("get: %v", err)
	}
	_ = r.Close() // not read
	if o, err := part.Head(t.Context(), "x"); o.Key != "x" || err != nil {
		t.Errorf("head gave %q, %v", o.Key, err)
	}
	if o, err := part.Copy(t.Context(), "y", "x", blob.CopyOptions{}); o.Key != "y" || err != nil {
		t.Errorf("copy gave %q, %v", o.Key, err)
	}
	if o, err := part.CopyFrom(t.Context(), "z", whole, "x", blob.CopyOptions{}); o.Key != "z" || err != nil || content(t, part, "z") != "of the whole" {
		t.Errorf("copy from the whole gave %q, %v", o.Key, err)
	}
	id, err := part.CreateUpload(t.Context(), "u", blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := part.UploadPart(t.Context(), "u", id, 1, strings.NewReader("u"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := part.ListUploads(t.Context(), ""); len(all) != 1 || all[0].Key != "u" || err != nil {
		t.Errorf("uploads: %+v, %v", all, err)
	}
	if o, err := part.CompleteUpload(t.Context(), "u", id, []blob.Part{p}, blob.Condition{}); o.Key != "u" || err != nil || content(t, part, "u") != "u" {
		t.Errorf("complete gave %q, %v", o.Key, err)
	}
	if err := part.Delete(t.Context(), "x", blob.DeleteOptions{}); err != nil || content(t, part, "x") != "" || content(t, whole, "x") == "" {
		t.Errorf("delete: %v", err)
	}
}

func TestUnderListsItsOwnInPages(t *testing.T) {
	whole := bucket()
	part := whole.Under("p/")
	for _, key := range []string{"a", "b/1", "b/2", "c/1", "d"} {
		mustPut(t, part, key, "x")
	}
	for _, key := range []string{"a", "p", "p.", "p0", "q"} {
		mustPut(t, whole, key, "x")
	}
	list := func(o blob.ListOptions) (all []string) {
		t.Helper()
		for {
			p, err := part.List(t.Context(), o)
			if err != nil || len(p.Objects)+len(p.Prefixes) > 1 {
				t.Fatalf("%+v: %+v, %v", o, p, err)
			}
			for _, obj := range p.Objects {
				all = append(all, obj.Key)
			}
			all = append(all, p.Prefixes...)
			if p.Next == "" || len(all) > 10 {
				return all
			}
			o.After = p.Next
		}
	}
	for want, o := range map[string]blob.ListOptions{
		"a b/1 b/2 c/1 d": {Limit: 1},
		"a b/ c/ d":       {Limit: 1, Delimiter: "/"},
		"b/1 b/2":         {Limit: 1, Prefix: "b/"},
		"c/1 d":           {Limit: 1, After: blob.AfterPrefix("b/")},
		"b/2 c/1 d":       {Limit: 1, After: "b/1"},
		"":                {Limit: 1, Prefix: "p"},
	} {
		if got := strings.Join(list(o), " "); got != want {
			t.Errorf("%+v: got %s, want %s", o, got, want)
		}
	}
}

func TestStatsCountCallsFailuresAndBytes(t *testing.T) {
	drv := faultblob.Wrap(memblob.Open(memblob.Options{}))
	b := blob.New("virginia", drv)
	mustPut(t, b.Under("p/"), "k", "12345")
	content(t, b, "p/k")
	_, err := b.Head(t.Context(), "absent")
	if !errs.Is(err, errs.NotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := b.Put(t.Context(), "p/k", nil, 0, blob.PutOptions{If: blob.Condition{Absent: true}}); !errs.Is(err, errs.Conflict) {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Head(ended, "p/k"); !errs.Is(err, errs.Unavailable) {
		t.Errorf("got %v", err)
	}
	for _, kind := range []faultblob.Kind{faultblob.Down, faultblob.Denied} {
		if _, err := drv.Inject(faultblob.Fault{Kind: kind, Times: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Head(t.Context(), "p/k"); err == nil {
			t.Error("no error")
		}
	}
	if _, err := drv.Inject(faultblob.Fault{Kind: faultblob.Truncated, Times: 1}); err != nil {
		t.Fatal(err)
	}
	r, err := b.Get(t.Context(), "p/k", blob.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), `virginia: read "p/k", 3 bytes before its end: `) {
		t.Errorf("got %v", err)
	}
	_ = r.Close() // it failed already
	got := map[string][2]uint64{}
	b.Stats().Calls(func(method string, calls, failed uint64) {
		if calls+failed > 0 {
			got[method] = [2]uint64{calls, failed}
		}
	})
	want := map[string][2]uint64{"put": {2, 0}, "get": {2, 1}, "head": {4, 2}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if n, in, out := b.Stats().Requests(), b.Stats().BytesRead.Load(), b.Stats().BytesWritten.Load(); n != 8 || in != 7 || out != 5 {
		t.Errorf("%d requests, %d bytes read, %d written", n, in, out)
	}
}

func TestEveryMethodIsCounted(t *testing.T) {
	b := bucket()
	all := calls(t, b)
	all["make"] = func(string) error { return b.Make(t.Context()) }
	for _, call := range all {
		_ = call("k") // any outcome counts
	}
	n := 0
	b.Stats().Calls(func(method string, calls, _ uint64) {
		if n++; calls != 1 || all[method] == nil {
			t.Errorf("%s: %d calls", method, calls)
		}
	})
	if n != len(all) {
		t.Errorf("%d methods, want %d", n, len(all))
	}
}

func TestMakeNeedsADriverThatCan(t *testing.T) {
	b := blob.New("virginia", struct{ blob.Driver }{memblob.Open(memblob.Options{})})
	if err := b.Make(t.Context()); !errs.Is(err, errs.Unsupported) || !strings.Contains(err.Error(), "virginia") {
		t.Errorf("got %v", err)
	}
}
