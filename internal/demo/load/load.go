// Package load is the demo's customers: an open-loop load generator that keeps
// a ledger of every request. It knows nothing of Spare; what it writes down is
// what came out of the socket.
//
// Requests are due at fixed times whether or not earlier ones have been
// answered, and latency counts from the time a request was due, so a stall is
// felt by everybody who would have come in during it (no coordinated
// omission). Nothing is ever sent twice: a connection that breaks is a failed
// request, and each order goes out once.
//
//	led := load.NewLedger(file)
//	err := load.Run(ctx, load.Options{Addr: "127.0.0.1:8080", Rate: 250, Conns: 50, Seed: 1, Pages: pages}, led)
//	for _, e := range led.Entries() { ... }
package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/demo/wire"
	"github.com/sparecloud/spare/internal/errs"
)

// Page is something to read whose bytes are known.
type Page struct {
	Path   string
	SHA256 string // hex, of the body
}

// Options say what to send where.
type Options struct {
	Addr      string // host:port
	Rate      int    // requests a second
	Conns     int    // keep-alive connections
	Seed      uint64
	Pages     []Page // read most of the time
	Downloads []Page // large; read now and then
	Items     int    // orders are for items 1 to Items
	Orders    int    // one request in so many is an order; 0 = 5
	// Timeout bounds one request, from its sending; 0 = 10 s.
	Timeout time.Duration
	// Acknowledged is told of every order that was, from several goroutines; it
	// must not wait. nil = nobody is.
	Acknowledged func(Entry)
}

// downloadsIn60 is the share of downloads in requests that are no orders.
const downloadsIn60 = 1

// request is one thing a customer is about to do.
type request struct {
	n    int
	due  time.Time
	kind Kind
	page Page   // to read
	id   string // of an order
	item int
	qty  int
}

// Run sends requests until ctx ends, then waits for the answers still due.
func Run(ctx context.Context, o Options, led *Ledger) error {
	if o.Rate < 1 || o.Conns < 1 || len(o.Pages) == 0 || len(o.Downloads) == 0 || o.Items < 1 {
		return errs.E(errs.Invalid, "load: rate, connections, pages, downloads and items are all needed")
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Orders == 0 {
		o.Orders = 5
	}
	queue := make(chan request, 1<<16)
	// What still waits for a connection when time is up is not sent any more.
	late, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	for range o.Conns {
		wg.Go(func() { work(late, o, queue, led) })
	}
	customers := rand.New(rand.NewPCG(o.Seed, 0))
	begin := time.Now()
	for n := 1; ; n++ {
		due := begin.Add(time.Duration(n) * time.Second / time.Duration(o.Rate))
		if !SleepUntil(ctx, due) {
			break
		}
		queue <- o.next(customers, n, due)
	}
	close(queue)
	defer time.AfterFunc(o.Timeout, cancel).Stop()
	wg.Wait()
	return led.flush()
}

// SleepUntil waits for t, and reports whether ctx lasted until then.
func SleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// next draws request n. The draws depend on the seed alone.
func (o Options) next(r *rand.Rand, n int, due time.Time) request {
	q := request{n: n, due: due}
	item, qty, page := 1+r.IntN(o.Items), 1+r.IntN(3), r.IntN(len(o.Pages))
	switch order, d := r.IntN(o.Orders) == 0, r.IntN(60); {
	case order:
		q.kind, q.id, q.item, q.qty = KindOrder, fmt.Sprintf("%x-%06d", o.Seed, n), item, qty
	case d < downloadsIn60:
		q.kind, q.page = KindDownload, o.Downloads[page%len(o.Downloads)]
	default:
		q.kind, q.page = KindPage, o.Pages[page]
	}
	return q
}

// work is one customer's connection.
func work(late context.Context, o Options, queue <-chan request, led *Ledger) {
	c := newConn(o.Addr, o.Timeout)
	defer c.Close()
	for q := range queue {
		led.began()
		a := answer{Answer: wire.Answer{Err: errs.E(errs.Unavailable, "never sent: no connection was free in time")}}
		if late.Err() == nil {
			a = c.do(q)
		}
		e := entryOf(q, a, time.Now())
		led.add(e)
		if o.Acknowledged != nil && e.Kind == KindOrder && e.Outcome == OK {
			o.Acknowledged(e)
		}
	}
}
