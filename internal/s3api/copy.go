package s3api

import (
	"net/url"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/s3api/checksum"
	"github.com/sparecloud/spare/internal/s3api/entity"
	"github.com/sparecloud/spare/internal/s3api/offer"
	"github.com/sparecloud/spare/internal/s3api/precond"
	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/s3xml"
	"github.com/sparecloud/spare/internal/s3api/target"
)

// source is what a copy is made of.
type source struct {
	bucket, key string
	store       Store
}

// source reads x-amz-copy-source and checks that the client may read it. The
// value is decoded once, with "+" for a space, as S3 does.
func (c *call) source() (s source, err error) {
	raw := strings.TrimPrefix(c.header.Get("X-Amz-Copy-Source"), "/")
	raw, version, _ := strings.Cut(raw, "?versionId=")
	if version != "" && version != "null" {
		return s, s3err.NotImplemented.Msg("Versions of objects are not offered here: versionId can only be null.")
	}
	path, err := url.QueryUnescape(raw)
	if err != nil {
		return s, s3err.InvalidArgument.Msg("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	s.bucket, s.key, _ = strings.Cut(path, "/")
	if s.bucket == "" || s.key == "" {
		return s, s3err.InvalidArgument.Msg("Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	if err := target.CheckKey(s.key); err != nil {
		return s, err
	}
	if !c.cred.sees(s.bucket) || !c.cred.Rights.allow(offer.Read) {
		return s, s3err.AccessDenied.Err()
	}
	s.store, err = c.t.store(s.bucket)
	return s, err
}

func (c *call) copyObject() error {
	src, err := c.source()
	if err != nil {
		return err
	}
	cond, err := precond.Write(c.header)
	if err != nil {
		return err
	}
	var o blob.CopyOptions
	if c.header.Get("X-Amz-Metadata-Directive") == "REPLACE" {
		replace, err := entity.Options(c.header)
		if err != nil {
			return err
		}
		o.Replace = &replace
	} else if src.bucket == c.Bucket && src.key == c.Key {
		return s3err.InvalidRequest.Msg("This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata.")
	}
	if o, err = c.constrain(src, o, cond); err != nil {
		return err
	}
	var obj blob.Object
	if src.bucket == c.Bucket {
		obj, err = c.store.Copy(c.ctx, c.Key, src.key, o)
	} else {
		obj, err = c.copyAcross(src, o)
	}
	if err != nil {
		return err
	}
	return c.xml(s3xml.Copied("CopyObjectResult", entity.Quote(obj.ETag), obj.Modified, obj.Sums))
}

// constrain asks of the source what has to be known before the copy: whether
// the conditions on it hold, and what a condition on the target needs. The copy
// is then bound to what was asked.
func (c *call) constrain(src source, o blob.CopyOptions, cond blob.Condition) (blob.CopyOptions, error) {
	if !precond.HasSource(c.header) && (!cond.Set() || o.Replace != nil) {
		if o.Replace != nil {
			o.Replace.If = cond
		}
		return o, nil
	}
	obj, err := src.store.Head(c.ctx, src.key)
	if err != nil {
		return o, err
	}
	if err := precond.Source(c.header, obj); err != nil {
		return o, err
	}
	o.Match = obj.ETag
	if cond.Set() && o.Replace == nil {
		o.Replace = &blob.PutOptions{Header: obj.Header, Meta: obj.Meta, Sums: func() blob.Sums { return obj.Sums }}
	}
	if o.Replace != nil {
		o.Replace.If = cond
	}
	return o, nil
}

// copyAcross copies from another bucket: the bytes pass here and are held to
// the checksums that the source has.
func (c *call) copyAcross(src source, o blob.CopyOptions) (blob.Object, error) {
	r, err := src.store.Get(c.ctx, src.key, blob.GetOptions{Match: o.Match})
	if err != nil {
		return blob.Object{}, err
	}
	defer func() { _ = r.Close() }() // what was read has been judged by its reads
	if r.Size > blob.MaxPut {
		return blob.Object{}, s3err.InvalidRequest.Msg("The specified copy source is larger than the maximum allowable size for a copy source: %d", int64(blob.MaxPut))
	}
	body := checksum.NewReader(r, checksum.Want{Size: r.Size, Sums: checksum.Whole(r.Sums)})
	put := blob.PutOptions{Header: r.Header, Meta: r.Meta}
	if o.Replace != nil {
		put = *o.Replace
	}
	put.Sums = body.Sums
	obj, err := c.store.Put(c.ctx, c.Key, body, r.Size, put)
	return obj, judgeSource(body, err)
}

// judgeSource decides as judge does, where the body came of a store: that it
// was wrong is no fault of the client's.
func judgeSource(body *checksum.Reader, err error) error {
	if wrong := body.Err(); wrong != nil {
		kind := errs.KindOf(wrong)
		if kind != errs.Unavailable {
			kind = errs.Internal
		}
		return errs.E(kind, "read the source of a copy: %v", wrong)
	}
	return err
}

// uploadPartCopy makes a part of an object or a range of it. The bytes pass
// here.
func (c *call) uploadPartCopy() error {
	src, err := c.source()
	if err != nil {
		return err
	}
	number, id, err := c.part()
	if err != nil {
		return err
	}
	get := blob.GetOptions{}
	if spec := c.header.Get("X-Amz-Copy-Source-Range"); spec != "" {
		rng, ok := precond.Range(spec)
		if !ok || rng.Offset < 0 || rng.Length <= 0 {
			return s3err.InvalidArgument.Msg("The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
		}
		get.Range = &rng
	}
	if precond.HasSource(c.header) {
		obj, err := src.store.Head(c.ctx, src.key)
		if err != nil {
			return err
		}
		if err := precond.Source(c.header, obj); err != nil {
			return err
		}
		get.Match = obj.ETag
	}
	r, err := src.store.Get(c.ctx, src.key, get)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // as in copyAcross
	if get.Range != nil && r.Length != get.Range.Length {
		return s3err.InvalidArgument.Msg("Range specified is not valid for source object of size: %d", r.Size)
	}
	body := checksum.NewReader(r, checksum.Want{Size: r.Length})
	part, err := c.store.UploadPart(c.ctx, c.Key, id, number, body, r.Length)
	if err := judgeSource(body, err); err != nil {
		return err
	}
	return c.xml(s3xml.Copied("CopyPartResult", entity.Quote(part.ETag), part.Modified, nil))
}
