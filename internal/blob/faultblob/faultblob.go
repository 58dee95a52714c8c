// Package faultblob is a [blob.Driver] over another one that fails as
// providers do: it does not answer, answers with an error, late, wrongly or
// not in time, loses an answer after the write was done, or does the write
// long after it said that it could not.
//
// Faults are injected and cleared while calls run. They live in memory only
// and end by themselves after [MaxAge] unless they are renewed: whoever
// injects a fault and dies leaves none behind.
//
//	drv := faultblob.Wrap(memblob.Open(memblob.Options{}))
//	f, err := drv.Inject(faultblob.Fault{Kind: faultblob.Lost, Methods: []string{"put"}, Keys: "h/*"})
//	defer f.Clear()
package faultblob

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// MaxAge is how long a fault lasts at most after it was injected or renewed.
const MaxAge = 30 * time.Second

// Kind is a way to fail.
type Kind string

// The kinds. Where it says "mutation", a call that only reads fails plainly.
const (
	// Down: Unavailable at once, and it is certain that nothing was applied. A
	// body is not touched.
	Down Kind = "down"
	// Error: a 5xx answer. A body is read to its end, nothing is applied; a
	// mutation is not told so (MaybeApplied).
	Error Kind = "error"
	// Latency: the call begins after Delay (and up to Jitter more). It adds to
	// whatever other fault the call meets.
	Latency Kind = "latency"
	// BlackHole: nothing comes until the call's context ends, or MaxAge has
	// passed. Nothing is applied; a mutation is not told so.
	BlackHole Kind = "black hole"
	// Truncated: the body of a Get ends after At bytes, as if it were whole.
	Truncated Kind = "truncated body"
	// Stalled: the body of a Get gives At bytes and then nothing, until the
	// call's context ends, MaxAge has passed or the body is closed.
	Stalled Kind = "stalled body"
	// Corrupt: one bit of the body of a Get is wrong, behind At bytes.
	Corrupt Kind = "corrupt body"
	// Lost: the call is done, and its answer does not come, be it a success, a
	// Conflict or a NotFound: Unavailable, and MaybeApplied for a mutation.
	Lost Kind = "response lost"
	// Late: a mutation is told at once that it may have been applied, and is
	// applied after Delay (and up to Jitter more). At most 64 MiB of bodies are
	// kept for it; what is more is never applied. Other calls pass.
	Late Kind = "applied late"
	// Full: blob.ErrFull for what needs space. Reading and deleting pass.
	Full Kind = "full"
	// Denied: the credentials are refused.
	Denied Kind = "denied"
	// NoBucket: blob.ErrNoBucket.
	NoBucket Kind = "no bucket"
	// Skew: blob.ErrSkew.
	Skew Kind = "clock skew"
	// Rollback: Restore runs before the first call that the fault meets; then
	// the fault is over.
	Rollback Kind = "rollback"
)

var kinds = []Kind{Down, Error, Latency, BlackHole, Truncated, Stalled, Corrupt, Lost, Late, Full, Denied, NoBucket, Skew, Rollback}

// Fault is what is to fail and how. The zero value of all but Kind fails every
// call for MaxAge.
type Fault struct {
	Kind    Kind
	Methods []string      // as in blob.Stats: "head", "get", "put", ...; none = all
	Keys    string        // pattern; "*" stands for any bytes, "/" too; "" = all. A copy has its target's key, a listing its prefix, "make" none
	Share   float64       // of the calls that it meets, above 0 to 1; 0 = all
	Rand    *rand.Rand    // where Share, Jitter or a place in a body is drawn; the Driver's alone from now on
	Times   int           // ends after so many calls; 0 = no bound
	For     time.Duration // ends after it; 0 or more than MaxAge = MaxAge

	Delay, Jitter time.Duration // of Latency and Late
	At            int64         // byte of the body at which Truncated, Stalled and Corrupt begin; 0 = drawn from Rand, or half of the body
	Restore       func()        // what Rollback does, such as a memblob's Restore to a Snapshot.
}

// check says what is wrong with a fault, or nil.
func (f Fault) check() error {
	switch {
	case !slices.Contains(kinds, f.Kind):
		return errs.E(errs.Invalid, "there is no fault %q", f.Kind)
	case f.Share < 0 || f.Share > 1:
		return errs.E(errs.Invalid, "a fault's share is %v, it must be between 0 and 1", f.Share)
	case (f.Share > 0 && f.Share < 1 || f.Jitter > 0) && f.Rand == nil:
		return errs.E(errs.Invalid, "a fault that is left to chance needs a source of chance")
	case (f.Kind == Latency || f.Kind == Late) && f.Delay+f.Jitter <= 0, f.Delay < 0, f.Jitter < 0:
		return errs.E(errs.Invalid, "fault %q has the delay %s and up to %s more, it must be positive", f.Kind, f.Delay, f.Jitter)
	case f.Times < 0 || f.For < 0 || f.At < 0:
		return errs.E(errs.Invalid, "a fault's times, duration and place must not be negative")
	case (f.Kind == Rollback) != (f.Restore != nil):
		return errs.E(errs.Invalid, "a rollback, and nothing else, needs what restores the bucket")
	}
	for _, m := range f.Methods {
		if !slices.Contains(methods, m) {
			return errs.E(errs.Invalid, "there is no method %q", m)
		}
	}
	return nil
}

var methods = []string{
	"head", "get", "put", "copy", "delete", "list", "make",
	"create_upload", "upload_part", "complete_upload", "abort_upload", "list_parts", "list_uploads",
}

// Injected is a fault in force.
type Injected struct {
	d    *Driver
	f    Fault
	ends time.Time // by the monotonic clock
	hits int
	over bool
}

// Renew lets the fault last as long again from now on. It says whether the
// fault was still in force: one that is over stays so.
func (i *Injected) Renew() bool {
	i.d.mu.Lock()
	defer i.d.mu.Unlock()
	if !i.active() {
		return false
	}
	i.ends = time.Now().Add(i.f.For)
	return true
}

// Clear ends the fault. Calls that wait in it go on waiting.
func (i *Injected) Clear() {
	i.d.mu.Lock()
	defer i.d.mu.Unlock()
	i.over = true
}

// Hits gives how many calls it has met.
func (i *Injected) Hits() int {
	i.d.mu.Lock()
	defer i.d.mu.Unlock()
	return i.hits
}

// active says whether the fault is in force. The Driver's lock is held.
func (i *Injected) active() bool {
	return !i.over && time.Now().Before(i.ends) && (i.f.Times == 0 || i.hits < i.f.Times)
}

// Driver is a driver with faults. Without any it does what the one below does.
type Driver struct {
	drv blob.Driver

	mu     sync.Mutex // over the faults and their sources of chance
	faults []*Injected

	late late
}

var (
	_ blob.Driver = (*Driver)(nil)
	_ blob.Maker  = (*Driver)(nil)
)

// Wrap gives a driver that does what drv does until a fault is injected.
func Wrap(drv blob.Driver) *Driver {
	return &Driver{drv: drv, late: late{stop: make(chan struct{})}}
}

// Inject puts a fault in force, behind those that are. Delays of all that a
// call meets add up; of the others the first decides. The error is Invalid.
func (d *Driver) Inject(f Fault) (*Injected, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	if f.For == 0 || f.For > MaxAge {
		f.For = MaxAge
	}
	if f.Kind == Rollback {
		f.Times = 1
	}
	f.Methods = slices.Clone(f.Methods)
	i := &Injected{d: d, f: f, ends: time.Now().Add(f.For)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append(slices.DeleteFunc(d.faults, func(i *Injected) bool { return !i.active() }), i)
	return i, nil
}

// Clear ends all faults. What is applied late still will be: see Settle.
func (d *Driver) Clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.faults {
		i.over = true
	}
	d.faults = nil
}
