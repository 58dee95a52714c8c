package checksum

import (
	"crypto/md5" //nolint:gosec // Content-MD5 is what clients send
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// Want is what was declared of a body.
type Want struct {
	Size   int64                // bytes
	Sums   map[Algorithm]string // in base64
	MD5    []byte               // nil = not declared
	SHA256 string               // in hex, as the signature has it; "" = not declared
	// Late names algorithms whose values come behind the body: Trailer gives
	// them once the body has ended.
	Late    []Algorithm
	Trailer func(Algorithm) string
}

// Reader gives a body and then io.EOF if, and only if, it was what was
// declared. The last bytes are given together with io.EOF or not at all.
type Reader struct {
	body   io.Reader
	want   Want
	left   int64
	hashes map[Algorithm]hash.Hash
	md5    hash.Hash
	sha256 hash.Hash
	sums   blob.Sums
	done   bool  // it ended and was right
	err    error // what every further Read gives
}

// NewReader gives a reader that holds body to what was declared.
func NewReader(body io.Reader, w Want) *Reader {
	r := &Reader{body: body, want: w, left: w.Size, hashes: map[Algorithm]hash.Hash{}}
	for a := range w.Sums {
		r.hashes[a] = a.New()
	}
	for _, a := range w.Late {
		r.hashes[a] = a.New()
	}
	if w.MD5 != nil {
		r.md5 = md5.New() //nolint:gosec // as above
	}
	if w.SHA256 != "" {
		r.sha256 = sha256.New()
	}
	return r
}

// Err gives why the body was found wrong; nil while it was not.
func (r *Reader) Err() error {
	if r.done {
		return nil
	}
	return r.err
}

// Done says whether the body was read to its end and found right.
func (r *Reader) Done() bool { return r.done }

// Sums gives the checksums that were declared, once the body was found right.
func (r *Reader) Sums() blob.Sums {
	if !r.done {
		return nil
	}
	return r.sums
}

func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if len(p) == 0 && r.left > 0 {
		return 0, nil
	}
	n, err := 0, error(nil)
	if r.left > 0 {
		n, err = r.body.Read(p[:min(int64(len(p)), r.left)])
		r.take(p[:n])
	}
	switch {
	case r.left == 0:
		if err == nil {
			err = ends(r.body)
		}
		if r.err = r.judge(err); !r.done {
			return 0, r.err
		}
	case err != nil:
		r.err = r.judge(err)
	}
	return n, r.err
}

// take sums what was read.
func (r *Reader) take(p []byte) {
	r.left -= int64(len(p))
	for _, h := range r.hashes {
		h.Write(p)
	}
	if r.md5 != nil {
		r.md5.Write(p)
	}
	if r.sha256 != nil {
		r.sha256.Write(p)
	}
}

// ends gives io.EOF if the body ends here.
func ends(body io.Reader) error {
	var one [1]byte
	for range maxEmpty {
		n, err := body.Read(one[:])
		switch {
		case n > 0:
			return s3err.IncompleteBody.Msg("The body is longer than its declared length.")
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}

// maxEmpty is how often a body may give neither bytes nor an error at its end.
const maxEmpty = 100

// judge turns how the body ended into io.EOF, or into what was wrong.
func (r *Reader) judge(err error) error {
	ended := err == io.EOF //nolint:errorlint // an io.EOF in another error is a failure
	switch {
	case !ended && !errors.Is(err, io.ErrUnexpectedEOF):
		return err
	case r.left > 0 || !ended:
		return errs.Wrap(errs.Invalid, blob.ErrShort, "%d bytes are missing", r.left)
	}
	if r.sha256 != nil && !strings.EqualFold(hex.EncodeToString(r.sha256.Sum(nil)), r.want.SHA256) {
		return s3err.ContentSHA256Mismatch.Err()
	}
	if r.md5 != nil && subtle.ConstantTimeCompare(r.md5.Sum(nil), r.want.MD5) != 1 {
		return s3err.BadDigest.Msg("The Content-MD5 you specified did not match what we received.")
	}
	r.sums = blob.Sums{}
	for a, h := range r.hashes {
		want, declared := r.want.Sums[a]
		if !declared {
			want = r.want.Trailer(a)
			if err := a.Check(want); err != nil {
				return err
			}
		}
		if base64.StdEncoding.EncodeToString(h.Sum(nil)) != want {
			return s3err.BadDigest.Msg("The %s you specified did not match the calculated checksum.", a)
		}
		r.sums[string(a)] = want
	}
	r.done = true
	return io.EOF
}
