package incident

import (
	"sync"
	"time"
)

// inboxMax is how many messages wait in order. Beyond that only the newest of
// each key is kept: what is lost are steps in between, never how things stand.
const inboxMax = 4096

// message is one call of a Desk's method, to be applied to the book.
type message struct {
	key   string // what it is about; a newer message of a key makes older ones superfluous
	apply func(b *book, now time.Time)
}

// inbox hands messages from any goroutine to the one that keeps the book. It
// never blocks the sender, and its size is bounded by inboxMax and the number
// of keys.
type inbox struct {
	mu     sync.Mutex
	queue  []message
	spill  map[string]message
	order  []string // of spill's keys
	merged uint64   // messages that a newer one replaced
	ready  chan struct{}
}

func newInbox() *inbox {
	return &inbox{spill: map[string]message{}, ready: make(chan struct{}, 1)}
}

func (i *inbox) put(key string, apply func(b *book, now time.Time)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	m := message{key, apply}
	if len(i.queue) < inboxMax {
		i.queue = append(i.queue, m)
	} else {
		if _, ok := i.spill[key]; ok {
			i.merged++
		} else {
			i.order = append(i.order, key)
		}
		i.spill[key] = m
	}
	select {
	case i.ready <- struct{}{}:
	default:
	}
}

// take gives everything that waits, in order, and how many messages were
// replaced since the last call.
func (i *inbox) take() ([]message, uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	ms := i.queue
	for _, k := range i.order {
		ms = append(ms, i.spill[k])
	}
	merged := i.merged
	i.queue, i.order, i.merged = nil, nil, 0
	clear(i.spill)
	return ms, merged
}
