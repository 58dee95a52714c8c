package objectload

import (
	"bufio"
	"encoding/json"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/errs"
)

// Op is what is done with an object.
type Op string

// The operations.
const (
	Put    Op = "put"
	Get    Op = "get"
	Delete Op = "delete"
	List   Op = "list"
)

// Entry is one operation in the ledger.
type Entry struct {
	N       int          `json:"n"`  // in the order in which operations began
	Due     time.Time    `json:"at"` // when it was due
	Began   time.Time    `json:"began"`
	MS      float64      `json:"ms"` // from Due until the answer's last byte
	Op      Op           `json:"op"`
	Key     string       `json:"key"` // of a list: the prefix
	Size    int64        `json:"size"`
	SHA256  string       `json:"sha256,omitempty"` // hex, of what was sent or came
	Absent  bool         `json:"absent,omitempty"` // a read: the answer was that there is none
	Listed  []string     `json:"listed,omitempty"`
	Status  int          `json:"status,omitempty"` // 0 = no answer
	Error   string       `json:"error,omitempty"`
	Outcome load.Outcome `json:"outcome"`
	Wrong   []Wrong      `json:"wrong,omitempty"` // a read or list: in what it contradicts the ledger
}

// Done is when the operation was over.
func (e Entry) Done() time.Time { return e.Due.Add(time.Duration(e.MS * float64(time.Millisecond))) }

// Ledger holds every operation that was due. Its methods may be called from
// several goroutines.
type Ledger struct {
	mu      sync.Mutex
	next    int
	entries []Entry
	failed  int // or wrong
	file    *bufio.Writer
	err     error
}

// NewLedger makes a ledger that also writes each entry to w, a line of JSON
// each.
func NewLedger(w io.Writer) *Ledger { return &Ledger{file: bufio.NewWriter(w)} }

// number gives the next operation its place.
func (l *Ledger) number() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return l.next
}

func (l *Ledger) add(e Entry) {
	line, _ := json.Marshal(e) // plain fields: cannot fail
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, e)
	if e.Outcome == load.Failed || len(e.Wrong) > 0 {
		l.failed++
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil && l.err == nil {
		l.err = err
	}
}

func (l *Ledger) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.file.Flush(); l.err == nil {
		l.err = err
	}
	return errs.Wrap(errs.Unavailable, l.err, "write the ledger of objects")
}

// Entries gives what is in the ledger, in the order of N.
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	out := slices.Clone(l.entries)
	l.mu.Unlock()
	slices.SortFunc(out, func(a, b Entry) int { return a.N - b.N })
	return out
}

// Meter is how things go right now.
type Meter struct {
	Done      int     // all that are over
	Failed    int     // of those, the wrong ones included
	PerSecond float64 // over, in the last second
}

// Meter reads the ledger's last second.
func (l *Ledger) Meter(now time.Time) Meter {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := Meter{Done: len(l.entries), Failed: l.failed}
	// They were added as they ended: what is long over is not looked at.
	for _, e := range slices.Backward(l.entries) {
		over := now.Sub(e.Done())
		if over > 2*time.Second {
			break
		}
		if over <= time.Second {
			m.PerSecond++
		}
	}
	return m
}
