package s3api

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/s3api/listing"
	"github.com/sparecloud/spare/internal/s3api/offer"
	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/s3xml"
)

// created is what ListBuckets tells of every bucket: clients want a date, and
// there is none.
var created = time.Unix(0, 0)

func (c *call) listBuckets() error {
	limit, err := listing.Limit(c.Query, "max-buckets", 10_000)
	if err != nil {
		return err
	}
	after := ""
	if t, ok := c.Query["continuation-token"]; ok {
		if after, err = listing.ReadToken(t); err != nil {
			return err
		}
	}
	prefix, region := c.Query["prefix"], c.Query["bucket-region"]
	doc := &s3xml.Buckets{Owner: listing.Owner, Prefix: s3xml.Optional(prefix)}
	for _, name := range c.t.names() {
		if !c.cred.sees(name) || !strings.HasPrefix(name, prefix) || name <= after || region != "" && region != c.t.region() {
			continue
		}
		if n := len(doc.Buckets.Bucket); n == limit {
			if n > 0 {
				doc.ContinuationToken = listing.Token(doc.Buckets.Bucket[n-1].Name)
			}
			break
		}
		doc.Buckets.Bucket = append(doc.Buckets.Bucket, s3xml.Bucket{Name: name, CreationDate: s3xml.Time(created), BucketRegion: c.t.region()})
	}
	return c.xml(doc)
}

// names gives the buckets that there are.
func (t *tables) names() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(t.Buckets)), maps.Keys(t.Closed))
	slices.Sort(names)
	return slices.Compact(names)
}

func (c *call) headBucket() error {
	c.w.Header().Set("X-Amz-Bucket-Region", c.t.region())
	c.done(http.StatusOK)
	return nil
}

// createBucket finds the bucket that is there already, or says where buckets
// come from.
func (c *call) createBucket() error {
	if c.r.ContentLength != 0 {
		body, err := c.document(c.header, maxDocument)
		if err != nil {
			return err
		}
		conf, err := s3xml.ReadConfiguration(body)
		if err != nil {
			return err
		}
		if conf.Location != "" && c.t.Region != "" && conf.Location != c.t.Region {
			return s3err.InvalidLocation.Msg("The location is %q here, not %q.", c.t.Region, conf.Location)
		}
	}
	switch {
	case c.store == nil:
		return s3err.NotImplemented.Msg("Buckets are made in spare.yaml: add %q under buckets, and reload.", c.Bucket)
	case c.t.region() != defaultRegion:
		return s3err.BucketAlreadyOwnedByYou.Err().With("BucketName", c.Bucket)
	}
	c.w.Header().Set("Location", "/"+c.Bucket)
	c.done(http.StatusOK)
	return nil
}

func (c *call) deleteBucket() error {
	return s3err.NotImplemented.Msg("Buckets are removed in spare.yaml: take %q out of buckets, and reload.", c.Bucket)
}

func (c *call) bucketLocation() error {
	doc := &s3xml.Location{Region: c.t.region()}
	if doc.Region == defaultRegion {
		doc.Region = "" // S3's word for its first region
	}
	return c.xml(doc)
}

func (c *call) bucketVersioning() error { return c.xml(&s3xml.Versioning{}) }

// acl answers that all is private.
func (c *call) acl() error {
	if c.op.Op == offer.GetObjectACL {
		if _, err := c.store.Head(c.ctx, c.Key); err != nil {
			return err
		}
	}
	return c.xml(s3xml.PrivateACL(listing.Owner))
}

// putACL accepts what is so anyway; CheckHeader has refused other canned ones.
func (c *call) putACL() error {
	if c.header.Get("X-Amz-Acl") == "" {
		return s3err.NotImplemented.Msg("Objects and buckets are private to the credentials in spare.yaml: only the canned ACLs private and bucket-listing.Owner-full-control are accepted.")
	}
	if c.op.Op == offer.PutObjectACL {
		if _, err := c.store.Head(c.ctx, c.Key); err != nil {
			return err
		}
	}
	c.done(http.StatusOK)
	return nil
}
