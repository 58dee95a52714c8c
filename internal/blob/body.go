package blob

import (
	"errors"
	"io"
	"sync/atomic"

	"github.com/sparecloud/spare/internal/errs"
)

// plausible says whether what came can be the answer to what was asked.
func plausible(r *Reader, o GetOptions) error {
	offset, length, ok := int64(0), r.Size, true
	if o.Range != nil {
		offset, length, ok = o.Range.Resolve(r.Size)
	}
	switch {
	case !ok || r.Offset != offset || r.Length != length:
		return errs.Wrap(errs.Internal, ErrSuspect, "%d bytes from %d on came of an object of %d bytes, asked for were %d from %d on",
			r.Length, r.Offset, r.Size, length, offset)
	case o.Match != "" && r.ETag != o.Match:
		return errs.Wrap(errs.Internal, ErrSuspect, "the object with ETag %q came, asked for was %q", r.ETag, o.Match)
	case o.Version != "" && r.Version != "" && r.Version != o.Version:
		return errs.Wrap(errs.Internal, ErrSuspect, "version %q came, asked for was %q", r.Version, o.Version)
	}
	return nil
}

// received is the body of an object that is read. It counts the bytes, makes
// an early end an error, and hears the driver out at the end: a checksum that
// does not match is told there.
type received struct {
	io.ReadCloser
	bucket *Bucket
	key    string
	left   int64
	err    error // what every further Read gives
}

func (r *received) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.left == 0 {
		r.err = r.failed(ends(r.ReadCloser, ErrSuspect))
		return 0, r.err
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.ReadCloser.Read(p)
	r.left -= int64(n)
	r.bucket.stats.BytesRead.Add(uint64(n))
	if r.left > 0 && isEnd(err) {
		err = io.ErrUnexpectedEOF
	}
	r.err = r.failed(err)
	return n, r.err
}

// failed says of what the body failed. What a driver did not classify is a
// failure of the line.
func (r *received) failed(err error) error {
	if err == nil || isEnd(err) {
		return err
	}
	err = errs.Wrap(kindOf(err, errs.Unavailable), err, "%s: read %q, %d bytes before its end", r.bucket.name, r.key, r.left)
	r.bucket.stats.fail("get", err)
	return err
}

// isEnd says whether a body is at its end. An io.EOF within another error is
// the end of something else, such as a connection.
func isEnd(err error) bool {
	return err == io.EOF //nolint:errorlint // see above
}

// kindOf gives the kind of a body's error, which may be anybody's.
func kindOf(err error, unclassified errs.Kind) errs.Kind {
	kind := errs.KindOf(err)
	if kind == errs.Internal && !errors.Is(err, ErrSuspect) {
		return unclassified
	}
	return kind
}

// exactly gives the declared number of bytes of body. It keeps the last of
// them back until body has said that it ends there: so a body that fails at
// its very end, because its checksum does not match, or that is shorter
// (ErrShort) or longer than it was declared, is never sent whole.
type exactly struct {
	body io.Reader
	left int64
	n    *atomic.Uint64
	err  error // what every further Read gives
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.err != nil || len(p) == 0 {
		return 0, e.err
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	var n int
	var err error
	if e.left > 0 {
		n, err = e.body.Read(p)
		e.left -= int64(n)
	}
	switch {
	case e.left == 0 && err == nil:
		err = ends(e.body, errLong)
	case e.left > 0 && isEnd(err):
		err = errs.Wrap(errs.Invalid, ErrShort, "%d bytes are missing", e.left)
	}
	if err != nil && !isEnd(err) {
		err = &bodyError{errs.Wrap(kindOf(err, errs.Invalid), err, "the body that was given")}
	}
	e.err = err
	if e.left == 0 && !isEnd(err) {
		return 0, err
	}
	e.n.Add(uint64(n))
	return n, err
}

// bodyError is the failure of a body that the caller gave: no fault of the
// provider.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return e.err.Error() }
func (e *bodyError) Unwrap() error { return e.err }

var errLong = errs.E(errs.Invalid, "the body is longer than its declared length")

// ends gives io.EOF if the body ends here, long if it does not, and body's
// error if it fails.
func ends(body io.Reader, long error) error {
	var one [1]byte
	for range maxEmptyReads {
		n, err := body.Read(one[:])
		switch {
		case n > 0:
			return long
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// maxEmptyReads is how often a body may give neither bytes nor an error where
// it should end; bufio has the same bound.
const maxEmptyReads = 100

type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
