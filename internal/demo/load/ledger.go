package load

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// Kind is what a customer does.
type Kind string

// The kinds.
const (
	KindPage     Kind = "page"
	KindDownload Kind = "download"
	KindOrder    Kind = "order"
)

// Outcome is what a request came to.
type Outcome string

// The outcomes. Failed is a read that was not answered in full and correctly,
// or an order that certainly does not count though it should. MaybeApplied is
// an order of which the answer leaves open whether it counts.
const (
	OK           Outcome = "ok"
	Failed       Outcome = "failed"
	MaybeApplied Outcome = "maybe_applied"
)

// Headers that an answer may carry.
const (
	maybeHeader   = "Spare-Maybe-Applied"
	outcomeHeader = "Shop-Outcome"
	cloudHeader   = "Shop-Cloud"
)

// Entry is one request in the ledger.
type Entry struct {
	N       int       `json:"n"`
	Due     time.Time `json:"at"` // when it was due to be sent
	Kind    Kind      `json:"kind"`
	ID      string    `json:"id,omitempty"` // of an order, with what was ordered
	Item    int       `json:"item,omitempty"`
	Qty     int       `json:"qty,omitempty"`
	Path    string    `json:"path,omitempty"`   // of a read
	Status  int       `json:"status,omitempty"` // 0 = no answer
	MS      float64   `json:"ms"`               // from Due until the answer's last byte
	Cloud   string    `json:"cloud,omitempty"`  // that answered
	Maybe   string    `json:"spare_maybe_applied,omitempty"`
	BodyOK  bool      `json:"body_ok"` // a read: the bytes are the right ones
	Error   string    `json:"error,omitempty"`
	Outcome Outcome   `json:"outcome"`
}

// Done is when the request was over.
func (e Entry) Done() time.Time { return e.Due.Add(time.Duration(e.MS * float64(time.Millisecond))) }

func entryOf(q request, a answer, now time.Time) Entry {
	e := Entry{N: q.n, Due: q.due, Kind: q.kind, ID: q.id, Item: q.item, Qty: q.qty, Path: q.page.Path, Status: a.Status,
		MS: float64(now.Sub(q.due).Microseconds()) / 1000}
	if a.Header != nil {
		e.Cloud, e.Maybe = a.Header.Get(cloudHeader), a.Header.Get(maybeHeader)
	}
	if a.Err != nil {
		e.Error = a.Err.Error()
	}
	e.BodyOK = q.kind != KindOrder && a.sha256 == q.page.SHA256
	e.Outcome = outcome(e, a)
	return e
}

// outcome judges one answer. An error that does not say that the order may
// count is a plain failure: whoever answers has to know, or to say so.
func outcome(e Entry, a answer) Outcome {
	if e.Kind != KindOrder {
		if a.Err == nil && e.Status == http.StatusOK && e.BodyOK {
			return OK
		}
		return Failed
	}
	switch {
	case e.Status == http.StatusCreated, e.Status == http.StatusOK:
		return OK // the status is the promise; a lost body takes nothing back
	case !a.Sent:
		return Failed
	case e.Maybe == "true", a.Header.Get(outcomeHeader) == "unknown":
		return MaybeApplied
	case e.Status == 0:
		return MaybeApplied // the connection broke after the order went out
	default:
		return Failed
	}
}

// Ledger holds every request that was due. Its methods may be called from
// several goroutines.
type Ledger struct {
	mu      sync.Mutex
	entries []Entry // in the order in which they were over
	open    int
	file    *bufio.Writer
	err     error
}

// NewLedger makes a ledger that also writes each entry to w, a line of JSON
// each.
func NewLedger(w io.Writer) *Ledger { return &Ledger{file: bufio.NewWriter(w)} }

func (l *Ledger) began() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open++
}

func (l *Ledger) add(e Entry) {
	line, _ := json.Marshal(e) // plain fields: cannot fail
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	l.entries = append(l.entries, e)
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
	return errs.Wrap(errs.Unavailable, l.err, "write the ledger")
}

// Entries gives what is in the ledger, in the order in which requests were
// due.
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	out := slices.Clone(l.entries)
	l.mu.Unlock()
	slices.SortFunc(out, func(a, b Entry) int { return a.N - b.N })
	return out
}

// Meter is how things go right now.
type Meter struct {
	Sent         int // all that are over
	Failed       int
	MaybeApplied int
	Waiting      int     // sent and not over
	PerSecond    float64 // over, in the last second
	P99MS        float64 // of pages and orders in the last second
	Cloud        string  // that answered most of the last second's requests
	Share        float64 // of the last second's requests that it answered, 0 to 1
}

// Meter reads the ledger's last second.
func (l *Ledger) Meter(now time.Time) Meter {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := Meter{Sent: len(l.entries), Waiting: l.open}
	byCloud := map[string]int{}
	var ms []float64
	for i := len(l.entries) - 1; i >= 0; i-- {
		e := l.entries[i]
		switch e.Outcome {
		case Failed:
			m.Failed++
		case MaybeApplied:
			m.MaybeApplied++
		}
		if now.Sub(e.Done()) > time.Second {
			continue
		}
		m.PerSecond++
		if e.Kind != KindDownload {
			ms = append(ms, e.MS)
		}
		if byCloud[e.Cloud]++; e.Cloud != "" && (m.Cloud == "" || byCloud[e.Cloud] > byCloud[m.Cloud]) {
			m.Cloud = e.Cloud
		}
	}
	if m.Cloud != "" {
		m.Share = float64(byCloud[m.Cloud]) / m.PerSecond
	}
	m.P99MS = Quantile(ms, 0.99)
	return m
}

// Quantile gives the q-th quantile (0 to 1) of ms; 0 when there are none.
func Quantile(ms []float64, q float64) float64 {
	if len(ms) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(ms))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}
