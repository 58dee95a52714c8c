package objectload

import (
	"crypto/sha256"
	"fmt"
	"math"
	"math/rand/v2"
)

// MaxSize is the largest object, in bytes.
const MaxSize = 2 << 20

// The sizes: most objects are small, one in twenty is not.
const (
	largeIn  = 20
	maxSmall = 64 << 10
)

// size draws the size of an object: 1 B to 64 KiB, small ones likelier, and
// one in twenty from there to 2 MiB.
func size(r *rand.Rand) int {
	if r.IntN(largeIn) == 0 {
		return maxSmall + 1 + r.IntN(MaxSize-maxSmall)
	}
	return int(math.Exp2(16 * r.Float64()))
}

// content gives the bytes of one write. They depend on the seed, the key and
// the number of the write alone. The first byte counts the writes of the key,
// so that none of the last 255 has the same bytes, however short.
func content(seed uint64, key string, version, size int) []byte {
	head := fmt.Sprintf("%x %s %d\n", seed, key, version)
	gen := rand.NewChaCha8(sha256.Sum256([]byte(head)))
	b := make([]byte, size)
	_, _ = gen.Read(b) // never fails
	b[0] = byte(version)
	return b
}
