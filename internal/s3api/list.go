package s3api

import (
	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/listing"
)

func (c *call) listObjects() error   { return c.list(listing.Objects(c.Bucket, c.Query)) }
func (c *call) listObjectsV2() error { return c.list(listing.ObjectsV2(c.Bucket, c.Query)) }

func (c *call) list(l *listing.List, err error) error {
	if err != nil {
		return err
	}
	var page blob.Page
	if l.Limit > 0 {
		if page, err = c.store.List(c.ctx, l.ListOptions); err != nil {
			return err
		}
	}
	return c.xml(l.Answer(page))
}

func (c *call) listUploads() error {
	all, err := c.store.ListUploads(c.ctx, c.Query["prefix"])
	if err != nil {
		return err
	}
	doc, err := listing.Uploads(c.Bucket, c.Query, all)
	if err != nil {
		return err
	}
	return c.xml(doc)
}
