package link

import (
	"sync"

	"github.com/sparecloud/spare/internal/health"
)

const (
	ringSize  = 10_000 // events kept for a control process that is away
	batchSize = 500    // events in one frame
)

// ring keeps the events that control has not acknowledged, the newest
// ringSize of them: what happened last matters most to who comes back.
type ring struct {
	source string
	wake   chan struct{} // has a token when there may be something to send

	mu       sync.Mutex
	pending  []health.Event // in order of sequence
	seq      uint64         // of the newest event
	lost     uint64         // dropped unacknowledged
	inFlight bool           // a batch was sent and not acknowledged
}

func newRing(source string) *ring {
	return &ring{source: source, wake: make(chan struct{}, 1)}
}

// push gives e its source and number and keeps it.
func (r *ring) push(e health.Event) {
	r.mu.Lock()
	r.seq++
	e.Source, e.Seq = r.source, r.seq
	if len(r.pending) == ringSize {
		r.pending = r.pending[1:]
		r.lost++
	}
	r.pending = append(r.pending, e)
	r.mu.Unlock()
	r.poke()
}

// batch gives the next events to send, or none while a batch is under way.
func (r *ring) batch() ([]health.Event, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inFlight || len(r.pending) == 0 {
		return nil, 0
	}
	r.inFlight = true
	n := min(len(r.pending), batchSize)
	return append([]health.Event(nil), r.pending[:n]...), r.lost
}

// ack drops the events up to seq.
func (r *ring) ack(seq uint64) {
	r.mu.Lock()
	n := 0
	for n < len(r.pending) && r.pending[n].Seq <= seq {
		n++
	}
	r.pending = r.pending[n:]
	r.inFlight = false
	r.mu.Unlock()
	r.poke()
}

// rewind makes everything unacknowledged due again, for a new session.
func (r *ring) rewind() {
	r.mu.Lock()
	r.inFlight = false
	r.mu.Unlock()
	r.poke()
}

func (r *ring) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *ring) lostCount() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}
