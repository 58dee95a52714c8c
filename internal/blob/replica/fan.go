package replica

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// A fan gives one stream of bytes to several readers, each at its own pace,
// and holds no more than window bytes however far apart they are. The slowest
// reader sets the pace, until it has stood still for stall while enough others
// wait for it: then it is dropped.
type fan struct {
	need  int // readers that must not be dropped
	stall time.Duration

	mu      sync.Mutex
	changed *sync.Cond
	ring    [chunks][]byte
	head    int64 // number of the next chunk to be filled
	end     error // why no more chunks come; io.EOF = all was given
	readers []*fanReader
}

const (
	chunkSize = 128 << 10
	chunks    = 16 // so the window is 2 MiB
)

var errFewTake = errs.E(errs.Unavailable, "too few members take the body")

var errSlow = errs.E(errs.Unavailable, "took too long to take the body")

type fanReader struct {
	f    *fan
	next int64  // chunk being read
	rest []byte // of that chunk
	held bool   // rest belongs to chunk next
	out  error  // dropped
}

func newFan(readers, need int, stall time.Duration) *fan {
	f := &fan{need: need, stall: stall}
	f.changed = sync.NewCond(&f.mu)
	for range readers {
		f.readers = append(f.readers, &fanReader{f: f})
	}
	return f
}

// pump moves src into the fan until it ends, and gives the error that it ended
// with; nil for io.EOF. It also ends when fewer than need readers are left.
func (f *fan) pump(src io.Reader) error {
	for {
		slot, err := f.room()
		if err != nil {
			return f.finish(err)
		}
		n, err := io.ReadFull(src, slot[:chunkSize])
		if n > 0 {
			f.publish(slot[:n])
		}
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
			return f.finish(io.EOF)
		case err != nil:
			return f.finish(err)
		}
	}
}

func (f *fan) finish(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.end == nil {
		f.end = err
	}
	f.changed.Broadcast()
	if errors.Is(f.end, io.EOF) {
		return nil
	}
	return f.end
}

// room waits until a chunk is free.
func (f *fan) room() ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var alarm *time.Timer
	defer func() {
		if alarm != nil {
			alarm.Stop()
		}
	}()
	for {
		live, behind := f.census()
		switch {
		case f.end != nil:
			return nil, f.end
		case live < f.need || live == 0:
			return nil, errFewTake
		case len(behind) == 0:
			i := f.head % chunks
			if f.ring[i] == nil {
				f.ring[i] = make([]byte, chunkSize)
			}
			return f.ring[i][:chunkSize], nil
		}
		if alarm == nil {
			at := f.head
			alarm = time.AfterFunc(f.stall, func() { f.drop(at) })
		}
		f.changed.Wait()
	}
}

// census counts the readers that are left, and lists those that still need the
// chunk whose place is wanted.
func (f *fan) census() (live int, behind []*fanReader) {
	for _, r := range f.readers {
		if r.out != nil {
			continue
		}
		live++
		if r.next <= f.head-chunks {
			behind = append(behind, r)
		}
	}
	return live, behind
}

// drop gives up the readers that hold everyone back, if enough others are left.
// Where they are needed, all wait on; the drivers' own limits end a wait that
// leads nowhere.
func (f *fan) drop(at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	live, behind := f.census()
	if f.head == at && live-len(behind) >= f.need {
		for _, r := range behind {
			r.out = errSlow
		}
	}
	f.changed.Broadcast()
}

func (f *fan) publish(chunk []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ring[f.head%chunks] = chunk
	f.head++
	f.changed.Broadcast()
}

// leave says that a reader's work has ended, well or not.
func (r *fanReader) leave() {
	r.f.mu.Lock()
	defer r.f.mu.Unlock()
	if r.out == nil {
		r.out = errGivenUp
	}
	r.f.changed.Broadcast()
}

// Read implements io.Reader for one driver. A driver that has been dropped gets
// an error, so that it commits nothing.
func (r *fanReader) Read(p []byte) (int, error) {
	f := r.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		switch {
		case r.out != nil:
			return 0, r.out
		case r.held:
			n := copy(p, r.rest)
			if r.rest = r.rest[n:]; len(r.rest) == 0 {
				r.held = false
				r.next++
				f.changed.Broadcast()
			}
			return n, nil
		case r.next < f.head:
			r.rest, r.held = f.ring[r.next%chunks], true
		case f.end != nil:
			return 0, f.end
		default:
			f.changed.Wait()
		}
	}
}
