package objectload

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// keysEach is how many keys a worker has: few, so that they are written over
// and deleted often.
const keysEach = 12

// The share of operations, in 100. The rest are reads.
const (
	putsIn100    = 40
	deletesIn100 = 12
	listsIn100   = 10
)

// worker is one client with keys of its own.
type worker struct {
	load     *Load
	id       int
	rand     *rand.Rand
	model    *Model
	versions map[string]int // writes so far, by key
}

func (w *worker) prefix() string { return fmt.Sprintf("load/%02d/", w.id) }

// run does one operation for each time that one is due.
func (w *worker) run(queue <-chan time.Time) {
	c := NewClient(w.load.o.Target)
	defer c.Close()
	for due := range queue {
		n := w.load.led.number()
		e := w.do(c)
		e.Wrong = w.model.Apply(e)
		w.load.enter(n, due, e)
	}
}

// do draws an operation and does it. Only keys that were written before are
// read or deleted, so that each says something.
func (w *worker) do(c *Client) Entry {
	long, what := size(w.rand), w.rand.IntN(100)
	key, known := fmt.Sprintf("%sk%02d", w.prefix(), w.rand.IntN(keysEach)), w.model.Keys()
	if what >= putsIn100 && len(known) > 0 {
		key = known[w.rand.IntN(len(known))]
	}
	there := w.model.Expect(key).SHA256 != ""
	switch {
	case what < putsIn100, len(known) == 0, what < putsIn100+deletesIn100 && !there:
		w.versions[key]++
		return c.Put(key, content(w.load.o.Seed, key, w.versions[key], long))
	case what < putsIn100+deletesIn100:
		return c.Delete(key)
	case what < putsIn100+deletesIn100+listsIn100:
		return c.List(w.prefix())
	default:
		return c.Get(key)
	}
}
