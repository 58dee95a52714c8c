package s3api

import (
	"sync/atomic"

	"github.com/sparecloud/spare/internal/s3api/offer"
)

// unknown counts requests that are no operation.
const unknown offer.Op = "Other"

// Stats counts what a Server does. All of it may be read at any time.
type Stats struct {
	InFlight atomic.Int64  // requests that have begun and not ended
	BytesIn  atomic.Uint64 // of bodies, as they were sent
	BytesOut atomic.Uint64 // of bodies
	requests map[offer.Op]*[6]atomic.Uint64
}

func newStats() *Stats {
	s := &Stats{requests: map[offer.Op]*[6]atomic.Uint64{unknown: {}}}
	for _, op := range offer.Ops() {
		s.requests[op] = new([6]atomic.Uint64)
	}
	return s
}

// Requests gives the number of requests that have ended, by operation and
// class of status: 2 for 2xx and so on, 0 where the answer was cut.
func (s *Stats) Requests(f func(operation string, class int, n uint64)) {
	for op, classes := range s.requests {
		for class := range classes {
			if n := classes[class].Load(); n > 0 {
				f(string(op), class, n)
			}
		}
	}
}

func (s *Stats) ended(op offer.Op, status int) {
	s.requests[op][status/100%6].Add(1)
}
