package s3api

import (
	"net/http"
	"strconv"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/entity"
	"github.com/sparecloud/spare/internal/s3api/listing"
	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/s3xml"
)

func (c *call) createUpload() error {
	if err := c.noCondition(); err != nil {
		return err
	}
	o, err := entity.Options(c.header)
	if err != nil {
		return err
	}
	id, err := c.store.CreateUpload(c.ctx, c.Key, o)
	if err != nil {
		return err
	}
	for _, name := range []string{"X-Amz-Checksum-Algorithm", "X-Amz-Checksum-Type"} {
		if v := c.header.Get(name); v != "" {
			c.w.Header().Set(name, v)
		}
	}
	return c.xml(&s3xml.Initiated{Bucket: c.Bucket, Key: s3xml.NewText(c.Key), UploadID: id})
}

// part reads which part of which upload is meant.
func (c *call) part() (number int, id string, err error) {
	number, err = strconv.Atoi(c.Query["partNumber"])
	if err != nil || number < 1 || number > blob.MaxParts {
		return 0, "", s3err.InvalidArgument.Msg("Part number must be an integer between 1 and %d, inclusive", blob.MaxParts)
	}
	id, err = c.uploadID()
	return number, id, err
}

func (c *call) uploadID() (string, error) {
	id := c.Query["uploadId"]
	if id == "" {
		return "", s3err.NoSuchUpload.Err()
	}
	return id, nil
}

func (c *call) uploadPart() error {
	if err := c.noCondition(); err != nil {
		return err
	}
	number, id, err := c.part()
	if err != nil {
		return err
	}
	b, err := c.body(c.header)
	if err != nil {
		return err
	}
	part, err := c.store.UploadPart(c.ctx, c.Key, id, number, b, b.Size)
	if err := judge(b, err); err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("ETag", entity.Quote(part.ETag))
	entity.DescribeSums(h, b.Sums())
	h.Del("X-Amz-Checksum-Type") // it is the whole object's
	c.done(http.StatusOK)
	return nil
}

func (c *call) abortUpload() error {
	id, err := c.uploadID()
	if err != nil {
		return err
	}
	if err := c.store.AbortUpload(c.ctx, c.Key, id); err != nil {
		return err
	}
	c.done(http.StatusNoContent)
	return nil
}

func (c *call) listParts() error {
	id, err := c.uploadID()
	if err != nil {
		return err
	}
	limit, err := listing.Limit(c.Query, "max-parts", blob.MaxPage)
	if err != nil {
		return err
	}
	after, err := listing.Number(c.Query, "part-number-marker")
	if err != nil {
		return err
	}
	parts, more, err := c.store.ListParts(c.ctx, c.Key, id, after, max(limit, 1))
	if err != nil {
		return err
	}
	if limit == 0 {
		parts, more = nil, false
	}
	doc := &s3xml.Parts{
		Bucket: c.Bucket, Key: s3xml.NewText(c.Key), UploadID: id, PartNumberMarker: after, MaxParts: limit, IsTruncated: more,
		Initiator: listing.Owner, Owner: listing.Owner, StorageClass: "STANDARD",
	}
	for _, p := range parts {
		doc.NextPartNumberMarker = p.Number
		doc.Parts = append(doc.Parts, s3xml.Part{
			PartNumber: p.Number, LastModified: s3xml.Time(p.Modified), ETag: entity.Quote(p.ETag), Size: p.Size, Checksums: s3xml.NewChecksums(p.Sums),
		})
	}
	return c.xml(doc)
}
