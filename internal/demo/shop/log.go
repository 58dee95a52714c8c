package shop

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/sparecloud/spare/internal/errs"
)

// LogName is the file in a cloud's folder that holds its orders: one [Record]
// a line, only ever appended to.
const LogName = "orders.log"

// Order is what a customer ordered. The customer chose the ID.
type Order struct {
	ID   string `json:"id"`
	Item int    `json:"item"`
	Qty  int    `json:"qty"`
}

// The ways an order reaches a cloud.
const (
	ViaFront = "front" // a customer's request; each arrival is a line, also of an order that is known
	ViaPeer  = "peer"  // another cloud
)

// Record is one line of a log.
type Record struct {
	Order
	Via string `json:"via"`
}

// Log keeps a cloud's orders. An append that returned nil is on disk and
// survives kill -9. Its methods may be called from several goroutines.
type Log struct {
	f      *os.File
	writes chan appendRequest
	quit   chan struct{} // closed by Close
	done   chan struct{} // closed when the writer has ended

	mu     sync.RWMutex
	orders map[string]Order
	synced int64 // bytes of the file that are known to be on disk
}

type appendRequest struct {
	recs []Record
	err  chan<- error
}

// OpenLog opens the log in dir, or makes it. What a killed process left of its
// last line is cut off: nobody was told that it is there.
func OpenLog(dir string) (*Log, error) {
	path := filepath.Join(dir, LogName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "open the order log")
	}
	l := &Log{f: f, orders: map[string]Order{},
		writes: make(chan appendRequest, 256), quit: make(chan struct{}), done: make(chan struct{})}
	recs, size, err := read(f)
	if err == nil {
		err = errs.Wrap(errs.Unavailable, f.Truncate(size), "cut the torn end of %s", path)
	}
	if err == nil {
		_, err = f.Seek(size, io.SeekStart)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	for _, r := range recs {
		l.orders[r.ID] = r.Order
	}
	l.synced = size
	go l.write()
	return l, nil
}

// ReadLog reads a cloud's log from outside. A torn last line is left out.
func ReadLog(dir string) ([]Record, error) {
	f, err := os.Open(filepath.Join(dir, LogName))
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "read the order log")
	}
	defer func() { _ = f.Close() }()
	recs, _, err := read(f)
	return recs, err
}

// read gives the records and how many bytes their lines take.
func read(f *os.File) ([]Record, int64, error) {
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, 0, errs.Wrap(errs.Unavailable, err, "read the order log")
	}
	return parse(b, f.Name())
}

func parse(b []byte, name string) (recs []Record, size int64, err error) {
	for n := 1; ; n++ {
		end := bytes.IndexByte(b[size:], '\n')
		if end < 0 {
			return recs, size, nil
		}
		var r Record
		if err := json.Unmarshal(b[size:size+int64(end)], &r); err != nil || r.ID == "" {
			return nil, 0, errs.E(errs.Internal, "%s:%d: not an order: %q", name, n, b[size:size+int64(end)])
		}
		recs = append(recs, r)
		size += int64(end) + 1
	}
}

// Append stores the records and returns when they are on disk. A record from a
// peer of an order that is known already changes nothing.
func (l *Log) Append(recs ...Record) error {
	if len(recs) == 0 {
		return nil
	}
	err := make(chan error, 1)
	select {
	case l.writes <- appendRequest{recs, err}:
	case <-l.quit:
		return errs.E(errs.Unavailable, "the order log is closed")
	}
	select {
	case e := <-err:
		return e
	case <-l.done:
		return errs.MaybeApplied(errs.E(errs.Unavailable, "the order log was closed"))
	}
}

// Order gives the order with the ID.
func (l *Log) Order(id string) (Order, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	o, ok := l.orders[id]
	return o, ok
}

// Len is the number of orders.
func (l *Log) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.orders)
}

// After gives the bytes of the log from offset on, whole lines on disk only.
func (l *Log) After(offset int64) ([]byte, error) {
	l.mu.RLock()
	end := l.synced
	l.mu.RUnlock()
	if offset < 0 || offset > end {
		return nil, errs.E(errs.Invalid, "offset %d is not in the log, which has %d bytes", offset, end)
	}
	b := make([]byte, end-offset)
	_, err := l.f.ReadAt(b, offset)
	return b, errs.Wrap(errs.Unavailable, err, "read the order log")
}

// Close ends the log, once. An Append that is under way may still count.
func (l *Log) Close() error {
	close(l.quit)
	<-l.done
	return l.f.Close()
}

// write is the only writer: it takes all that wait, and one fsync serves them
// all.
func (l *Log) write() {
	defer close(l.done)
	for {
		select {
		case first := <-l.writes:
			batch := l.waiting(first)
			err := l.commit(batch)
			for _, r := range batch {
				r.err <- err
			}
		case <-l.quit:
			return
		}
	}
}

// waiting gives first and what has queued up behind it.
func (l *Log) waiting(first appendRequest) []appendRequest {
	batch := []appendRequest{first}
	for {
		select {
		case next := <-l.writes:
			batch = append(batch, next)
		default:
			return batch
		}
	}
}

func (l *Log) commit(batch []appendRequest) error {
	var lines bytes.Buffer
	fresh := map[string]Order{}
	enc := json.NewEncoder(&lines)
	for _, req := range batch {
		for _, r := range req.recs {
			_, known := l.Order(r.ID)
			_, here := fresh[r.ID]
			if (known || here) && r.Via != ViaFront {
				continue
			}
			if !known && !here {
				fresh[r.ID] = r.Order
			}
			if err := enc.Encode(r); err != nil {
				return errs.Wrap(errs.Internal, err, "write order %s", r.ID)
			}
		}
	}
	n, err := l.f.Write(lines.Bytes())
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		l.undo()
		return errs.MaybeApplied(errs.Wrap(errs.Unavailable, err, "write the order log"))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, o := range fresh {
		l.orders[id] = o
	}
	l.synced += int64(n)
	return nil
}

// undo takes a half-written batch out of the file, so that the next one begins
// on a line of its own.
func (l *Log) undo() {
	if l.f.Truncate(l.synced) == nil {
		_, _ = l.f.Seek(l.synced, io.SeekStart)
	}
}
