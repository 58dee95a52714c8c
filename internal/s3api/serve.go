package s3api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/s3api/offer"
	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/s3xml"
	"github.com/sparecloud/spare/internal/s3api/sigv4"
	"github.com/sparecloud/spare/internal/s3api/target"
)

// call is one request on its way.
type call struct {
	target.Target
	log    *slog.Logger
	t      *tables
	w      *answer
	r      *http.Request
	ctx    context.Context // the request's: a client that leaves ends it
	header http.Header     // the request's, what a presigned URL carries included
	op     offer.Operation
	sig    *sigv4.Signature
	cred   *Credential
	store  Store
	id     string
}

// handlers do the operations.
var handlers = map[offer.Op]func(*call) error{
	offer.ListBuckets:             (*call).listBuckets,
	offer.HeadBucket:              (*call).headBucket,
	offer.CreateBucket:            (*call).createBucket,
	offer.DeleteBucket:            (*call).deleteBucket,
	offer.GetBucketLocation:       (*call).bucketLocation,
	offer.GetBucketVersioning:     (*call).bucketVersioning,
	offer.GetBucketACL:            (*call).acl,
	offer.PutBucketACL:            (*call).putACL,
	offer.GetObjectACL:            (*call).acl,
	offer.PutObjectACL:            (*call).putACL,
	offer.ListObjects:             (*call).listObjects,
	offer.ListObjectsV2:           (*call).listObjectsV2,
	offer.ListMultipartUploads:    (*call).listUploads,
	offer.DeleteObjects:           (*call).deleteObjects,
	offer.GetObject:               (*call).get,
	offer.HeadObject:              (*call).head,
	offer.PutObject:               (*call).put,
	offer.CopyObject:              (*call).copyObject,
	offer.DeleteObject:            (*call).deleteObject,
	offer.CreateMultipartUpload:   (*call).createUpload,
	offer.UploadPart:              (*call).uploadPart,
	offer.UploadPartCopy:          (*call).uploadPartCopy,
	offer.CompleteMultipartUpload: (*call).completeUpload,
	offer.AbortMultipartUpload:    (*call).abortUpload,
	offer.ListParts:               (*call).listParts,
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength == 0 && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		// net/http answers an empty body at once. botocore then takes the next
		// answer on the connection for a part of this one, and waits for ever.
		w.WriteHeader(http.StatusContinue)
	}
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails
	c := &call{
		log: s.log, t: s.inForce.Load(), r: r, ctx: r.Context(), id: strings.ToUpper(hex.EncodeToString(raw[:])),
		w:  &answer{ResponseWriter: w, control: http.NewResponseController(w), stats: s.stats},
		op: offer.Operation{Op: unknown},
	}
	c.w.Header().Set("X-Amz-Request-Id", c.id)
	c.w.Header().Set("X-Amz-Id-2", s.host)
	c.w.Header().Set("Server", "Spare")
	s.stats.InFlight.Add(1)
	whole := false
	defer func() {
		s.stats.InFlight.Add(-1)
		if !whole {
			c.w.status = 0
		}
		s.stats.ended(c.op.Op, c.w.status)
	}()
	if err := c.serve(); err != nil {
		c.fail(err, s.host)
	}
	whole = true
}

// serve does what the request asks, or says why not.
func (c *call) serve() (err error) {
	if c.t == nil {
		return s3err.From(errs.E(errs.Unavailable, "no configuration is in force yet"))
	}
	if err := target.CheckHeader(c.r.Header); err != nil {
		return err
	}
	if c.Target, err = target.Parse(c.r, c.t.Domain); err != nil {
		return err
	}
	if c.sig, c.cred, err = authenticate(c.r, c.t, target.Hosted(c.r.Host, c.t.Domain)); err != nil {
		if c.t.Region != "" {
			c.w.Header().Set("X-Amz-Bucket-Region", c.t.Region)
		}
		return err
	}
	c.header = c.r.Header
	if c.sig.Presigned {
		c.header = c.Hoist(c.r.Header)
	}
	op, err := offer.Find(c.r.Method, c.Scope(), c.Query, c.header)
	if err != nil {
		return err
	}
	c.op = op
	if err := offer.CheckHeader(c.header); err != nil {
		return err
	}
	if c.store, err = authorize(c.t, c.cred, op, c.Bucket); err != nil {
		return err
	}
	if c.Key != "" {
		if err := target.CheckKey(c.Key); err != nil {
			return err
		}
	}
	return handlers[op.Op](c)
}

// fail answers with the error, or cuts the answer if a part of it is out.
func (c *call) fail(err error, host string) {
	e := s3err.From(err)
	ours := e.Status >= http.StatusInternalServerError && e.Code != s3err.NotImplemented
	gone := c.ctx.Err() != nil || errors.Is(err, errClient)
	if ours && !gone {
		c.log.Warn("s3 request failed", "request", c.id, "operation", string(c.op.Op), "bucket", c.Bucket, "key", c.Key, "code", e.Name, "err", err)
	}
	if ours && gone || c.w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	// Before it answers, net/http reads what is left of a small body: not of
	// one that does not go on.
	_ = c.w.control.SetReadDeadline(time.Now().Add(drain))
	s3err.Write(c.w, s3err.Request{Resource: c.r.URL.Path, ID: c.id, Host: host}, e)
}

// xml answers with a document.
func (c *call) xml(doc any) error {
	b, err := s3xml.Encode(doc)
	if err != nil {
		return errs.Wrap(errs.Internal, err, "encode the answer")
	}
	c.w.Header().Set("Content-Type", "application/xml")
	c.w.length(int64(len(b)))
	c.w.WriteHeader(http.StatusOK)
	_, err = c.w.Write(b)
	return err
}
