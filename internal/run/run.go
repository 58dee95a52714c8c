// Package run owns goroutines. A [Group] starts the parts of a program in
// order and stops them in the reverse order, one at a time, so that a part
// never outlives what it stands on. A [Backoff] says how long to wait before
// something that failed is tried again.
//
//	g := run.New(ctx)
//	g.Defer("journal", journal.Close)
//	g.Go("link", hub.Run)     // started second, stopped second
//	g.Go("api", server.Run)   // started last, stopped first
//	return g.Wait()
package run

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// Group runs the parts of a program until the first of them fails, until the
// context given to [New] ends, or until all of them have ended by themselves.
// Its methods may be called from several goroutines. A Group is used once.
type Group struct {
	parent context.Context
	base   context.Context // parent's values without its end

	mu       sync.Mutex
	stack    []*part
	live     int
	waiting  bool // Wait was called: from now on, no live part means the end
	stopping bool
	failed   error // of the part that failed first
	errs     []error
	trigger  chan struct{} // closed by the first failure, or when no part is live
	once     sync.Once
}

// part is one entry of the stack: a goroutine, or a deferred function.
type part struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	undo   func() error
}

// New gives a group whose parts are stopped when ctx ends. It starts nothing.
func New(ctx context.Context) *Group {
	return &Group{parent: ctx, base: context.WithoutCancel(ctx), trigger: make(chan struct{})}
}

// Go starts f as a part. f must return soon after its own ctx ends; that ctx
// carries the values of the group's context, but ends only when it is this
// part's turn. A part that returns nil has ended and stops nobody; one that
// returns an error, or panics, stops the group. Once the group is stopping,
// Go does nothing.
func (g *Group) Go(name string, f func(ctx context.Context) error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopping {
		return
	}
	ctx, cancel := context.WithCancel(g.base)
	p := &part{name: name, cancel: cancel, done: make(chan struct{})}
	g.stack = append(g.stack, p)
	g.live++
	go func() {
		defer close(p.done)
		defer cancel()
		g.ended(name, ctx, guard(func() error { return f(ctx) }))
	}()
}

// Defer registers f to be called when everything that was added after it has
// stopped. A group that is stopping already calls f at once.
func (g *Group) Defer(name string, f func() error) {
	g.mu.Lock()
	if !g.stopping {
		g.stack = append(g.stack, &part{name: name, undo: f})
		g.mu.Unlock()
		return
	}
	g.mu.Unlock()
	g.note(name, guard(f))
}

// Wait blocks until the group has to stop, stops its parts in the reverse
// order of their start, each one waited for before the next is told to stop,
// and calls the deferred functions in their turn. It must be called once, or
// nothing is ever stopped.
//
// The error names the part that failed first and joins what went wrong while
// stopping. The end of the group's context is an ordinary way to stop and no
// error.
func (g *Group) Wait() error {
	g.mu.Lock()
	g.waiting = true
	if g.live == 0 {
		g.fire()
	}
	g.mu.Unlock()
	select {
	case <-g.trigger:
	case <-g.parent.Done():
	}
	g.mu.Lock()
	g.stopping = true
	stack := g.stack
	g.mu.Unlock()
	for i := len(stack) - 1; i >= 0; i-- {
		p := stack[i]
		if p.undo != nil {
			g.note(p.name, guard(p.undo))
			continue
		}
		p.cancel()
		<-p.done
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(append([]error{g.failed}, g.errs...)...)
}

// ended takes note of a part's return. What a part returns after it was told
// to stop counts only if it is more than its context's end.
func (g *Group) ended(name string, ctx context.Context, err error) {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.live--
	switch {
	case err == nil:
	case g.failed == nil && !g.stopping:
		g.failed = fmt.Errorf("%s: %w", name, err)
		g.fire()
	default:
		g.errs = append(g.errs, fmt.Errorf("%s: %w", name, err))
	}
	if g.live == 0 && g.waiting {
		g.fire()
	}
}

func (g *Group) note(name string, err error) {
	if err == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errs = append(g.errs, fmt.Errorf("stop %s: %w", name, err))
}

func (g *Group) fire() { g.once.Do(func() { close(g.trigger) }) }

// PanicError is a panic of a part, turned into an error.
type PanicError struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Unwrap gives the panic's value if that was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// guard calls f and turns a panic into an error.
func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}
