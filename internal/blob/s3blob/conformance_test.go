package s3blob_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/drivertest"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/blob/s3blob/peer"
	"github.com/sparecloud/spare/internal/errs"
)

// buckets gives names of buckets that no test has used yet.
var buckets atomic.Int64

func newBucket() string { return fmt.Sprintf("bucket-%d", buckets.Add(1)) }

func TestVersityConformance(t *testing.T) {
	srv := peer.Versity(t, peer.Options{})
	drivertest.Run(t, func(t *testing.T) drivertest.Harness {
		return drivertest.Harness{
			Driver: careful{srv.Open(t, newBucket())}, Other: careful{srv.Open(t, newBucket())},
			Class: blob.ClassContent, MinPart: blob.MinPart, Modified: true, Tree: true, Refuses: notAPath,
			NoConditionalDelete: true, // it acknowledges a deletion under a condition where nothing is
			NoConditionalCopy:   true, // it ignores them
		}
	})
}

// Other servers each have their own limits (package qualify finds them): they
// are held to what a replica does every day.
func TestMinIOServesTheEveryday(t *testing.T) { everyday(t, peer.MinIO(t)) }

func TestRcloneServesTheEveryday(t *testing.T) { everyday(t, peer.Rclone(t)) }

func everyday(t *testing.T, srv *peer.Server) {
	ctx := t.Context()
	d := srv.Open(t, newBucket())
	b := blob.New(srv.Name, d)
	want := map[string][]byte{"a/small": []byte("small"), "a/large +%ü": bytes.Repeat([]byte("large "), 1<<20), "b": nil}
	for key, body := range want {
		o, err := b.Put(ctx, key, bytes.NewReader(body), int64(len(body)), blob.PutOptions{Meta: map[string]string{"op": "7"}})
		if err != nil || o.ETag == "" {
			t.Fatalf("put %s: %+v, %v", key, o, err)
		}
	}
	same := func(key string, body []byte) {
		t.Helper()
		r, err := b.Get(ctx, key, blob.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s has %d bytes, want %d, %v", key, len(got), len(body), err)
		}
	}
	for key, body := range want {
		same(key, body)
	}
	p, err := b.List(ctx, blob.ListOptions{Delimiter: "/", Limit: 1})
	if err != nil || len(p.Prefixes) != 1 || p.Prefixes[0] != "a/" || p.Next == "" {
		t.Errorf("listed %+v, %v", p, err)
	}
	p, err = b.List(ctx, blob.ListOptions{Delimiter: "/", After: p.Next})
	if err != nil || len(p.Prefixes) != 0 || len(p.Objects) != 1 || p.Objects[0].Key != "b" || p.Next != "" {
		t.Errorf("listed %+v, %v", p, err)
	}
	if _, err := b.Copy(ctx, "c", "a/large +%ü", blob.CopyOptions{}); err != nil {
		t.Error(err)
	}
	same("c", want["a/large +%ü"])
	id, err := b.CreateUpload(ctx, "d", blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	part, err := b.UploadPart(ctx, "d", id, 1, bytes.NewReader(want["a/large +%ü"]), int64(len(want["a/large +%ü"])))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.CompleteUpload(ctx, "d", id, []blob.Part{part}, blob.Condition{}); err != nil {
		t.Fatal(err)
	}
	same("d", want["a/large +%ü"])
	if err := b.Delete(ctx, "d", blob.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	if _, err := b.Head(ctx, "d"); !errs.Is(err, errs.NotFound) {
		t.Errorf("head of what was deleted: %v", err)
	}
}

// careful keeps versitygw from what it is known to get wrong, and the driver
// cannot see: it refuses the keys that a server which keeps objects as files
// takes for others without a word ("a//b" for "a/b").
type careful struct{ *s3blob.Driver }

func (d careful) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	if notAPath(key) {
		return blob.Object{}, errNotAPath
	}
	return d.Driver.Put(ctx, key, body, size, o)
}

// Copy repeats what the server could not do because the source was replaced
// meanwhile.
func (d careful) Copy(ctx context.Context, dst string, from blob.Driver, src string, o blob.CopyOptions) (obj blob.Object, err error) {
	if c, ok := from.(careful); ok {
		from = c.Driver
	}
	for range 10 {
		if obj, err = d.Driver.Copy(ctx, dst, from, src, o); !errs.IsMaybeApplied(err) {
			break
		}
	}
	return obj, err
}

// CompleteUpload asks for the upload first: the server acknowledges one that
// it does not know.
func (d careful) CompleteUpload(ctx context.Context, key, id string, parts []blob.Part, c blob.Condition) (blob.Object, error) {
	if _, _, err := d.ListParts(ctx, key, id, 0, 1); errs.Is(err, errs.NotFound) {
		return blob.Object{}, err
	}
	return d.Driver.CompleteUpload(ctx, key, id, parts, c)
}

var errNotAPath = errs.E(errs.Unsupported, "the key is not a path")

// notAPath says whether a key is no path that ends in a file.
func notAPath(key string) bool {
	if strings.Contains(key, "?versionId=") {
		return true // taken for a version in the source of a copy
	}
	for _, step := range strings.Split(key, "/") {
		if step == "" || step == "." || step == ".." || len(step) > 255 {
			return true
		}
	}
	return false
}
