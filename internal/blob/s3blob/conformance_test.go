package s3blob_test

import (
	"context"
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
