package edge

import (
	"math"
	"sync/atomic"
)

// budget bounds second attempts to a share of first ones: every request pays
// the share in, every second attempt takes one out. A full bucket lets a burst
// through, which is what the first moment of a failure is; a lasting failure
// meets the share. (The idea is Finagle's and gRPC's retry throttling.)
type budget struct {
	share float64
	cap   float64
	level atomic.Uint64 // float64 bits
}

func newBudget(share, burst float64) *budget {
	b := &budget{share: share, cap: burst}
	b.level.Store(math.Float64bits(burst))
	return b
}

func (b *budget) pay(share float64) {
	if share == 0 {
		share = b.share
	}
	b.add(share)
}

// take asks for one second attempt.
func (b *budget) take() bool { return b.add(-1) }

func (b *budget) add(d float64) bool {
	for {
		old := b.level.Load()
		next := math.Float64frombits(old) + d
		if next < 0 {
			return false
		}
		if b.level.CompareAndSwap(old, math.Float64bits(min(next, b.cap))) {
			return true
		}
	}
}
