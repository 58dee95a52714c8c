package s3api

import (
	"net/http"
	"sync"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/s3api/precond"
	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/s3xml"
	"github.com/sparecloud/spare/internal/s3api/target"
)

// deletesAtOnce bounds the deletions that one request has under way.
const deletesAtOnce = 16

func (c *call) deleteObject() error {
	cond, err := precond.Write(c.header)
	if err != nil {
		return err
	}
	if cond.Absent {
		return s3err.NotImplemented.Msg("If-None-Match means nothing for a deletion.")
	}
	if err := c.remove(c.Key, cond); err != nil {
		return err
	}
	c.done(http.StatusNoContent)
	return nil
}

// remove deletes a key. That there is none is no error.
func (c *call) remove(key string, cond blob.Condition) error {
	err := c.store.Delete(c.ctx, key, blob.DeleteOptions{If: cond})
	if errs.Is(err, errs.NotFound) && !cond.Set() {
		return nil
	}
	return err
}

// deleteObjects deletes up to 1,000 keys and tells of each what became of it.
// Unlike S3 it does not demand a checksum of the document, since some clients
// send none; one that is sent is checked.
func (c *call) deleteObjects() error {
	body, err := c.document(c.header, maxListing)
	if err != nil {
		return err
	}
	doc, err := s3xml.ReadDelete(body)
	if err != nil {
		return err
	}
	failed := make([]error, len(doc.Objects))
	places := make(chan struct{}, deletesAtOnce)
	var work sync.WaitGroup
	for i, o := range doc.Objects {
		places <- struct{}{}
		work.Go(func() {
			failed[i] = c.deleteOne(o)
			<-places
		})
	}
	work.Wait()
	result := &s3xml.DeleteResult{}
	for i, o := range doc.Objects {
		switch {
		case failed[i] != nil:
			e := s3err.From(failed[i])
			if e.Status >= http.StatusInternalServerError && e.Code != s3err.NotImplemented {
				c.log.Warn("s3 request failed", "request", c.id, "operation", string(c.op.Op), "bucket", c.Bucket, "key", o.Key, "code", e.Name, "err", failed[i])
			}
			result.Errors = append(result.Errors, s3xml.DeleteError{Key: s3xml.NewText(o.Key), Code: e.Name, Message: e.Text()})
		case !doc.Quiet:
			result.Deleted = append(result.Deleted, s3xml.Deleted{Key: s3xml.NewText(o.Key)})
		}
	}
	return c.xml(result)
}

func (c *call) deleteOne(o s3xml.DeleteObject) error {
	switch {
	case o.VersionID != "" && o.VersionID != "null":
		return s3err.NotImplemented.Msg("Versions of objects are not offered here.")
	case o.Modified != nil || o.Size != nil:
		return s3err.NotImplemented.Msg("The condition of a deletion can only be an ETag.")
	}
	if err := target.CheckKey(o.Key); err != nil {
		return err
	}
	return c.remove(o.Key, blob.Condition{Match: o.ETag})
}
