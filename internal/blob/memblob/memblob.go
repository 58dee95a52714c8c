// Package memblob is a [blob.Driver] in memory, for tests, simulations and
// demonstrations. It keeps the whole contract but durability and checks its
// callers: it gives no more than the contract says, so that what works here by
// accident elsewhere shows.
//
// It starts no goroutine, never sleeps, waits for nothing but its own short
// lock, and takes time from time.Now: a testing/synctest bubble can hold it,
// and one order of calls always gives the same tags, versions and ids.
//
//	drv := memblob.Open(memblob.Options{Tags: blob.ClassUnique})
//	b := blob.New("virginia", drv)
package memblob

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Options says which provider is imitated.
type Options struct {
	// Versioned keeps what is overwritten or deleted readable by its version.
	Versioned bool
	// Tags is the class. ClassContent (also the zero value): an ETag is the MD5
	// of the bytes, or of the parts' MD5s and "-N", in hex, as at S3.
	// ClassUnique: every write takes a new one. ClassBodies: tags as at
	// ClassContent, and conditional writes are errs.Unsupported.
	Tags blob.Class
	// MinPart is the least size of a part that is not the last, in bytes; S3
	// has blob.MinPart. Less is blob.ErrTooSmall. 0 = any.
	MinPart int64
}

// Driver is a bucket in memory. It stands for the bucket at its provider, not
// for a connection: what it holds outlives Close.
type Driver struct {
	o Options

	mu     sync.Mutex // over all below; no caller's code runs under it
	state  state
	serial uint64 // of the last tag, version or upload id; a rollback does not take it back
}

// state is all that a Snapshot holds.
type state struct {
	keys    []string              // with any version, in byte order
	objects map[string][]*version // oldest first; one at most where no versions are kept
	uploads map[string]*upload    // by id
}

// version is one version of an object. It never changes.
type version struct {
	blob.Object
	body   []byte
	marker bool // a deletion, in a versioned bucket
}

var (
	_ blob.Driver = (*Driver)(nil)
	_ blob.Maker  = (*Driver)(nil)
)

// Open gives an empty bucket.
func Open(o Options) *Driver {
	if o.Tags == blob.ClassUnknown {
		o.Tags = blob.ClassContent
	}
	return &Driver{o: o, state: state{objects: map[string][]*version{}, uploads: map[string]*upload{}}}
}

// Make implements [blob.Maker]: the bucket is always there.
func (d *Driver) Make(ctx context.Context) error { return ended(ctx) }

// Close implements [blob.Driver]. The objects stay.
func (d *Driver) Close() error { return nil }

// Head implements [blob.Driver].
func (d *Driver) Head(ctx context.Context, key string) (blob.Object, error) {
	if err := ready(ctx, key); err != nil {
		return blob.Object{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	v, err := d.find(key, "")
	if err != nil {
		return blob.Object{}, err
	}
	return v.object(), nil
}

// Get implements [blob.Driver]. Body fails once ctx has ended.
func (d *Driver) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	if err := ready(ctx, key); err != nil {
		return nil, err
	}
	v, err := d.read(key, o.Version, o.Match)
	if err != nil {
		return nil, err
	}
	offset, length := int64(0), v.Size
	if o.Range != nil {
		var ok bool
		if offset, length, ok = o.Range.Resolve(v.Size); !ok {
			return nil, errs.Wrap(errs.Invalid, blob.ErrRange, "the object has %d bytes", v.Size)
		}
	}
	return &blob.Reader{
		Object: v.object(), Offset: offset, Length: length, Partial: o.Range != nil,
		Body: &body{ended: func() error { return ended(ctx) }, rest: v.body[offset : offset+length]},
	}, nil
}

// read gives a version if it has the tag.
func (d *Driver) read(key, id, match string) (*version, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.match(key, id, match)
}

func (d *Driver) match(key, id, match string) (*version, error) {
	v, err := d.find(key, id)
	if err == nil && match != "" && v.ETag != match {
		return nil, errs.E(errs.Conflict, "the object has ETag %q, not %q", v.ETag, match)
	}
	return v, err
}

// find gives the version with the id, or the current one. The lock is held.
func (d *Driver) find(key, id string) (*version, error) {
	all := d.state.objects[key]
	for i := len(all) - 1; i >= 0; i-- {
		if v := all[i]; id == "" || v.Version == id {
			if v.marker {
				break
			}
			return v, nil
		}
	}
	if id != "" {
		return nil, errs.E(errs.NotFound, "there is no version %q of the object", id)
	}
	return nil, errs.E(errs.NotFound, "there is no such object")
}

// object gives what is known of a version, in maps of its own.
func (v *version) object() blob.Object {
	o := v.Object
	o.Meta, o.Sums = maps.Clone(o.Meta), maps.Clone(o.Sums)
	return o
}

// next gives a number that was not given before. The lock is held.
func (d *Driver) next() uint64 {
	d.serial++
	return d.serial
}

func (d *Driver) id(kind string) string { return fmt.Sprintf("%s%08d", kind, d.next()) }

// now gives the time without its monotonic part, which no provider sends.
func now() time.Time { return time.Now().Round(0).UTC() }

func ready(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	return ended(ctx)
}

// ended gives the error of a call that did nothing because ctx is over: here
// it is certain that nothing was applied.
func ended(ctx context.Context) error {
	return errs.Wrap(errs.Unavailable, ctx.Err(), "use the bucket")
}
