package blob

import (
	"context"
	"io"
)

// Driver is one bucket at one provider.
//
// All methods may be called at once from many goroutines. Reads see every
// write that was acknowledged before they began (read-after-write,
// list-after-write); a write is atomic: readers see all of it or none.
//
// Kinds of errors, from package errs:
//
//	NotFound     asked, and there is no such object (or upload)
//	Conflict     the Condition, or Match, did not hold; nothing changed. A
//	             Condition that wants an object where there is none is this,
//	             never NotFound
//	Unavailable  not known: no answer, a 5xx answer, no such bucket (ErrNoBucket).
//	             A mutation wraps it in errs.MaybeApplied unless it is certain
//	             that it was not and never will be applied
//	Denied       the provider refused the credentials
//	Invalid      the request itself is wrong
//	Unsupported  the provider cannot do it
//
// A ctx that ends makes the call return soon with ctx's error in the chain
// (errs.Unavailable, MaybeApplied for a mutation).
type Driver interface {
	// Head describes the object.
	Head(ctx context.Context, key string) (Object, error)

	// Get opens the object for reading, at one moment's state: a write that
	// comes while Body is read does not show in it; Body then gives the old
	// bytes or fails. Body fails if fewer than Length bytes come.
	Get(ctx context.Context, key string, o GetOptions) (*Reader, error)

	// Put stores size bytes of body. If body fails or ends early nothing is
	// stored, and the error wraps body's or ErrShort. It is durable when it
	// returns. The Object has at least Key, Size, ETag and Version.
	Put(ctx context.Context, key string, body io.Reader, size int64, o PutOptions) (Object, error)

	// Copy copies within the provider. from is this Driver, or another bucket's
	// of the same type and account; anything else is errs.Unsupported. No source
	// is NotFound. The copy may have another ETag than its source.
	Copy(ctx context.Context, dst string, from Driver, src string, o CopyOptions) (Object, error)

	// Delete removes the object. It is no error if there is none, unless o.If
	// is set.
	Delete(ctx context.Context, key string, o DeleteOptions) error

	// List gives a page of names. With a Delimiter, a prefix stands for its keys
	// behind After; it is left out when After is its AfterPrefix.
	List(ctx context.Context, o ListOptions) (Page, error)

	Multipart

	// Close frees connections. Calls must have ended.
	Close() error
}

// Multipart writes an object in parts. Parts may be sent in any order, at once
// and again; the last one of a number counts.
type Multipart interface {
	// CreateUpload begins an upload. o is for the object to be; o.If and o.Sums
	// are not meant.
	CreateUpload(ctx context.Context, key string, o PutOptions) (id string, err error)
	// UploadPart stores a part, as Put stores an object: all of it or none.
	UploadPart(ctx context.Context, key, id string, number int, body io.Reader, size int64) (Part, error)
	// CompleteUpload makes the object from the parts named, in rising number.
	// A part that is missing or has another ETag is ErrPart. When it fails with
	// a Condition's Conflict, or for its parts, the upload goes on.
	CompleteUpload(ctx context.Context, key, id string, parts []Part, c Condition) (Object, error)
	// AbortUpload forgets the upload. One that does not exist is ErrNoUpload.
	AbortUpload(ctx context.Context, key, id string) error
	// ListParts gives parts with numbers above after, at most limit (0 =
	// 1,000), and whether there are more.
	ListParts(ctx context.Context, key, id string, after, limit int) ([]Part, bool, error)
	// ListUploads gives uploads whose key has the prefix, by key, then by start.
	ListUploads(ctx context.Context, prefix string) ([]Upload, error)
}

// Maker is a Driver that can make its bucket.
type Maker interface {
	// Make creates the bucket; one that is there already and ours is no error.
	Make(ctx context.Context) error
}
