package s3blob

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// maxUploads bounds what ListUploads keeps in memory.
const maxUploads = 100_000

// CreateUpload implements [blob.Multipart].
func (d *Driver) CreateUpload(ctx context.Context, key string, o blob.PutOptions) (string, error) {
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	defer a.close()
	out, err := d.client.CreateMultipartUpload(a.ctx, &s3.CreateMultipartUploadInput{
		Bucket: d.bucket(), Key: &key, Metadata: encodeMeta(o.Meta),
		ContentType: maybe(o.Header.Type), ContentEncoding: maybe(o.Header.Encoding), ContentDisposition: maybe(o.Header.Disposition),
		ContentLanguage: maybe(o.Header.Language), CacheControl: maybe(o.Header.CacheControl),
	}, expires(o.Header))
	if err != nil {
		return "", d.missed(ctx, a, blob.Condition{}, err)
	}
	id := aws.ToString(out.UploadId)
	if id == "" {
		return "", suspect(ask{writes: true}, "it names no upload")
	}
	return id, nil
}

// UploadPart implements [blob.Multipart].
func (d *Driver) UploadPart(ctx context.Context, key, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	defer a.close()
	send, err := d.load(a, body, size, "")
	if err != nil {
		return blob.Part{}, err
	}
	out, err := d.client.UploadPart(a.ctx, &s3.UploadPartInput{
		Bucket: d.bucket(), Key: &key, UploadId: &id, PartNumber: aws.Int32(int32(number)), Body: send.body, ContentLength: &send.length,
	}, send.sign)
	if err != nil {
		return blob.Part{}, d.lostUpload(ctx, a, ask{writes: true}, err)
	}
	tag, err := d.checkTag(out.ETag, send.sum(), out.ServerSideEncryption)
	if err != nil {
		return blob.Part{}, err
	}
	return blob.Part{Number: number, Size: size, ETag: tag}, nil
}

// CompleteUpload implements [blob.Multipart]. The Object's size is the sum of
// the sizes that parts name.
func (d *Driver) CompleteUpload(ctx context.Context, key, id string, parts []blob.Part, c blob.Condition) (blob.Object, error) {
	named := make([]types.CompletedPart, len(parts))
	size := int64(0)
	for i, p := range parts {
		named[i] = types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: quote(p.ETag)}
		size += p.Size
	}
	on, star, err := d.pin(ctx, key, c)
	if err != nil {
		return blob.Object{}, err
	}
	a := d.begin(ctx, d.opt.Timeouts.Work)
	defer a.close()
	out, err := d.client.CompleteMultipartUpload(a.ctx, &s3.CompleteMultipartUploadInput{
		Bucket: d.bucket(), Key: &key, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{Parts: named},
		IfMatch: quote(on.Match), IfNoneMatch: ifAbsent(on),
	})
	if err != nil {
		return blob.Object{}, star.meant(d.lostUpload(ctx, a, writing(on), err))
	}
	tag := unquote(out.ETag)
	if tag == "" {
		return blob.Object{}, suspect(ask{writes: true}, "it names no ETag of what was completed")
	}
	return blob.Object{Key: key, Size: size, ETag: tag, Version: version(out.VersionId), Parts: len(parts)}, nil
}

// AbortUpload implements [blob.Multipart].
func (d *Driver) AbortUpload(ctx context.Context, key, id string) error {
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	defer a.close()
	_, err := d.client.AbortMultipartUpload(a.ctx, &s3.AbortMultipartUploadInput{Bucket: d.bucket(), Key: &key, UploadId: &id})
	return d.lostUpload(ctx, a, ask{writes: true}, err)
}

// lostUpload gives the error of a request that names an upload: a 404 that says
// no more is the upload's, if the bucket is there.
func (d *Driver) lostUpload(ctx context.Context, a *attempt, q ask, err error) error {
	if err == nil {
		return nil
	}
	r := d.answerOf(err)
	if r == nil || !r.bare() {
		return d.judge(a, q, err)
	}
	if e := d.there(ctx); e != nil {
		return e
	}
	return errs.E(errs.NotFound, "%w: %w", blob.ErrNoUpload, r)
}

// ListParts implements [blob.Multipart].
func (d *Driver) ListParts(ctx context.Context, key, id string, after, limit int) ([]blob.Part, bool, error) {
	if limit <= 0 || limit > blob.MaxPage {
		limit = blob.MaxPage
	}
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	defer a.close()
	out, err := d.client.ListParts(a.ctx, &s3.ListPartsInput{
		Bucket: d.bucket(), Key: &key, UploadId: &id, PartNumberMarker: aws.String(strconv.Itoa(after)), MaxParts: aws.Int32(int32(limit)),
	})
	if err != nil {
		return nil, false, d.lostUpload(ctx, a, ask{}, err)
	}
	var found []blob.Part
	for _, p := range out.Parts {
		n := int(aws.ToInt32(p.PartNumber))
		if n <= after {
			return nil, false, suspect(ask{}, "part %d came, asked for were those behind part %d", n, after)
		}
		found = append(found, blob.Part{Number: n, Size: aws.ToInt64(p.Size), ETag: unquote(p.ETag), Modified: aws.ToTime(p.LastModified)})
	}
	more := aws.ToBool(out.IsTruncated)
	if more && len(found) == 0 {
		return nil, false, suspect(ask{}, "the parts go on and none came")
	}
	return found, more, nil
}

// ListUploads implements [blob.Multipart]. It gives the first 100,000.
func (d *Driver) ListUploads(ctx context.Context, prefix string) ([]blob.Upload, error) {
	in := &s3.ListMultipartUploadsInput{Bucket: d.bucket(), Prefix: maybe(prefix), EncodingType: types.EncodingTypeUrl}
	var all []blob.Upload
	for len(all) < maxUploads {
		out, err := d.uploads(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, u := range out.Uploads {
			key, err := unescape(u.Key, out.EncodingType)
			if err != nil {
				return nil, err
			}
			all = append(all, blob.Upload{Key: key, ID: aws.ToString(u.UploadId), Started: aws.ToTime(u.Initiated)})
		}
		next, err := unescape(out.NextKeyMarker, out.EncodingType)
		if err != nil {
			return nil, err
		}
		id := aws.ToString(out.NextUploadIdMarker)
		if !aws.ToBool(out.IsTruncated) {
			break
		}
		if next == "" || next == aws.ToString(in.KeyMarker) && id == aws.ToString(in.UploadIdMarker) {
			return nil, suspect(ask{}, "the listing of uploads does not advance")
		}
		in.KeyMarker, in.UploadIdMarker = &next, maybe(id)
	}
	slices.SortStableFunc(all, func(a, b blob.Upload) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return a.Started.Compare(b.Started)
	})
	return all, nil
}

func (d *Driver) uploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (*s3.ListMultipartUploadsOutput, error) {
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	defer a.close()
	out, err := d.client.ListMultipartUploads(a.ctx, in)
	if err != nil {
		return nil, d.vague(ctx, d.answerOf(err), d.judge(a, ask{}, err))
	}
	return out, nil
}
