package checksum

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strconv"
)

// Part is what is known of a part: its checksum and its size in bytes.
type Part struct {
	Value string
	Size  int64
}

// OfParts gives the checksum of a multipart object from its parts'. A
// composite one is the sum of the parts' sums with their number behind; the
// others, which only CRCs can be, are those of the whole. ok is false when a
// part's value is missing or malformed.
func (a Algorithm) OfParts(parts []Part, composite bool) (value string, ok bool) {
	if composite {
		return a.composite(parts)
	}
	if a.polynomial() == 0 {
		return "", false
	}
	var crc uint64
	zeros := newZeros(a.polynomial())
	for i, p := range parts {
		raw, err := a.raw(p.Value)
		if err != nil {
			return "", false
		}
		next := binary.BigEndian.Uint64(append(make([]byte, 8-len(raw)), raw...))
		if i > 0 {
			next ^= zeros.behind(crc, p.Size)
		}
		crc = next
	}
	b := binary.BigEndian.AppendUint64(nil, crc)
	return base64.StdEncoding.EncodeToString(b[8-a.size():]), true
}

func (a Algorithm) composite(parts []Part) (string, bool) {
	h := a.New()
	for _, p := range parts {
		raw, err := a.raw(p.Value)
		if err != nil {
			return "", false
		}
		h.Write(raw)
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)) + "-" + strconv.Itoa(len(parts)), true
}

func (a Algorithm) polynomial() uint64 {
	switch a {
	case CRC32:
		return crc32.IEEE
	case CRC32C:
		return crc32.Castagnoli
	case CRC64NVME:
		return nvmePolynomial
	default:
		return 0
	}
}

// matrix is a linear map over GF(2) on the bits of a CRC: column i is what bit
// i becomes.
type matrix [64]uint64

func (m *matrix) times(v uint64) (sum uint64) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 != 0 {
			sum ^= m[i]
		}
	}
	return sum
}

func (m *matrix) squared() *matrix {
	var s matrix
	for i := range m {
		s[i] = m.times(m[i])
	}
	return &s
}

// zeros[i] is what 1<<i zero bytes behind a message do to its CRC. The CRC's
// conditioning before and after cancels out between two messages. The method
// is that of crc32_combine in zlib.
type zeros [63]*matrix

func newZeros(polynomial uint64) *zeros {
	m := &matrix{0: polynomial} // one zero bit
	for i := 1; i < len(m); i++ {
		m[i] = 1 << (i - 1)
	}
	for range 3 {
		m = m.squared()
	}
	return &zeros{0: m}
}

func (z *zeros) behind(crc uint64, size int64) uint64 {
	for i := 0; size > 0; i, size = i+1, size>>1 {
		if z[i] == nil {
			z[i] = z[i-1].squared()
		}
		if size&1 != 0 {
			crc = z[i].times(crc)
		}
	}
	return crc
}
