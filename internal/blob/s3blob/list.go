package s3blob

import (
	"context"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// maxEmptyPages is how many pages without a name may come one after another.
const maxEmptyPages = 100

// List implements [blob.Driver]. Pages are continued by name (start-after), so
// that no provider's token has to be kept.
func (d *Driver) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	if o.Limit <= 0 || o.Limit > blob.MaxPage {
		o.Limit = blob.MaxPage
	}
	in := &s3.ListObjectsV2Input{
		Bucket: d.bucket(), Prefix: maybe(o.Prefix), Delimiter: maybe(o.Delimiter), StartAfter: maybe(o.After),
		MaxKeys: aws.Int32(int32(o.Limit)), EncodingType: types.EncodingTypeUrl,
	}
	for range maxEmptyPages {
		out, err := d.list(ctx, in)
		if err != nil {
			return blob.Page{}, err
		}
		p, err := page(o, out)
		more := aws.ToBool(out.IsTruncated)
		if err != nil || !more || len(p.Objects)+len(p.Prefixes) > 0 {
			return p, err
		}
		if in.ContinuationToken = out.NextContinuationToken; in.ContinuationToken == nil {
			break
		}
	}
	return blob.Page{}, suspect(ask{}, "the listing goes on and on without a name")
}

func (d *Driver) list(ctx context.Context, in *s3.ListObjectsV2Input) (*s3.ListObjectsV2Output, error) {
	a := d.begin(ctx, d.opt.Timeouts.Idle)
	defer a.close()
	out, err := d.client.ListObjectsV2(a.ctx, in)
	if err == nil {
		return out, nil
	}
	if r := d.answerOf(err); r != nil && r.bare() {
		// There is nothing else that a listing could be missing.
		return nil, refused(ask{}, &answer{status: r.status, code: "NoSuchBucket", message: "to a listing"})
	}
	return nil, d.judge(a, ask{}, err)
}

// page reads an answer. Names are escaped where the answer says so: XML cannot
// carry all of them.
func page(o blob.ListOptions, out *s3.ListObjectsV2Output) (blob.Page, error) {
	name := func(s *string) (string, error) { return unescape(s, out.EncodingType) }
	var p blob.Page
	var last string
	for _, c := range out.Contents {
		key, err := name(c.Key)
		if err != nil {
			return blob.Page{}, err
		}
		last = max(last, key)
		if key <= o.After {
			continue // some begin with the name itself
		}
		p.Objects = append(p.Objects, blob.Object{
			Key: key, Size: aws.ToInt64(c.Size), ETag: unquote(c.ETag), Modified: aws.ToTime(c.LastModified),
		})
	}
	for _, c := range out.CommonPrefixes {
		prefix, err := name(c.Prefix)
		if err != nil {
			return blob.Page{}, err
		}
		end := blob.AfterPrefix(prefix)
		last = max(last, end)
		if end <= o.After {
			continue // its keys were skipped on purpose
		}
		p.Prefixes = append(p.Prefixes, prefix)
	}
	if aws.ToBool(out.IsTruncated) {
		p.Next = last
	}
	return p, nil
}

func unescape(s *string, how types.EncodingType) (string, error) {
	if how != types.EncodingTypeUrl {
		return aws.ToString(s), nil
	}
	name, err := url.QueryUnescape(aws.ToString(s))
	if err != nil {
		return "", errs.E(errs.Internal, "%w: %.80q is no escaped name", blob.ErrSuspect, aws.ToString(s))
	}
	return name, nil
}
