// Package blob is a portable bucket: the same calls, with the same meaning,
// over S3, a folder or memory.
//
// A [Bucket] is what users call and a [Driver] is what a provider implements;
// package drivertest holds a driver to its contract. A driver is a thin
// translation: it does not retry, and it never guesses. In particular "I could
// not ask" is errs.Unavailable and only "I asked, and there is none" is
// errs.NotFound, because a replica that is taken for empty when it was
// unreachable loses acknowledged writes.
//
//	b := blob.New("virginia", drv)
//	obj, err := b.Put(ctx, "a/b.jpg", f, size, blob.PutOptions{})
//	r, err := b.Get(ctx, "a/b.jpg", blob.GetOptions{})
//	defer r.Close()
package blob

import (
	"errors"
	"io"
	"time"
)

// Object describes one stored object. What List gives has Key, Size, ETag and
// Modified only.
type Object struct {
	Key      string
	Size     int64     // bytes
	ETag     string    // entity tag as the provider gives it, without quotes
	Version  string    // the provider's version id; "" where the bucket keeps no versions
	Modified time.Time // by the provider's clock
	Header   Header
	Meta     map[string]string // user metadata; names in lower case, without "x-amz-meta-"
	Sums     Sums
	Parts    int // number of parts of a multipart object; 0 = written in one piece
}

// Header is the response headers that an object carries. They are stored and
// given back as they came.
type Header struct {
	Type         string `json:"type,omitempty"`         // Content-Type
	Encoding     string `json:"encoding,omitempty"`     // Content-Encoding
	Disposition  string `json:"disposition,omitempty"`  // Content-Disposition
	Language     string `json:"language,omitempty"`     // Content-Language
	CacheControl string `json:"cacheControl,omitempty"` // Cache-Control
	Expires      string `json:"expires,omitempty"`      // Expires
}

// Sums holds checksums that the writer declared and that were verified, by
// algorithm: CRC32, CRC32C, CRC64NVME, SHA1, SHA256; values in base64 as S3
// writes them, with "-N" behind those of N parts.
type Sums map[string]string

// Condition is what must hold for a write to take effect. The zero value asks
// for nothing. A write whose condition does not hold changes nothing and
// fails with errs.Conflict.
type Condition struct {
	Match  string // the object exists with this ETag; "*" = it exists
	Absent bool   // there is no object
}

// Set says whether the condition asks for anything.
func (c Condition) Set() bool { return c.Absent || c.Match != "" }

// Range is a part of an object. A negative Offset counts from the end and goes
// to the end; a negative Length means to the end.
type Range struct{ Offset, Length int64 }

// Resolve gives the first byte and the number of bytes of the range in an
// object of size bytes, cut to what there is. ok is false when no byte of the
// range exists (416 in HTTP).
func (r Range) Resolve(size int64) (offset, length int64, ok bool) {
	if r.Offset < 0 {
		offset = max(0, size+r.Offset)
		return offset, size - offset, size > 0
	}
	if r.Offset >= size || r.Length == 0 {
		return 0, 0, false
	}
	length = size - r.Offset
	if r.Length > 0 {
		length = min(length, r.Length)
	}
	return r.Offset, length, true
}

// PutOptions says what is stored beside the bytes.
type PutOptions struct {
	Header Header
	Meta   map[string]string // at most 2 KiB in all, as S3 counts: names and values
	If     Condition
	// Sums, when it is set, is called once the body has been read to its end
	// and gives what Object.Sums shall be. A driver that must send its metadata
	// before the body ignores it.
	Sums func() Sums
}

// GetOptions says what to read.
type GetOptions struct {
	Range   *Range // nil = all
	Version string // "" = the current version
	Match   string // read only the object with this ETag, else errs.Conflict; "" = any
}

// CopyOptions says how a copy is made. The copy is atomic at its target.
type CopyOptions struct {
	Version string      // version of the source; "" = the current one
	Match   string      // copy only if the source has this ETag, else errs.Conflict
	Replace *PutOptions // headers and metadata of the copy; nil = the source's. If is the condition on the target
}

// DeleteOptions says what to delete.
type DeleteOptions struct {
	Version string    // one version of a versioned bucket; "" = the current object
	If      Condition // only Match is meant
}

// ListOptions chooses keys, in the byte order of their names.
type ListOptions struct {
	Prefix    string
	Delimiter string // keys with it behind Prefix are rolled up into Page.Prefixes; "" = none
	After     string // only keys behind this one; a Page's Next continues there
	Limit     int    // objects and prefixes together; 0 = 1,000, which is also the most
}

// Page is a part of a listing. Objects and Prefixes are each in byte order.
type Page struct {
	Objects  []Object
	Prefixes []string
	Next     string // After of the next page; "" = this was the last. It is the last object's key, or AfterPrefix of the last prefix
}

// AfterPrefix gives the ListOptions.After that skips all keys that begin with
// a rolled-up prefix: what sorts behind it begins with another prefix, or with
// this one and U+10FFFF, which is no character.
func AfterPrefix(prefix string) string { return prefix + "\U0010FFFF" }

// Part is one part of a multipart upload.
type Part struct {
	Number   int // 1 to 10,000
	Size     int64
	ETag     string
	Modified time.Time
	Sums     Sums // as the writer declared; given to CompleteUpload to be checked where the driver can
}

// Upload is a multipart upload that was begun and neither completed nor
// aborted.
type Upload struct {
	Key, ID string
	Started time.Time
}

// Reader reads one object, or a range of it. It must be closed.
type Reader struct {
	Object        // of the whole object
	Offset  int64 // where the range begins
	Length  int64 // bytes that Body gives
	Body    io.ReadCloser
	Partial bool // a range was asked for
}

func (r *Reader) Read(p []byte) (int, error) { return r.Body.Read(p) }

// Close ends the read; what was not read is given up. It may be called while a
// Read waits, which then ends.
func (r *Reader) Close() error { return r.Body.Close() }

// Errors that callers tell apart. Each comes wrapped, with an errs.Kind.
var (
	ErrRange    = errors.New("no byte of the range exists")                    // errs.Invalid
	ErrNoBucket = errors.New("there is no such bucket")                        // errs.Unavailable: never taken for an absent object
	ErrNoUpload = errors.New("there is no such upload")                        // errs.NotFound
	ErrPart     = errors.New("a part is missing or not the one uploaded")      // errs.Invalid
	ErrTooSmall = errors.New("a part other than the last is too small")        // errs.Invalid
	ErrShort    = errors.New("the body ended before its declared length")      // errs.Invalid
	ErrFull     = errors.New("there is no space left")                         // errs.Unavailable
	ErrSkew     = errors.New("the clocks here and there differ too much")      // errs.Denied
	ErrDigest   = errors.New("the body does not match the declared checksum")  // errs.Invalid
	ErrSuspect  = errors.New("the answer contradicts what was asked or known") // errs.Internal
)
