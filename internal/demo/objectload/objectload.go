// Package objectload is the demo's second load: clients that write, read,
// overwrite, list and delete objects over S3, and keep a ledger of what came of
// each operation. Like package load it is open loop, sends nothing twice, and
// knows nothing of Spare but its address.
//
// Each worker owns its keys and waits for each answer, so that what a read must
// give is known: see [Model]. Reads and lists are checked as they come, and the
// ledger holds enough to check them all again. Besides, the receipt of every
// order that the shop acknowledged is archived as an object of its own
// ([Load.Archive]).
//
//	l := objectload.New(objectload.Options{Target: t, Rate: 40, Workers: 16, Seed: 1}, ledger)
//	err := l.Run(ctx)
//	m := objectload.Replay(ledger.Entries())
package objectload

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/errs"
)

// Options say what to do where.
type Options struct {
	Target
	Rate    int // operations a second, but for receipts
	Workers int
	Seed    uint64
}

// ReceiptPrefix begins the keys of receipts; the order's id follows.
const ReceiptPrefix = "orders/"

// clerks archive receipts.
const clerks = 8

// Load is one load.
type Load struct {
	o        Options
	led      *Ledger
	receipts chan load.Entry
}

// New makes a load that has not begun.
func New(o Options, led *Ledger) *Load {
	return &Load{o: o, led: led, receipts: make(chan load.Entry, 1<<16)}
}

// Archive puts the receipt of an acknowledged order into the bucket, soon. It
// does not wait. It must not be called any more once the context of Run ended.
func (l *Load) Archive(e load.Entry) { l.receipts <- e }

// Run works until ctx ends, then archives the receipts that are left and waits
// for the answers still due.
func (l *Load) Run(ctx context.Context) error {
	if l.o.Rate < 1 || l.o.Workers < 1 || l.o.Addr == "" || l.o.Bucket == "" {
		return errs.E(errs.Invalid, "load of objects: rate, workers, address and bucket are all needed")
	}
	var wg sync.WaitGroup
	for range clerks {
		wg.Go(l.clerk)
	}
	// What comes due while a worker waits for an answer queues up with it: 60 s
	// of it, which is longer than anything may take.
	queues := make([]chan time.Time, l.o.Workers)
	for i := range queues {
		queues[i] = make(chan time.Time, 60*l.o.Rate/l.o.Workers+1)
		w := &worker{load: l, id: i, rand: rand.New(rand.NewPCG(l.o.Seed, uint64(i)+1)), model: NewModel(), versions: map[string]int{}}
		wg.Go(func() { w.run(queues[i]) })
	}
	begin := time.Now()
	for n := 1; ; n++ {
		due := begin.Add(time.Duration(n) * time.Second / time.Duration(l.o.Rate))
		if !load.SleepUntil(ctx, due) {
			break
		}
		queues[n%l.o.Workers] <- due
	}
	for _, q := range queues {
		close(q)
	}
	close(l.receipts)
	wg.Wait()
	return l.led.flush()
}

// receipt is what is archived of an order.
type receipt struct {
	Order string    `json:"order"`
	Item  int       `json:"item"`
	Qty   int       `json:"qty"`
	Cloud string    `json:"cloud"` // that acknowledged it
	At    time.Time `json:"at"`
}

// clerk archives receipts, one after the other.
func (l *Load) clerk() {
	c := NewClient(l.o.Target)
	defer c.Close()
	for o := range l.receipts {
		body, _ := json.Marshal(receipt{o.ID, o.Item, o.Qty, o.Cloud, o.Done().UTC()}) // plain fields: cannot fail
		n := l.led.number()
		e := c.Put(ReceiptPrefix+o.ID, append(body, '\n'))
		l.enter(n, o.Done(), e)
	}
}

// enter writes into the ledger what came of an operation.
func (l *Load) enter(n int, due time.Time, e Entry) {
	e.N = n
	e.MS += float64(e.Began.Sub(due).Microseconds()) / 1000
	e.Due = due
	l.led.add(e)
}
