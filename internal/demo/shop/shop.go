// Package shop is the small web shop that the demo runs at three clouds. It
// sells mugs, and it keeps its promise about orders: an order is acknowledged
// only when two clouds have it on disk.
//
// One cloud is one process, started with [Run]. It listens twice: its front
// takes customers' requests (through Spare), its inside takes the other
// clouds'. Orders go to the peers at once and are pulled from them besides, so
// that a cloud which was dead or frozen catches up by itself.
//
//	GET  /               product page         GET  /healthz    200 once caught up
//	GET  /products/{n}   one product, JSON    POST /orders     {"id":"a1","item":3,"qty":1}
//	GET  /catalogue      1 MiB, in pieces     GET  /orders/{id}
//
// An order's id is chosen by the customer. The same order sent again is
// answered 200 instead of 201, and the log keeps a line of each arrival, so
// that an outsider can prove that no POST arrived twice.
package shop

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// Headers of the shop's answers.
const (
	// CloudHeader names the cloud that answered.
	CloudHeader = "Shop-Cloud"
	// OutcomeHeader is "unknown" on the answer to an order that may or may not
	// count.
	OutcomeHeader = "Shop-Outcome"
)

// Options say what one cloud is. All fields but Peers are needed.
type Options struct {
	Name   string
	Front  string            // address that customers' requests come to
	Inside string            // address that the other clouds' requests come to
	Peers  map[string]string // name to inside address
	Dir    string            // holds the order log
	Log    *slog.Logger
}

// cloud is one running shop.
type cloud struct {
	Options
	ctx    context.Context // ends with the process: work for peers outlives a request
	orders *Log
	peers  []*peer
	served atomic.Uint64 // requests at the front but for health checks
	ready  atomic.Bool
}

// Run serves the shop until ctx ends.
func Run(ctx context.Context, o Options) error {
	if o.Name == "" || o.Front == "" || o.Inside == "" || o.Dir == "" {
		return errs.E(errs.Invalid, "a cloud needs a name, two addresses and a folder")
	}
	front, inside, err := listen(o)
	if err != nil {
		return err
	}
	defer func() { _, _ = front.Close(), inside.Close() }()
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return errs.Wrap(errs.Unavailable, err, "make the folder of %s", o.Name)
	}
	orders, err := OpenLog(o.Dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &cloud{Options: o, ctx: ctx, orders: orders}
	for name, addr := range o.Peers {
		c.peers = append(c.peers, newPeer(name, addr))
	}

	var wg sync.WaitGroup
	failed := make(chan error, 2)
	servers := []*http.Server{server(c.front()), server(c.inside())}
	wg.Go(func() { failed <- servers[0].Serve(front) })
	wg.Go(func() { failed <- servers[1].Serve(inside) })
	wg.Go(func() { c.follow(ctx) })
	o.Log.Info("cloud serves", "cloud", o.Name, "front", o.Front, "orders", orders.Len())
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	cancel()
	end, done := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer done()
	for _, s := range servers {
		_ = s.Shutdown(end)
		_ = s.Close()
	}
	wg.Wait()
	if e := orders.Close(); err == nil {
		err = e
	}
	return errs.Wrap(errs.Unavailable, err, "serve %s", o.Name)
}

func listen(o Options) (front, inside net.Listener, err error) {
	front, err = net.Listen("tcp", o.Front)
	if err == nil {
		if inside, err = net.Listen("tcp", o.Inside); err != nil {
			_ = front.Close()
		}
	}
	err = errs.WithHint(errs.Wrap(errs.Unavailable, err, "listen for %s", o.Name),
		"another program has the port; run the demo again and it takes others")
	return front, inside, err
}

func server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute}
}
