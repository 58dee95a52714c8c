// Package checksum computes the checksums that S3 knows and holds a body to
// what was declared of it.
//
//	sums, err := checksum.Declared(header)       // x-amz-checksum-...
//	b := checksum.NewReader(body, checksum.Want{Size: n, Sums: sums})
//
// A [Reader] withholds the last of the body until everything was found right,
// so that nobody who stores what it gives can store something wrong.
package checksum

import (
	"crypto/sha1" //nolint:gosec // one of S3's checksums, not a protection
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"strconv"
	"strings"

	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// Algorithm is a checksum by S3's name for it: "CRC32", "CRC32C", "CRC64NVME",
// "SHA1", "SHA256".
type Algorithm string

// The algorithms.
const (
	CRC32     Algorithm = "CRC32"
	CRC32C    Algorithm = "CRC32C"
	CRC64NVME Algorithm = "CRC64NVME"
	SHA1      Algorithm = "SHA1"
	SHA256    Algorithm = "SHA256"
)

// All lists them in the order in which answers name them.
var All = []Algorithm{CRC32, CRC32C, CRC64NVME, SHA1, SHA256}

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	// nvme is the polynomial of the NVM Express base specification, 64 bit
	// CRC, with its bits reversed as hash/crc64 wants it.
	nvme = crc64.MakeTable(nvmePolynomial)
)

const nvmePolynomial = 0x9a6c9329ac4bc9b5

// Parse gives the algorithm of a name, in any case.
func Parse(name string) (Algorithm, bool) {
	for _, a := range All {
		if strings.EqualFold(name, string(a)) {
			return a, true
		}
	}
	return "", false
}

// Header gives the name of the header that carries the algorithm's value, in
// lower case.
func (a Algorithm) Header() string { return "x-amz-checksum-" + strings.ToLower(string(a)) }

// FromHeader is the inverse of [Algorithm.Header].
func FromHeader(name string) (Algorithm, bool) {
	rest, ok := strings.CutPrefix(strings.ToLower(name), "x-amz-checksum-")
	if !ok {
		return "", false
	}
	return Parse(rest)
}

// New gives a hash of the algorithm.
func (a Algorithm) New() hash.Hash {
	switch a {
	case CRC32:
		return crc32.NewIEEE()
	case CRC32C:
		return crc32.New(castagnoli)
	case CRC64NVME:
		return crc64.New(nvme)
	case SHA1:
		return sha1.New() //nolint:gosec // as above
	default:
		return sha256.New()
	}
}

// size is the number of bytes of a value.
func (a Algorithm) size() int {
	switch a {
	case CRC32, CRC32C:
		return 4
	case CRC64NVME:
		return 8
	case SHA1:
		return sha1.Size
	default:
		return sha256.Size
	}
}

// Check says what is wrong with the form of a value, or nil.
func (a Algorithm) Check(value string) error {
	if _, err := a.raw(value); err != nil {
		return s3err.InvalidRequest.Msg("Value for %s header is invalid.", a.Header())
	}
	return nil
}

func (a Algorithm) raw(value string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(value)
	if err == nil && len(raw) != a.size() {
		err = strconv.ErrRange
	}
	return raw, err
}

// Composite says whether a value is that of a multipart object whose parts
// were summed one by one ("...-7").
func Composite(value string) bool { return strings.Contains(value, "-") }
