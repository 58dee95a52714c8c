package demo

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/proof"
	"github.com/sparecloud/spare/internal/demo/screen"
	"github.com/sparecloud/spare/internal/demo/shop"
	"github.com/sparecloud/spare/internal/errs"
)

// pace is how long things take.
type pace struct {
	rate   int           // requests a second
	conns  int           // connections
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
		return pace{rate: 250, conns: 50, rto: time.Second, settle: 2 * time.Second, watch: 2 * time.Second, calm: 500 * time.Millisecond, steady: 10 * time.Second, sure: 3 * time.Second, back: 20 * time.Second}
	default:
		return pace{rate: 250, conns: 50, rto: time.Second, settle: 10 * time.Second, watch: 12 * time.Second, calm: 6 * time.Second, steady: 10 * time.Second, sure: 3 * time.Second, back: 40 * time.Second}
	}
}

// play sets the stage, tells the story and judges it.
func (s *stage) play(ctx context.Context) (*Report, error) {
	if err := s.set(ctx); err != nil {
		return nil, err
	}
	file, err := os.Create(filepath.Join(s.dir, "ledger.jsonl"))
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "make the ledger")
	}
	defer func() { _ = file.Close() }() // the ledger was flushed
	s.ledger = load.NewLedger(file)

	e := proof.Evidence{Seed: uint64(s.Seed), Began: s.began, Rate: s.pace.rate, RTO: s.pace.rto, LoadBegan: time.Now()}
	stop := s.customers(ctx)
	faults, interrupted := s.story(ctx)
	e.Faults = faults
	if interrupted != nil {
		e.Interrupted = append(e.Interrupted, interrupted.Error())
	}
	e.LoadEnded = time.Now()
	if err := stop(); err != nil {
		e.Interrupted = append(e.Interrupted, err.Error())
	}
	if ctx.Err() != nil {
		return nil, errs.Wrap(errs.Unavailable, context.Cause(ctx), "tell the story")
	}
	s.audit(ctx, &e)
	e.Ended = time.Now()
	return proof.Judge(e), ctx.Err()
}

// customers lets them come. The function that it returns ends the load and
// gives its error.
func (s *stage) customers(ctx context.Context) (stop func() error) {
	ctx, cancel := context.WithCancel(ctx)
	o := load.Options{Addr: s.front, Rate: s.pace.rate, Conns: s.pace.conns, Seed: uint64(s.Seed), Items: shop.Products}
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
	s.screen.Say("customers come: %d requests a second on %d connections, one in five is an order", o.Rate, o.Conns)
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o, s.ledger) }()
	metered := make(chan struct{})
	go func() { defer close(metered); s.meter(ctx) }()
	return func() error {
		cancel()
		<-metered
		return <-ended
	}
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
			s.screen.Meter(s.ledger.Meter(now))
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
			if err = s.closed(ctx); err == nil {
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
		s.screen.Say("%s; %s serves; %d requests failed so far", screen.Felt(felt.SwitchMS, felt.StallMS), m.Cloud, m.Failed)
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
