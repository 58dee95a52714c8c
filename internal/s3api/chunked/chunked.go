// Package chunked decodes aws-chunked bodies: the framing of the streamed
// uploads of S3, with a signature on each chunk or without, with trailers or
// without.
//
// The form is that of "Signature Calculations for the Authorization Header:
// Transferring Payload in Multiple Chunks" in the Amazon S3 API reference:
//
//	<size in hex>[;chunk-signature=<hex>]\r\n <data> \r\n
//	...
//	0[;chunk-signature=<hex>]\r\n
//	[<name>:<value>\r\n ... x-amz-trailer-signature:<hex>\r\n]
//	\r\n
//
// A [Reader] gives the data as it comes and io.EOF only when all of the framing
// was right and nothing follows it. A chunk's signature is known to be good
// when its last byte was given and the next Read did not fail, so who reads
// must not act on data before io.EOF.
package chunked

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// Limits of the framing. They are far above what clients send.
const (
	maxLine    = 1 << 10 // bytes of a chunk's head or a trailer's line
	maxTrailer = 16      // lines
	bufferSize = 16 << 10
)

// Verifier checks the signatures of a body's chunks in their order.
type Verifier interface {
	Chunk(sha256 []byte, signature string) bool
	Trailer(canonical []byte, signature string) bool
}

// Options say what the request declared.
type Options struct {
	Verifier Verifier // nil = the chunks are not signed
	Trailers []string // names, in lower case, that must follow the data, and no others
	Size     int64    // bytes of data
}

// Reader gives the data of an aws-chunked body.
type Reader struct {
	opt     Options
	in      *bufio.Reader
	left    int64 // of the chunk
	total   int64
	began   bool
	sign    string // claimed for the chunk
	sum     hash.Hash
	trailer map[string]string
	err     error
}

// New gives a reader of the body.
func New(body io.Reader, o Options) *Reader {
	r := &Reader{opt: o, in: bufio.NewReaderSize(body, bufferSize), trailer: map[string]string{}}
	if o.Verifier != nil {
		r.sum = sha256.New()
	}
	return r
}

// Trailer gives the value of a trailer, once Read gave io.EOF.
func (r *Reader) Trailer(name string) string { return r.trailer[name] }

// Read gives data. Errors are of package s3err, blob.ErrShort where the body
// ends too early, or the body's own.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.left == 0 {
		if r.err = r.next(); r.err != nil {
			return 0, r.err
		}
	}
	n, err := r.in.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	r.total += int64(n)
	if r.sum != nil {
		r.sum.Write(p[:n])
	}
	if err != nil {
		r.err = short(err)
	}
	return n, r.err
}

// next ends the chunk that was read and begins the next one that has data. At
// the end of the body it gives io.EOF.
func (r *Reader) next() error {
	if r.began {
		if err := r.endChunk(); err != nil {
			return err
		}
	}
	r.began = true
	size, signature, err := r.head()
	if err != nil {
		return err
	}
	if size > r.opt.Size-r.total {
		return malformed("the body is longer than its declared length")
	}
	r.left, r.sign = size, signature
	if size > 0 {
		return nil
	}
	if err := r.verify(); err != nil {
		return err
	}
	if err := r.trailers(); err != nil {
		return err
	}
	return r.end()
}

// end gives io.EOF if the body ends here. minio-go writes one empty line too
// many behind a trailer.
func (r *Reader) end() error {
	var rest [3]byte
	n, err := io.ReadFull(r.in, rest[:])
	switch {
	case err == nil || n > 0 && string(rest[:n]) != "\r\n":
		return malformed("something follows the last chunk")
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return io.EOF
	default:
		return short(err)
	}
}

func (r *Reader) endChunk() error {
	line, err := r.line()
	if err != nil {
		return err
	}
	if line != "" {
		return malformed("a chunk is longer than its head says")
	}
	return r.verify()
}

func (r *Reader) verify() error {
	if r.opt.Verifier == nil {
		return nil
	}
	sum := r.sum.Sum(nil)
	r.sum.Reset()
	if !r.opt.Verifier.Chunk(sum, r.sign) {
		return s3err.SignatureDoesNotMatch.Msg("The signature of a chunk is not the one that the chunk has.")
	}
	return nil
}

// head reads the head of a chunk.
func (r *Reader) head() (size int64, signature string, err error) {
	line, err := r.line()
	if err != nil {
		return 0, "", err
	}
	digits, extension, extended := strings.Cut(line, ";")
	signature, named := strings.CutPrefix(extension, "chunk-signature=")
	if signed := r.opt.Verifier != nil; extended != signed || named != signed {
		return 0, "", malformed("the head of a chunk is not of the form that was declared")
	}
	u, err := strconv.ParseUint(digits, 16, 63)
	if err != nil || digits[0] == '+' {
		return 0, "", malformed("the size of a chunk is not a number")
	}
	return int64(u), signature, nil
}

// trailers reads what follows the chunk of no data, to the end of the body.
// Some clients write "name:value\n\r\n" before the signature, as an example in
// the reference has it, so an empty line ends it only where nothing is signed.
func (r *Reader) trailers() error {
	signature := ""
	for n := 0; ; n++ {
		line, err := r.line()
		if errors.Is(err, blob.ErrShort) && line == "" && n > 0 {
			break // some clients leave out the last empty line
		}
		if err != nil {
			return err
		}
		if n > maxTrailer {
			return s3err.MalformedTrailer.Err()
		}
		if line == "" {
			if r.signsTrailer() && signature == "" {
				continue
			}
			break
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		_, twice := r.trailer[name]
		switch {
		case !ok || twice || signature != "":
			return s3err.MalformedTrailer.Err()
		case name == "x-amz-trailer-signature" && r.signsTrailer():
			signature = value
		case slices.Contains(r.opt.Trailers, name):
			r.trailer[name] = value
		default:
			return s3err.MalformedTrailer.Msg("The trailer %q was not declared in x-amz-trailer.", name)
		}
	}
	return r.checkTrailer(signature)
}

func (r *Reader) signsTrailer() bool { return r.opt.Verifier != nil && len(r.opt.Trailers) > 0 }

func (r *Reader) checkTrailer(signature string) error {
	if len(r.trailer) != len(r.opt.Trailers) {
		return s3err.MalformedTrailer.Msg("A trailer that x-amz-trailer declares is missing.")
	}
	if !r.signsTrailer() {
		return nil
	}
	var canonical []byte
	for _, name := range slices.Sorted(maps.Keys(r.trailer)) {
		canonical = append(canonical, name+":"+r.trailer[name]+"\n"...)
	}
	if !r.opt.Verifier.Trailer(canonical, signature) {
		return s3err.SignatureDoesNotMatch.Msg("The signature of the trailer is not the one that the trailer has.")
	}
	return nil
}

// line reads a line without its end, which is CRLF or LF.
func (r *Reader) line() (string, error) {
	var b []byte
	for {
		c, err := r.in.ReadByte()
		switch {
		case err != nil:
			return string(b), short(err)
		case c == '\n':
			return strings.TrimSuffix(string(b), "\r"), nil
		case len(b) >= maxLine:
			return "", malformed("a line of the framing is too long")
		}
		b = append(b, c)
	}
}

// short makes the end of the body, where it must not be, an error.
func short(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) { //nolint:errorlint // an io.EOF in another error is a failure
		return errs.Wrap(errs.Invalid, blob.ErrShort, "aws-chunked")
	}
	return err
}

func malformed(what string) error {
	return s3err.InvalidRequest.Msg("The aws-chunked body is malformed: %s.", what)
}
