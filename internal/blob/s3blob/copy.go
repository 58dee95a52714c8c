package s3blob

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

const (
	maxCopy  = 5 << 30 // bytes that CopyObject takes
	copyPart = 1 << 30 // bytes of a part of a larger copy
	tidyTime = 10 * time.Second
)

// Copy implements [blob.Driver]. The answer to it does not say how large the
// copy is, so that is asked; it stays 0 if the object was changed meanwhile.
func (d *Driver) Copy(ctx context.Context, dst string, from blob.Driver, src string, o blob.CopyOptions) (blob.Object, error) {
	source, ok := from.(*Driver)
	if !ok || source.opt.Endpoint != d.opt.Endpoint || source.opt.AccessKey != d.opt.AccessKey {
		return blob.Object{}, errs.E(errs.Unsupported, "a copy must come from a bucket of the same provider and account")
	}
	a := d.begin(ctx, d.opt.Timeouts.Work)
	defer a.close()
	in := &s3.CopyObjectInput{
		Bucket: d.bucket(), Key: &dst, CopySource: source.copySource(src, o.Version), CopySourceIfMatch: quote(o.Match),
		MetadataDirective: types.MetadataDirectiveCopy,
	}
	header, star := func(*s3.Options) {}, pinned(false)
	var on blob.Condition
	if r := o.Replace; r != nil {
		var err error
		if on, star, err = d.pin(ctx, dst, r.If); err != nil {
			return blob.Object{}, err
		}
		in.MetadataDirective, in.Metadata = types.MetadataDirectiveReplace, encodeMeta(r.Meta)
		in.ContentType, in.ContentEncoding, in.ContentDisposition = maybe(r.Header.Type), maybe(r.Header.Encoding), maybe(r.Header.Disposition)
		in.ContentLanguage, in.CacheControl = maybe(r.Header.Language), maybe(r.Header.CacheControl)
		in.IfMatch, in.IfNoneMatch = quote(on.Match), ifAbsent(on)
		header = expires(r.Header)
	}
	out, err := d.client.CopyObject(a.ctx, in, header)
	if err != nil {
		obj, err := d.copyFailed(ctx, a, dst, source, src, o, on, err)
		return obj, star.meant(err)
	}
	if out.CopyObjectResult == nil || unquote(out.CopyObjectResult.ETag) == "" {
		return blob.Object{}, suspect(ask{writes: true}, "it names no ETag of the copy")
	}
	made := blob.Object{
		Key: dst, ETag: unquote(out.CopyObjectResult.ETag), Version: version(out.VersionId), Modified: aws.ToTime(out.CopyObjectResult.LastModified),
	}
	if obj, err := d.head(ctx, dst, made.Version, made.ETag); err == nil && obj.ETag == made.ETag {
		return obj, nil
	}
	return made, nil
}

// copyFailed finds out what a refused copy means: the source is too large for
// one request, or a 404 is the source's, the target's condition's or the
// bucket's.
func (d *Driver) copyFailed(ctx context.Context, a *attempt, dst string, source *Driver, src string, o blob.CopyOptions, on blob.Condition, err error) (blob.Object, error) {
	r := d.answerOf(err)
	failure := d.judge(a, ask{writes: true, when: on.Set()}, err)
	switch {
	case r == nil:
		return blob.Object{}, failure
	case errs.Is(failure, errs.NotFound) && (r.bare() || on.Match != ""):
		if err := source.spell(ctx, src, o.Version); err != nil {
			return blob.Object{}, err
		}
		if err := d.there(ctx); err != nil {
			return blob.Object{}, err
		}
		if on.Match != "" {
			return blob.Object{}, errs.E(errs.Conflict, "%w: there is no object that could have ETag %q", r, on.Match)
		}
		return blob.Object{}, errs.E(errs.Unavailable, "%w", r)
	case r.code == "InvalidRequest" || r.code == "EntityTooLarge" || r.status == http.StatusRequestEntityTooLarge:
		obj, err := source.head(ctx, src, o.Version, o.Match)
		if err == nil && obj.Size > maxCopy {
			return d.copyParts(ctx, dst, source, obj, o)
		}
	}
	return blob.Object{}, failure
}

// copyParts copies what is larger than 5 GiB as a multipart upload. Each part
// is copied only from the bytes that obj describes.
func (d *Driver) copyParts(ctx context.Context, dst string, source *Driver, obj blob.Object, o blob.CopyOptions) (blob.Object, error) {
	as := blob.PutOptions{Header: obj.Header, Meta: obj.Meta}
	if o.Replace != nil {
		as = *o.Replace
	}
	on := as.If
	as.If = blob.Condition{}
	id, err := d.CreateUpload(ctx, dst, as)
	if err != nil {
		return blob.Object{}, err
	}
	var done []blob.Part
	for at := int64(0); at < obj.Size && err == nil; at += copyPart {
		var p blob.Part
		p, err = d.copyOne(ctx, dst, id, len(done)+1, source, obj, o.Version, at, min(copyPart, obj.Size-at))
		done = append(done, p)
	}
	var made blob.Object
	if err == nil {
		made, err = d.CompleteUpload(ctx, dst, id, done, on)
	}
	if err != nil && !errs.IsMaybeApplied(err) {
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
		defer cancel()
		_ = d.AbortUpload(tidy, dst, id) // a rule at the provider, or a sweep, takes what is left
	}
	return made, err
}

// copyOne copies bytes into a part of an upload. What fails here changes no
// object.
func (d *Driver) copyOne(ctx context.Context, dst, id string, number int, source *Driver, obj blob.Object, from string, at, size int64) (blob.Part, error) {
	a := d.begin(ctx, d.opt.Timeouts.Work)
	defer a.close()
	out, err := d.client.UploadPartCopy(a.ctx, &s3.UploadPartCopyInput{
		Bucket: d.bucket(), Key: &dst, UploadId: &id, PartNumber: aws.Int32(int32(number)),
		CopySource: source.copySource(obj.Key, from), CopySourceIfMatch: quote(obj.ETag),
		CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", at, at+size-1)),
	})
	if err != nil {
		return blob.Part{}, d.judge(a, ask{}, err)
	}
	if out.CopyPartResult == nil || unquote(out.CopyPartResult.ETag) == "" {
		return blob.Part{}, suspect(ask{}, "it names no ETag of part %d of the copy", number)
	}
	return blob.Part{Number: number, Size: size, ETag: unquote(out.CopyPartResult.ETag)}, nil
}

// copySource names an object of this bucket in a header. All but unreserved
// characters are escaped: servers differ in what they take a plus for.
func (d *Driver) copySource(key, id string) *string {
	const hex = "0123456789ABCDEF"
	b := []byte(d.opt.Bucket + "/")
	for _, c := range []byte(key) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.', c == '~', c == '/':
			b = append(b, c)
		default:
			b = append(b, '%', hex[c>>4], hex[c&15])
		}
	}
	if id != "" {
		b = append(b, "?versionId="+id...)
	}
	return aws.String(string(b))
}
