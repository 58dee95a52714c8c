package demo

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/objectload"
	"github.com/sparecloud/spare/internal/demo/proof"
	"github.com/sparecloud/spare/internal/demo/screen"
	"github.com/sparecloud/spare/internal/demo/shop"
	"github.com/sparecloud/spare/internal/errs"
)

// pace is how long things take.
type pace struct {
	rate   int           // requests a second
	conns  int           // connections
	orders int           // one request in so many is an order; 0 = 5
	ops    int           // operations on objects a second, but for receipts
	rto    time.Duration // the objective that spare.yaml declares
	settle time.Duration // before the first fault
	watch  time.Duration // during a fault
	calm   time.Duration // after a fault is over
	steady time.Duration // bound: until one cloud answers nearly all requests
	sure   time.Duration // bound: until the kernel says that a signal had its effect
	back   time.Duration // bound: until Spare takes a cloud back, or an incident closes
}

func paceOf(o Options) pace {
	switch {
	case o.hooks.pace != nil:
		return *o.hooks.pace
	case o.Fast:
		return pace{rate: 250, conns: 50, orders: 25, ops: 12, rto: time.Second, settle: 2 * time.Second, watch: 2 * time.Second, calm: 500 * time.Millisecond, steady: 10 * time.Second, sure: 3 * time.Second, back: 30 * time.Second}
	default:
		return pace{rate: 250, conns: 50, orders: 25, ops: 12, rto: time.Second, settle: 8 * time.Second, watch: 9 * time.Second, calm: 4 * time.Second, steady: 10 * time.Second, sure: 3 * time.Second, back: 40 * time.Second}
	}
}

// play sets the stage, tells the story and judges it.
func (s *stage) play(ctx context.Context) (*Report, error) {
	if err := s.set(ctx); err != nil {
		return nil, err
	}
	var files [2]*os.File
	for i, name := range []string{"ledger.jsonl", "objects.jsonl"} {
		file, err := os.Create(filepath.Join(s.dir, name))
		if err != nil {
			return nil, errs.Wrap(errs.Unavailable, err, "make the ledger")
		}
		defer func() { _ = file.Close() }() // the ledger was flushed
		files[i] = file
	}
	s.ledger, s.things = load.NewLedger(files[0]), objectload.NewLedger(files[1])

	e := proof.Evidence{Seed: uint64(s.Seed), Began: s.began, Rate: s.pace.rate, RTO: s.pace.rto,
		Archive: proof.Archive{Rate: s.pace.ops, RequestsBefore: s.toProviders(ctx)}, LoadBegan: time.Now()}
	stop := s.customers(ctx)
	faults, interrupted := s.story(ctx)
	e.Faults = faults
	if interrupted != nil {
		e.Interrupted = append(e.Interrupted, interrupted.Error())
	}
	e.LoadEnded = time.Now()
	err := stop()
	if err == nil && interrupted == nil {
		err = s.complete(ctx)
	}
	if err != nil {
		e.Interrupted = append(e.Interrupted, err.Error())
	}
	if ctx.Err() != nil {
		return nil, errs.Wrap(errs.Unavailable, context.Cause(ctx), "tell the story")
	}
	s.audit(ctx, &e)
	e.Ended = time.Now()
	return proof.Judge(e), ctx.Err()
}

// customers lets them come, and those who use the bucket. The function that it
// returns ends the loads and gives their errors.
func (s *stage) customers(ctx context.Context) (stop func() error) {
	// Receipts are archived until the last customer has left.
	things, leave := context.WithCancel(context.WithoutCancel(ctx))
	archive := objectload.New(objectload.Options{Rate: s.pace.ops, Workers: 16, Seed: uint64(s.Seed),
		Target: s.target()}, s.things)
	ctx, cancel := context.WithCancel(ctx)
	o := load.Options{Addr: s.front, Rate: s.pace.rate, Conns: s.pace.conns, Seed: uint64(s.Seed), Items: shop.Products, Orders: s.pace.orders, Acknowledged: archive.Archive}
	for _, p := range shop.Pages() {
		if q := (load.Page{Path: p.Path, SHA256: p.Digest()}); p.Slow {
			o.Downloads = append(o.Downloads, q)
		} else {
			o.Pages = append(o.Pages, q)
		}
	}
	run := load.Run
	if s.hooks.load != nil {
		run = s.hooks.load
	}
	s.screen.Say("customers come: %d requests a second on %d connections, one in %d is an order", o.Rate, o.Conns, cmp.Or(o.Orders, 5))
	s.screen.Say("others write, read, list and delete objects: %d operations a second, and the receipt of each order", s.pace.ops)
	ended, stored := make(chan error, 1), make(chan error, 1)
	go func() { ended <- run(ctx, o, s.ledger) }()
	go func() { stored <- archive.Run(things) }()
	metered := make(chan struct{})
	go func() { defer close(metered); s.meter(ctx) }()
	return func() error {
		cancel()
		<-metered
		err := <-ended
		leave()
		return errors.Join(err, <-stored)
	}
}

// target is the bucket at Spare.
func (s *stage) target() objectload.Target {
	return objectload.Target{Addr: s.s3, Bucket: bucket, Keys: s.keys}
}

// meter shows the load as it goes.
func (s *stage) meter(ctx context.Context) {
	every := 5 * time.Second
	if s.TTY {
		every = 250 * time.Millisecond
	}
	for tick := time.Tick(every); ; {
		select {
		case now := <-tick:
			s.screen.Meter(s.ledger.Meter(now), s.things.Meter(now))
		case <-ctx.Done():
			s.screen.End()
			return
		}
	}
}

// story breaks things, one after the other. It ends early when a step cannot
// be done: then the faults that are missing say so.
func (s *stage) story(ctx context.Context) (faults []proof.Fault, err error) {
	if err := pause(ctx, s.pace.settle); err != nil {
		return nil, err
	}
	kinds := proof.Kinds()
	if s.hooks.kinds != nil {
		kinds = s.hooks.kinds
	}
	for _, kind := range kinds {
		f := proof.Fault{Kind: kind}
		if kind == proof.KillControl {
			err = s.killControl(ctx, &f)
		} else {
			// One after the other: while an incident is open, Spare would take the
			// next fault of the same service for a part of it.
			if err = s.complete(ctx); err == nil {
				err = s.closed(ctx)
			}
			if err == nil {
				err = s.breakCloud(ctx, &f)
			}
		}
		if !f.At.IsZero() {
			faults = append(faults, f)
		}
		if err != nil {
			return faults, err
		}
		if err := pause(ctx, s.pace.calm); err != nil {
			return faults, err
		}
	}
	return faults, nil
}

// breakCloud breaks the cloud that serves, watches, repairs it, and waits
// until Spare has taken it back.
func (s *stage) breakCloud(ctx context.Context, f *proof.Fault) error {
	var c *cloud
	serves := func(context.Context) bool {
		m := s.ledger.Meter(time.Now())
		if i := slices.IndexFunc(s.clouds, func(c *cloud) bool { return c.name == m.Cloud }); i >= 0 && m.Share > 0.9 {
			c = s.clouds[i]
		}
		return c != nil
	}
	if err := s.await(ctx, "one cloud serves", s.pace.steady, s.spare, serves); err != nil {
		return err
	}
	f.Site = c.name
	if err := s.breakIt(ctx, c, f); err != nil {
		return err
	}
	if err := s.watch(ctx, f); err != nil {
		return err
	}
	if f.Kind == proof.Stop {
		f.Proof.States += states(c.group)
	}
	f.Until = time.Now()
	if err := s.repair(ctx, c); err != nil {
		return err
	}
	if err := s.await(ctx, "Spare takes "+c.name+" back", s.pace.back, s.spare, func(ctx context.Context) bool { return s.takenBack(ctx, c.name) }); err != nil {
		return err
	}
	s.screen.Say("Spare has taken %s back as a spare", c.name)
	s.away = c.name
	return nil
}

// complete waits until the cloud that was away last has all objects again.
func (s *stage) complete(ctx context.Context) error {
	if s.away == "" {
		return nil
	}
	whole := func(ctx context.Context) bool { return s.caughtUp(ctx, s.away) }
	if err := s.await(ctx, "the objects at "+s.away+" are complete again", s.pace.back, s.spare, whole); err != nil {
		return err
	}
	s.screen.Say("the objects at %s are complete again", s.away)
	s.away = ""
	return nil
}

// watch lets users feel the fault, and says early what they felt.
func (s *stage) watch(ctx context.Context, f *proof.Fault) error {
	first := min(2*time.Second, s.pace.watch)
	if err := pause(ctx, first); err != nil {
		return err
	}
	now := *f
	now.Until = time.Now()
	m := s.ledger.Meter(now.Until)
	if felt, ok := proof.Feel(s.ledger.Entries(), now); ok {
		s.screen.Say("%s; %s serves; %d requests and %d operations on objects failed so far",
			screen.Felt(felt.SwitchMS, felt.StallMS), m.Cloud, m.Failed, s.things.Meter(now.Until).Failed)
	} else {
		s.screen.Fault("nobody serves: %d requests failed so far", m.Failed)
	}
	return pause(ctx, s.pace.watch-first)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return errs.Wrap(errs.Unavailable, context.Cause(ctx), "tell the story")
	}
}
