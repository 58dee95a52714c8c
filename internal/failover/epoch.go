package failover

import (
	"context"
	"strconv"
	"sync"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
	"github.com/sparecloud/spare/internal/state"
)

// epochBlock is how many epochs are reserved at once. A publication then
// waits for no store, and a restart skips at most this many numbers.
const epochBlock = 16

// epochs hands out epochs. The store keeps the highest number that anybody
// reserved; a block is ours alone. Without the store they go on from memory,
// and are unique for this controller only.
type epochs struct {
	store state.Store
	low   chan struct{} // a new block is wanted

	mu    sync.Mutex
	last  uint64 // handed out, or not to be handed out any more
	limit uint64 // last+1 to limit are reserved
}

func newEpochs(st state.Store) *epochs {
	return &epochs{store: st, low: make(chan struct{}, 1)}
}

// take gives the next epoch, higher than all before.
func (e *epochs) take() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	if e.last+epochBlock/4 > e.limit {
		e.ask()
	}
	return e.last
}

// reserved reports whether the next epoch is ours alone, and asks for a new
// block when it is not.
func (e *epochs) reserved() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.last < e.limit {
		return true
	}
	e.ask()
	return false
}

// raise makes all epochs to come higher than n.
func (e *epochs) raise(n uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = max(e.last, n)
}

func (e *epochs) ask() {
	select {
	case e.low <- struct{}{}:
	default:
	}
}

// run reserves blocks until ctx ends and reports each outcome.
func (e *epochs) run(ctx context.Context, report func(error)) error {
	again := run.Backoff{Min: retryMin, Max: retryMax, Jitter: 0.2}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.low:
		}
		err := e.reserve(ctx)
		if ctx.Err() != nil {
			return nil
		}
		report(err)
		if err == nil {
			again.Reset()
			continue
		}
		e.ask()
		if run.Sleep(ctx, again.Next()) != nil {
			return nil
		}
	}
}

// reserve gets a new block above everything handed out by anybody.
func (e *epochs) reserve(ctx context.Context) error {
	base, err := e.advance(ctx, epochBlock)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = max(e.last, base)
	e.limit = base + epochBlock
	return nil
}

// single gives one epoch above everything handed out by anybody: a fencing
// token. Our own tables stay below it until [epochs.raise].
func (e *epochs) single(ctx context.Context) (uint64, error) {
	base, err := e.advance(ctx, 1)
	return base + 1, err
}

// advance adds n to the highest reserved number and gives what it was, but
// never less than what we handed out.
func (e *epochs) advance(ctx context.Context, n uint64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	for {
		kv, err := e.store.Get(ctx, epochKey)
		if errs.Is(err, errs.NotFound) {
			kv, err = state.KV{Revision: state.Absent, Value: []byte("0")}, nil
		}
		if err != nil {
			return 0, errs.Wrap(errs.KindOf(err), err, "reserve epochs")
		}
		base, err := strconv.ParseUint(string(kv.Value), 10, 64)
		if err != nil {
			return 0, errs.Wrap(errs.Internal, err, "reserve epochs: read %s", epochKey)
		}
		e.mu.Lock()
		base = max(base, e.last)
		e.mu.Unlock()
		_, err = e.store.Put(ctx, epochKey, strconv.AppendUint(nil, base+n, 10), kv.Revision)
		if err == nil {
			return base, nil
		}
		if !errs.Is(err, errs.Conflict) || ctx.Err() != nil {
			// Where it may have been applied some numbers stay unused.
			return 0, errs.Wrap(errs.KindOf(err), err, "reserve epochs")
		}
	}
}
