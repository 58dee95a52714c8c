package failover

import (
	"context"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/state"
)

const (
	leaseName = "failover"
	leaseTTL  = 10 * time.Second
)

// lease is held while at least one hard move is under way, and by one
// controller of a store at a time. It keeps two of them from running hooks at
// once; what makes a move safe is the compare-and-swap on its decision.
type lease struct {
	store  state.Store
	holder string

	mu    sync.Mutex
	users int
}

// acquire takes the lease, or joins in, and gives its token. Conflict:
// another controller holds it.
func (l *lease) acquire(ctx context.Context) (state.Revision, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	token, err := l.renew(ctx)
	if err == nil {
		l.users++
	}
	return token, err
}

// done ends one use. The last one gives the lease up, so that the next holder
// need not wait for it to expire.
func (l *lease) done(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users--
	if l.users > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	// A lease that cannot be given up expires.
	_ = l.store.Release(ctx, leaseName, l.holder)
}

func (l *lease) renew(ctx context.Context) (state.Revision, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	token, err := l.store.Lease(ctx, leaseName, l.holder, leaseTTL)
	return token, errs.Wrap(errs.KindOf(err), err, "acquire lease %s", leaseName)
}

// check renews and demands that the lease was ours all the time since it gave
// token.
func (l *lease) check(ctx context.Context, token state.Revision) error {
	got, err := l.renew(ctx)
	switch {
	case errs.Is(err, errs.Conflict), errs.Is(err, errs.Stale), err == nil && got != token:
		return errs.E(errs.Stale, "lease %s was lost", leaseName)
	default:
		return err
	}
}

// during runs f and keeps the lease. When the lease is lost, or cannot be
// renewed for its whole time, f's context ends and the error is Stale,
// whatever f said.
func (l *lease) during(ctx context.Context, token state.Revision, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	over := make(chan struct{})
	wg.Go(func() { l.keep(ctx, token, over, cancel) })
	err := f(ctx)
	close(over)
	wg.Wait()
	if cause := context.Cause(ctx); errs.Is(cause, errs.Stale) {
		return cause
	}
	return err
}

func (l *lease) keep(ctx context.Context, token state.Revision, over <-chan struct{}, lost context.CancelCauseFunc) {
	ticker := time.NewTicker(leaseTTL / 4)
	defer ticker.Stop()
	renewed := time.Now()
	for {
		select {
		case <-over:
			return
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		asked := time.Now()
		err := l.check(ctx, token)
		switch {
		case err == nil:
			renewed = asked
		case errs.Is(err, errs.Stale):
			lost(err)
		case time.Since(renewed) >= leaseTTL:
			lost(errs.E(errs.Stale, "lease %s could not be renewed for %s: %w", leaseName, leaseTTL, err))
		}
	}
}
