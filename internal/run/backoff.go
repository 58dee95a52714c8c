package run

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff gives growing delays between attempts: Min, twice that, and so on up
// to Max, each shortened by a random share so that many who failed together do
// not come back together. It is not safe for concurrent use.
type Backoff struct {
	Min, Max  time.Duration
	Jitter    float64        // largest share taken off a delay, 0-1
	Immediate bool           // the first delay after the start or a Reset is zero
	Rand      func() float64 // in [0,1); nil = the runtime's source

	tries int
}

// Next gives the delay before the next attempt.
func (b *Backoff) Next() time.Duration {
	n := b.tries
	b.tries++
	if b.Immediate {
		if n == 0 {
			return 0
		}
		n--
	}
	d := b.Min
	for ; n > 0 && d < b.Max; n-- {
		d *= 2
	}
	d = min(d, b.Max)
	random := b.Rand
	if random == nil {
		random = rand.Float64
	}
	return d - time.Duration(float64(d)*b.Jitter*random())
}

// Reset makes the next delay the first one again. Call it after a success.
func (b *Backoff) Reset() { b.tries = 0 }

// Sleep waits for d or until ctx ends, and then gives ctx's error.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
