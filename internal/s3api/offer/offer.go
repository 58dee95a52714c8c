// Package offer says what of the S3 API is offered. One table decides by
// method, by what the URL names and by the query's parameters; a second one
// decides which x-amz-* headers are understood. What is in neither is answered
// with NotImplemented: a request is never done without a part of what it asks.
//
//	op, err := offer.Find(r.Method, offer.Object, parameters, header)
//	err = offer.CheckHeader(header)
package offer

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// Op is an operation, by its name in the S3 API.
type Op string

// The operations that are offered.
const (
	ListBuckets             Op = "ListBuckets"
	CreateBucket            Op = "CreateBucket"
	DeleteBucket            Op = "DeleteBucket"
	HeadBucket              Op = "HeadBucket"
	GetBucketLocation       Op = "GetBucketLocation"
	GetBucketVersioning     Op = "GetBucketVersioning"
	GetBucketACL            Op = "GetBucketAcl"
	PutBucketACL            Op = "PutBucketAcl"
	ListObjects             Op = "ListObjects"
	ListObjectsV2           Op = "ListObjectsV2"
	ListMultipartUploads    Op = "ListMultipartUploads"
	DeleteObjects           Op = "DeleteObjects"
	GetObject               Op = "GetObject"
	HeadObject              Op = "HeadObject"
	PutObject               Op = "PutObject"
	CopyObject              Op = "CopyObject"
	DeleteObject            Op = "DeleteObject"
	GetObjectACL            Op = "GetObjectAcl"
	PutObjectACL            Op = "PutObjectAcl"
	CreateMultipartUpload   Op = "CreateMultipartUpload"
	UploadPart              Op = "UploadPart"
	UploadPartCopy          Op = "UploadPartCopy"
	CompleteMultipartUpload Op = "CompleteMultipartUpload"
	AbortMultipartUpload    Op = "AbortMultipartUpload"
	ListParts               Op = "ListParts"
)

// Scope is what a URL names.
type Scope int

// The scopes.
const (
	Service Scope = iota // no bucket
	Bucket               // a bucket and no key
	Object               // a key
)

// Right is what a credential must have.
type Right int

// The rights, each with those before it.
const (
	None Right = iota
	Read
	Write
	Admin
)

// Operation is a row of the table.
type Operation struct {
	Op     Op
	Right  Right
	method string
	scope  Scope
	needs  string // parameters that make it this operation
	may    string // parameters that it understands besides
	copies bool   // x-amz-copy-source makes it this operation
}

const (
	overrides = "response-content-type response-content-language response-expires response-cache-control response-content-disposition response-content-encoding"
	listing   = "prefix delimiter encoding-type max-keys"
)

// table is searched from the top: the first row that has all that it needs and
// understands all that is there.
var table = []Operation{
	{ListBuckets, None, "GET", Service, "", "max-buckets continuation-token prefix bucket-region", false},

	{HeadBucket, Read, "HEAD", Bucket, "", "", false},
	{CreateBucket, None, "PUT", Bucket, "", "", false},
	{DeleteBucket, Admin, "DELETE", Bucket, "", "", false},
	{GetBucketLocation, Read, "GET", Bucket, "location", "", false},
	{GetBucketVersioning, Read, "GET", Bucket, "versioning", "", false},
	{GetBucketACL, Read, "GET", Bucket, "acl", "", false},
	{PutBucketACL, Write, "PUT", Bucket, "acl", "", false},
	{ListMultipartUploads, Read, "GET", Bucket, "uploads", "prefix delimiter encoding-type max-uploads key-marker upload-id-marker", false},
	{ListObjectsV2, Read, "GET", Bucket, "list-type", listing + " start-after continuation-token fetch-owner", false},
	{ListObjects, Read, "GET", Bucket, "", listing + " marker", false},
	{DeleteObjects, Write, "POST", Bucket, "delete", "", false},

	{GetObjectACL, Read, "GET", Object, "acl", "versionId", false},
	{PutObjectACL, Write, "PUT", Object, "acl", "versionId", false},
	{ListParts, Read, "GET", Object, "uploadId", "max-parts part-number-marker", false},
	{GetObject, Read, "GET", Object, "", "versionId " + overrides, false},
	{HeadObject, Read, "HEAD", Object, "", "versionId " + overrides, false},
	{UploadPartCopy, Write, "PUT", Object, "uploadId partNumber", "", true},
	{UploadPart, Write, "PUT", Object, "uploadId partNumber", "", false},
	{CopyObject, Write, "PUT", Object, "", "", true},
	{PutObject, Write, "PUT", Object, "", "", false},
	{CreateMultipartUpload, Write, "POST", Object, "uploads", "", false},
	{CompleteMultipartUpload, Write, "POST", Object, "uploadId", "", false},
	{AbortMultipartUpload, Write, "DELETE", Object, "uploadId", "", false},
	{DeleteObject, Write, "DELETE", Object, "", "versionId", false},
}

// Ops lists the operations in the order of the table.
func Ops() []Op {
	ops := make([]Op, len(table))
	for i, row := range table {
		ops[i] = row.Op
	}
	return ops
}

// Find gives the operation that a request asks for. query holds the query's
// parameters; those that S3 promises to ignore ("x-...") are left out of
// account. Only versionId=null is a version that exists.
func Find(method string, scope Scope, query map[string]string, header http.Header) (Operation, error) {
	var names []string
	for name := range query {
		if !strings.HasPrefix(strings.ToLower(name), "x-") && !oldSignature[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	_, copies := header["X-Amz-Copy-Source"]
	for _, row := range table {
		if row.method != method || row.scope != scope || row.copies && !copies || !row.understands(names) {
			continue
		}
		if v := query["versionId"]; v != "" && v != "null" {
			return Operation{}, s3err.NotImplemented.Msg("Versions of objects are not offered here: versionId can only be null.")
		}
		return row, nil
	}
	return Operation{}, missing(method, names)
}

// oldSignature are the parameters of URLs that version 2 presigned.
var oldSignature = map[string]bool{"AWSAccessKeyId": true, "Signature": true, "Expires": true}

// understands says whether all that the row needs is among the names, and
// nothing that it does not know.
func (o Operation) understands(names []string) bool {
	needs, may := strings.Fields(o.needs), strings.Fields(o.may)
	for _, n := range needs {
		if !slices.Contains(names, n) {
			return false
		}
	}
	for _, n := range names {
		if !slices.Contains(needs, n) && !slices.Contains(may, n) {
			return false
		}
	}
	return true
}

func missing(method string, names []string) error {
	what := method
	if len(names) > 0 {
		what += " ?" + strings.Join(names, "&")
	}
	return s3err.NotImplemented.Msg("%s is not offered here.", what)
}
