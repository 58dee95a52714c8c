package faultblob

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// maxLate bounds the bodies that are kept to be written late, in bytes.
const maxLate = 64 << 20

// late is the mutations that are still to be applied.
type late struct {
	mu      sync.Mutex
	held    int64 // bytes of their bodies
	pending []chan struct{}
	stop    chan struct{} // closed by Close
	stopped bool
}

// later applies a mutation when its delay is over, without its caller. size is
// what it holds in memory.
func (l *late) later(ctx context.Context, delay time.Duration, size int64, apply func(context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped || l.held+size > maxLate {
		return
	}
	l.held += size
	done := make(chan struct{})
	l.pending = append(l.pending, done)
	ctx = context.WithoutCancel(ctx) // its caller has its answer
	go func() {
		defer l.over(done, size)
		if err := wait(ctx, l.stop, delay); err == nil && !l.ended() {
			apply(ctx)
		}
	}()
}

func (l *late) over(done chan struct{}, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held -= size
	l.pending = slices.DeleteFunc(l.pending, func(c chan struct{}) bool { return c == done })
	close(done)
}

func (l *late) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stopped
}

// settle waits for all that is pending now.
func (l *late) settle(ctx context.Context) error {
	l.mu.Lock()
	pending := slices.Clone(l.pending)
	l.mu.Unlock()
	for _, done := range pending {
		select {
		case <-done:
		case <-ctx.Done():
			return errs.Wrap(errs.Unavailable, ctx.Err(), "wait for late writes")
		}
	}
	return nil
}

// Settle returns when every mutation that was to be applied late is applied,
// or with ctx's error.
func (d *Driver) Settle(ctx context.Context) error { return d.late.settle(ctx) }

// Close gives up what would have been applied late, and closes the driver
// below.
func (d *Driver) Close() error {
	d.late.mu.Lock()
	if !d.late.stopped {
		d.late.stopped = true
		close(d.late.stop)
	}
	d.late.mu.Unlock()
	_ = d.late.settle(context.Background()) // without a context that ends it has no error
	return d.drv.Close()
}

// kept is a body, and what goes with it, of which nothing is the caller's any
// more.
func kept(ctx context.Context, body io.Reader, size int64, o blob.PutOptions) (io.Reader, blob.PutOptions, error) {
	if size > maxLate {
		return bytes.NewReader(nil), o, drain(ctx, body, size) // it is not going to be applied
	}
	var b bytes.Buffer
	if err := drain(ctx, io.TeeReader(body, &b), size); err != nil {
		return nil, o, err
	}
	return &b, ownOptions(o), nil
}

// ownOptions gives options of which nothing is the caller's any more.
func ownOptions(o blob.PutOptions) blob.PutOptions {
	o.Meta = maps.Clone(o.Meta)
	if o.Sums != nil {
		sums := o.Sums()
		o.Sums = func() blob.Sums { return sums }
	}
	return o
}
