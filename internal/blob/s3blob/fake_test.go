package s3blob_test

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/errs"
)

const (
	fakeSecret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
	fakeToken  = "FwoGZXIvYXdzEXAMPLETOKEN"
)

// silence is how long an impatient driver waits for a provider that says
// nothing. The others wait for as long as a busy machine may take.
const silence = 500 * time.Millisecond

const patience = 30 * time.Second

func impatient(o *s3blob.Options) { o.Timeouts = s3blob.Timeouts{Idle: silence, Work: silence} }

// fake gives a driver of bucket "orders" at a server that answers as answer
// does.
func fake(t *testing.T, answer http.HandlerFunc, change ...func(*s3blob.Options)) *s3blob.Driver {
	t.Helper()
	srv := httptest.NewServer(answer)
	t.Cleanup(func() {
		srv.CloseClientConnections() // some answers wait for that
		srv.Close()
	})
	o := s3blob.Options{
		Bucket: "orders", Endpoint: srv.URL, AccessKey: "AKIAEXAMPLE", SecretKey: fakeSecret, SessionToken: fakeToken,
		Timeouts: s3blob.Timeouts{Dial: patience, Idle: patience, Work: patience},
	}
	for _, f := range change {
		f(&o)
	}
	return open(t, o)
}

func open(t *testing.T, o s3blob.Options) *s3blob.Driver {
	t.Helper()
	d, err := s3blob.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// refuse answers as S3 refuses.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>it is so</Message></Error>", code)
}

// calls are all that can be asked, by name.
var calls = map[string]func(ctx context.Context, d *s3blob.Driver) error{
	"head":      func(ctx context.Context, d *s3blob.Driver) error { _, err := d.Head(ctx, "k"); return err },
	"get":       func(ctx context.Context, d *s3blob.Driver) error { return get(ctx, d, blob.GetOptions{}) },
	"put":       func(ctx context.Context, d *s3blob.Driver) error { return put(ctx, d, 10, blob.Condition{}) },
	"large put": func(ctx context.Context, d *s3blob.Driver) error { return put(ctx, d, 200_000, blob.Condition{}) },
	"put if match": func(ctx context.Context, d *s3blob.Driver) error {
		return put(ctx, d, 10, blob.Condition{Match: "abc"})
	},
	"put if absent": func(ctx context.Context, d *s3blob.Driver) error {
		return put(ctx, d, 10, blob.Condition{Absent: true})
	},
	"put over any": func(ctx context.Context, d *s3blob.Driver) error { return put(ctx, d, 10, blob.Condition{Match: "*"}) },
	"delete":       func(ctx context.Context, d *s3blob.Driver) error { return d.Delete(ctx, "k", blob.DeleteOptions{}) },
	"delete if": func(ctx context.Context, d *s3blob.Driver) error {
		return d.Delete(ctx, "k", blob.DeleteOptions{If: blob.Condition{Match: "abc"}})
	},
	"copy": func(ctx context.Context, d *s3blob.Driver) error {
		_, err := d.Copy(ctx, "dst", d, "src", blob.CopyOptions{})
		return err
	},
	"list": func(ctx context.Context, d *s3blob.Driver) error {
		_, err := d.List(ctx, blob.ListOptions{})
		return err
	},
	"create upload": func(ctx context.Context, d *s3blob.Driver) error {
		_, err := d.CreateUpload(ctx, "k", blob.PutOptions{})
		return err
	},
	"abort upload": func(ctx context.Context, d *s3blob.Driver) error { return d.AbortUpload(ctx, "k", "id") },
	"list parts": func(ctx context.Context, d *s3blob.Driver) error {
		_, _, err := d.ListParts(ctx, "k", "id", 0, 0)
		return err
	},
	"list uploads": func(ctx context.Context, d *s3blob.Driver) error { _, err := d.ListUploads(ctx, ""); return err },
	"make":         func(ctx context.Context, d *s3blob.Driver) error { return d.Make(ctx) },
	"upload part": func(ctx context.Context, d *s3blob.Driver) error {
		_, err := d.UploadPart(ctx, "k", "id", 1, strings.NewReader("part"), 4)
		return err
	},
	"complete upload": func(ctx context.Context, d *s3blob.Driver) error {
		_, err := d.CompleteUpload(ctx, "k", "id", []blob.Part{{Number: 1, Size: 4, ETag: "abc"}}, blob.Condition{})
		return err
	},
}

// writes are the calls that change something.
var writes = []string{
	"put", "large put", "put if match", "put if absent", "delete", "delete if", "copy", "create upload", "abort upload", "make", "upload part", "complete upload",
}

func get(ctx context.Context, d *s3blob.Driver, o blob.GetOptions) error {
	r, err := d.Get(ctx, "k", o)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}

func put(ctx context.Context, d *s3blob.Driver, size int, c blob.Condition) error {
	_, err := d.Put(ctx, "k", strings.NewReader(strings.Repeat("x", size)), int64(size), blob.PutOptions{If: c})
	return err
}

// accept reads a request to its end and answers with the tag of its bytes.
func accept(w http.ResponseWriter, r *http.Request) {
	body, err := unchunked(r)
	if err != nil {
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
}

// object answers with an object's bytes.
func object(w http.ResponseWriter, tag, body string) {
	w.Header().Set("ETag", `"`+tag+`"`)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = io.WriteString(w, body)
}

// outcome is what an error has to say.
type outcome struct {
	kind  errs.Kind
	is    error
	maybe bool
	hint  string // a word of it
}

func (want outcome) check(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if got := errs.KindOf(err); got != want.kind {
		t.Errorf("kind %v, want %v: %v", got, want.kind, err)
	}
	if want.is != nil && !errors.Is(err, want.is) {
		t.Errorf("%q is not in the chain of: %v", want.is, err)
	}
	if got := errs.IsMaybeApplied(err); got != want.maybe {
		t.Errorf("may have been applied: %v, want %v: %v", got, want.maybe, err)
	}
	if !strings.Contains(errs.Hint(err), want.hint) || want.hint != "" && errs.Hint(err) == "" {
		t.Errorf("hint %q, want one with %q", errs.Hint(err), want.hint)
	}
	for _, secret := range []string{fakeSecret, fakeToken} {
		if strings.Contains(err.Error()+errs.Hint(err), secret) {
			t.Errorf("the error gives a secret away: %v", err)
		}
	}
}
