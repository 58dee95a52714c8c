package s3blob

import (
	"context"
	"io"
	"maps"
	"net/http"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// unsigned leaves the body out of the signature: its digest would have to be
// known before its first byte is sent. The entity tag of the answer is compared
// instead.
var unsigned = s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)

// Put implements [blob.Driver]. A body of less than 64 KiB is read whole before
// it is sent and its SHA-256 is signed; a larger one is sent as it is read, and
// the request is broken off if it fails.
func (d *Driver) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	on, star, err := d.pin(ctx, key, o.If)
	if err != nil {
		return blob.Object{}, err
	}
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	defer a.close()
	send, err := d.load(a, body, size, o.Header.Encoding)
	if err != nil {
		return blob.Object{}, err
	}
	in := &s3.PutObjectInput{
		Bucket: d.bucket(), Key: &key, Body: send.body, ContentLength: &send.length, Metadata: encodeMeta(o.Meta),
		ContentType: maybe(o.Header.Type), ContentEncoding: maybe(o.Header.Encoding), ContentDisposition: maybe(o.Header.Disposition),
		ContentLanguage: maybe(o.Header.Language), CacheControl: maybe(o.Header.CacheControl),
		IfMatch: quote(on.Match), IfNoneMatch: ifAbsent(on),
	}
	out, err := d.client.PutObject(a.ctx, in, send.sign, expires(o.Header))
	if err != nil {
		return blob.Object{}, star.meant(d.missed(ctx, a, on, err))
	}
	tag, err := d.checkTag(out.ETag, send.sum(), out.ServerSideEncryption)
	if err != nil {
		return blob.Object{}, err
	}
	return blob.Object{Key: key, Size: size, ETag: tag, Version: version(out.VersionId), Header: o.Header, Meta: maps.Clone(o.Meta)}, nil
}

// pinned says that a condition stands for another.
type pinned bool

// pin makes a condition that any object be there one on the object that is: S3
// has no "If-Match: *" for all writes, and several servers take the star for a
// tag.
func (d *Driver) pin(ctx context.Context, key string, c blob.Condition) (blob.Condition, pinned, error) {
	if c.Match != "*" {
		return c, false, nil
	}
	obj, err := d.Head(ctx, key)
	if errs.Is(err, errs.NotFound) {
		return c, false, errs.E(errs.Conflict, "the condition wants an object: %w", err)
	}
	c.Match = obj.ETag
	return c, true, err
}

// meant gives the error of a write under a condition that may be pinned: there
// was an object, it only changed in between.
func (p pinned) meant(err error) error {
	if bool(p) && errs.Is(err, errs.Conflict) {
		return errs.E(errs.Unavailable, "the object was changed meanwhile: %w", err)
	}
	return err
}

// missed gives the error of a write. A 404 to it is the bucket's, or that of
// the object which the condition wants.
func (d *Driver) missed(ctx context.Context, a *attempt, c blob.Condition, err error) error {
	r := d.answerOf(err)
	err = d.judge(a, writing(c), err)
	if r == nil || !r.bare() {
		return err
	}
	if e := d.there(ctx); e != nil {
		return e
	}
	if c.Match != "" {
		return err
	}
	return errs.E(errs.Unavailable, "%w", r)
}

// Delete implements [blob.Driver].
func (d *Driver) Delete(ctx context.Context, key string, o blob.DeleteOptions) error {
	on, star, err := d.pin(ctx, key, o.If)
	if err != nil {
		return err
	}
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	defer a.close()
	_, err = d.client.DeleteObject(a.ctx, &s3.DeleteObjectInput{
		Bucket: d.bucket(), Key: &key, VersionId: maybe(o.Version), IfMatch: quote(on.Match),
	})
	if err == nil {
		return nil
	}
	r := d.answerOf(err)
	err = star.meant(d.vague(ctx, r, d.judge(a, writing(on), err)))
	if errs.Is(err, errs.NotFound) {
		return nil // some say so; it is what was wanted
	}
	return err
}

// Make implements [blob.Maker].
func (d *Driver) Make(ctx context.Context) error {
	a := d.begin(ctx, d.opt.Timeouts.Work)
	defer a.close()
	in := &s3.CreateBucketInput{Bucket: d.bucket()}
	if r := d.opt.Region; d.opt.Endpoint == "" && r != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(r)}
	}
	_, err := d.client.CreateBucket(a.ctx, in)
	if r := d.answerOf(err); r != nil && r.code == "BucketAlreadyOwnedByYou" {
		return nil
	}
	return d.judge(a, ask{writes: true}, err)
}

// KeepVersions makes the bucket keep what is overwritten or deleted, from now
// on.
func (d *Driver) KeepVersions(ctx context.Context) error {
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	defer a.close()
	_, err := d.client.PutBucketVersioning(a.ctx, &s3.PutBucketVersioningInput{
		Bucket: d.bucket(), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	return d.judge(a, ask{writes: true}, err)
}

// there asks whether the bucket exists. Not being allowed to know is taken for
// yes: a bucket that does not exist forbids nothing.
func (d *Driver) there(ctx context.Context) error {
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	defer a.close()
	_, err := d.client.HeadBucket(a.ctx, &s3.HeadBucketInput{Bucket: d.bucket()})
	if err == nil {
		return nil
	}
	switch r := d.answerOf(err); {
	case r != nil && r.status == http.StatusForbidden:
		return nil
	case r != nil && r.status == http.StatusNotFound:
		return refused(ask{}, &answer{status: http.StatusNotFound, code: "NoSuchBucket", message: "to HEAD of the bucket"})
	}
	return d.judge(a, ask{}, err)
}
