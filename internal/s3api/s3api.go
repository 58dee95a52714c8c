// Package s3api is the S3 front end of the data path: it takes requests of the
// S3 protocol and does them on buckets.
//
// A [Server] serves the last [Table] that it was given and needs nothing else.
// The parts, in the order of a request's way:
//
//	serve.go   net/http adapter: what the client sent, what it gets
//	target.go  host and path to bucket and key, each decoded once
//	offer/     which operation that is, or NotImplemented
//	admit.go   who asks (sigv4/) and what they may
//	get.go, put.go, copy.go, delete.go, list.go, multipart.go, bucket.go
//	payload/   the body: framing (chunked/), lengths and checksums (checksum/)
//	s3err/     the answer when something went wrong
//
// What every operation keeps to: nothing is stored of a body that was not all
// that its request declared, a condition is never ignored, and an answer that
// cannot be finished is cut, not ended.
//
//	s := s3api.New(s3api.Options{Log: log})
//	s.Swap(&s3api.Table{Buckets: buckets, Credentials: creds, Region: "us-east-1"})
//	http.Serve(l, s)
package s3api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/offer"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// Store is a bucket to serve. Both *blob.Bucket and *replica.Bucket are one.
// A Store that cannot keep a promise that a call asks for answers
// errs.Unsupported; clients see it as NotImplemented, with its message.
type Store interface {
	Head(ctx context.Context, key string) (blob.Object, error)
	Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error)
	Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error)
	Copy(ctx context.Context, dst, src string, o blob.CopyOptions) (blob.Object, error)
	Delete(ctx context.Context, key string, o blob.DeleteOptions) error
	List(ctx context.Context, o blob.ListOptions) (blob.Page, error)
	blob.Multipart
}

// Rights are what a credential may do, each with what those before it may.
type Rights string

// The rights.
const (
	Read  Rights = "read"  // get and list
	Write Rights = "write" // put, copy and delete too
	Admin Rights = "admin" // what there is for buckets themselves too
)

// allow says whether the rights cover what an operation needs.
func (r Rights) allow(need offer.Right) bool {
	has := map[Rights]offer.Right{Read: offer.Read, Write: offer.Write, Admin: offer.Admin}[r]
	return has >= need && has > offer.None
}

// Credential is somebody who may ask.
type Credential struct {
	AccessKey string
	SecretKey string   // one that is empty opens nothing
	Buckets   []string // names; none = all
	Rights    Rights   // anything but the constants allows nothing
}

// sees says whether the credential may know of a bucket.
func (c *Credential) sees(bucket string) bool {
	return len(c.Buckets) == 0 || slices.Contains(c.Buckets, bucket)
}

// Table is what is served. It must not be changed once [Server.Swap] has it.
type Table struct {
	Buckets     map[string]Store
	Closed      map[string]error // buckets that there are and that cannot be served now, and why
	Credentials []Credential
	Region      string // that clients must sign for; "" = any, and answers say us-east-1
	Domain      string // of virtual-host style, as in BUCKET.s3.example.com; "" = path style only
}

// Options are what a Server needs from its process.
type Options struct {
	Log *slog.Logger
}

// Server serves S3 by the table in force. It is an http.Handler.
type Server struct {
	log     *slog.Logger
	inForce atomic.Pointer[tables]
	stats   *Stats
	host    string // x-amz-id-2: which process answered
}

// tables is a Table, made ready to look things up.
type tables struct {
	*Table
	byKey map[string]*Credential
}

// store gives the bucket, or why there is none to be served.
func (t *tables) store(bucket string) (Store, error) {
	if s, ok := t.Buckets[bucket]; ok {
		return s, nil
	}
	if err, ok := t.Closed[bucket]; ok {
		return nil, err
	}
	return nil, s3err.NoSuchBucket.Err().With("BucketName", bucket)
}

// New makes a Server without a table: it answers 503 until Swap.
func New(o Options) *Server {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return &Server{log: o.Log, stats: newStats(), host: hex.EncodeToString(id[:])}
}

// Swap puts a table in force for the requests that begin from now on.
func (s *Server) Swap(t *Table) {
	n := &tables{Table: t, byKey: make(map[string]*Credential, len(t.Credentials))}
	for i, c := range t.Credentials {
		if c.SecretKey != "" { // anybody can sign with the empty one
			n.byKey[c.AccessKey] = &t.Credentials[i]
		}
	}
	s.inForce.Store(n)
}

// Stats gives the server's counters.
func (s *Server) Stats() *Stats { return s.stats }

// region is what answers name: clients of S3 need one.
func (t *tables) region() string {
	if t.Region == "" {
		return defaultRegion
	}
	return t.Region
}

const defaultRegion = "us-east-1"
