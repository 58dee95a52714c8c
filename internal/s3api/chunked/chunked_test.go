package chunked_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sparecloud/spare/internal/s3api/chunked"
)

// sums takes the hash of a chunk, or of a trailer, for its signature.
type sums struct{}

func (sums) Chunk(sum []byte, signature string) bool { return hex.EncodeToString(sum) == signature }

func (sums) Trailer(canonical []byte, signature string) bool {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]) == signature
}

// frame frames data in chunks of random sizes.
func frame(rnd *rand.Rand, data []byte, signed bool) string {
	var b strings.Builder
	chunk := func(p []byte) {
		fmt.Fprintf(&b, "%x", len(p))
		if signed {
			sum := sha256.Sum256(p)
			fmt.Fprintf(&b, ";chunk-signature=%x", sum)
		}
		b.WriteString("\r\n")
	}
	for len(data) > 0 {
		n := 1 + rnd.IntN(len(data))
		chunk(data[:n])
		b.Write(data[:n])
		b.WriteString("\r\n")
		data = data[n:]
	}
	chunk(nil)
	b.WriteString("\r\n")
	return b.String()
}

func TestWhatWasFramedComesBackHoweverItIsRead(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		data := make([]byte, rnd.IntN(50_000))
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		for _, signed := range []bool{false, true} {
			o := chunked.Options{Size: int64(len(data))}
			if signed {
				o.Verifier = sums{}
			}
			for name, wrap := range map[string]func(io.Reader) io.Reader{"whole": func(r io.Reader) io.Reader { return r }, "halves": iotest.HalfReader, "end with data": iotest.DataErrReader} {
				got, err := io.ReadAll(chunked.New(wrap(strings.NewReader(frame(rnd, data, signed))), o))
				if err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%s, signed %v: %d bytes of %d, %v", name, signed, len(got), len(data), err)
				}
			}
		}
	}
}

func TestEveryCutIsSeen(t *testing.T) {
	whole := frame(rand.New(rand.NewPCG(1, 2)), []byte(strings.Repeat("x", 500)), true)
	for n := range len(whole) {
		if _, err := io.ReadAll(chunked.New(strings.NewReader(whole[:n]), chunked.Options{Size: 500, Verifier: sums{}})); err == nil {
			t.Fatalf("%d bytes of %d were taken for the whole", n, len(whole))
		}
	}
}

func TestNoMoreThanDeclaredIsGiven(t *testing.T) {
	framed := frame(rand.New(rand.NewPCG(1, 2)), []byte(strings.Repeat("x", 500)), false)
	for _, size := range []int64{0, 1, 499} {
		got, err := io.ReadAll(chunked.New(strings.NewReader(framed), chunked.Options{Size: size}))
		if err == nil || int64(len(got)) > size {
			t.Errorf("%d declared: %d bytes, %v", size, len(got), err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 2))
	f.Add([]byte(frame(rnd, []byte("hello world"), true)), true, int64(11))
	f.Add([]byte(frame(rnd, []byte("hello world"), false)), false, int64(11))
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"), false, int64(5))
	f.Add([]byte("0;chunk-signature=e3b0\nx-amz-checksum-crc32:a\n\r\nx-amz-trailer-signature:b\r\n\r\n"), true, int64(0))
	f.Fuzz(func(t *testing.T, body []byte, signed bool, size int64) {
		o := chunked.Options{Size: size, Trailers: []string{"x-amz-checksum-crc32"}}
		if signed {
			o.Verifier = sums{}
		}
		for _, trailers := range [][]string{nil, o.Trailers} {
			o.Trailers = trailers
			got, err := io.ReadAll(chunked.New(bytes.NewReader(body), o))
			if int64(len(got)) > max(size, 0) {
				t.Fatalf("%d bytes came where %d were declared", len(got), size)
			}
			again, err2 := io.ReadAll(chunked.New(iotest.OneByteReader(bytes.NewReader(body)), o))
			if (err == nil) != (err2 == nil) || err == nil && !bytes.Equal(got, again) {
				t.Fatalf("read at once: %q, %v; byte by byte: %q, %v", got, err, again, err2)
			}
		}
	})
}
