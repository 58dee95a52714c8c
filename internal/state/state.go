// Package state is the seam to the control plane's store: small records under
// revisions, with compare-and-swap, transactions, watches and leases. What is
// kept here is what must survive a restart and what two controllers must agree
// on: overrides, decisions, open incidents. The journal is elsewhere.
//
// Implementations are memstate (tests), sqlitestate (one node, the default)
// and, for clusters, etcdstate. All pass statetest.
//
//	kv, err := st.Put(ctx, "override/shop@virginia", doc, state.Absent)
//	if errs.Is(err, errs.Conflict) { ... somebody was first ... }
package state

import (
	"context"
	"time"
)

// Revision orders all changes of a store: every committed change takes the
// next one. It serves as a fencing token. Revisions survive restarts and never
// repeat.
type Revision uint64

// Expectations of [Store.Put], [Store.Delete] and [Op] besides a known
// revision.
const (
	Absent Revision = 0            // the key must not exist
	Any    Revision = ^Revision(0) // whatever is there
)

// KV is one record as it was at Revision.
type KV struct {
	Key      string
	Value    []byte // nil in a watch event for a deletion
	Revision Revision
	Deleted  bool
}

// Op is one change of a transaction: a Put, or a Delete when Delete is set.
// Expect is the key's revision now, Absent or Any. An Op with Check set
// changes nothing and only demands Expect.
type Op struct {
	Key    string
	Value  []byte
	Expect Revision
	Delete bool
	Check  bool
}

// Store keeps records. All methods may be called from several goroutines.
// A change is durable when the method returns nil: it survives kill -9 of the
// process and, where the implementation says so, loss of power. An error that
// [errs.IsMaybeApplied] marks leaves the outcome open; any other error means
// that nothing changed.
//
// Kinds of error: NotFound (Get of an absent key), Conflict (an expectation
// did not hold), Stale (a lease that is over), Unavailable (the store does not
// answer; repeating may help), Invalid (an empty or over-long key: 512 bytes;
// a value over 1 MiB).
type Store interface {
	// Get gives the record under key.
	Get(ctx context.Context, key string) (KV, error)
	// List gives the records whose keys begin with prefix, in key order.
	List(ctx context.Context, prefix string) ([]KV, error)
	// Put stores value under key if the key's revision is expect.
	Put(ctx context.Context, key string, value []byte, expect Revision) (KV, error)
	// Delete removes key if its revision is expect. Deleting an absent key
	// with Any is no error and takes no revision.
	Delete(ctx context.Context, key string, expect Revision) error
	// Txn applies all ops or none, under one revision, which it gives. All
	// expectations are about the records before it. A key may be changed once
	// in it; there may be MaxOps ops. One that changes nothing takes no
	// revision and gives the newest.
	Txn(ctx context.Context, ops ...Op) (Revision, error)
	// Watch sends the changes of keys that begin with prefix, in order, from
	// the first one after revision from, each at least once. The channel is
	// closed when ctx ends, or when the watcher fell so far behind that
	// changes were lost: then List again and watch from there. It is closed at
	// once when from is a revision that the store has not reached.
	Watch(ctx context.Context, prefix string, from Revision) (<-chan KV, error)
	// Lease acquires or renews the named lease for holder until ttl from now.
	// It gives the fencing token: the revision at which holder acquired it,
	// unchanged by renewals. A lease that ran out is acquired anew, by its
	// former holder too. Conflict: someone else holds it.
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (Revision, error)
	// Release gives the lease up. Stale: holder does not hold it.
	Release(ctx context.Context, name, holder string) error
	// Revision is the newest revision.
	Revision(ctx context.Context) (Revision, error)
	// Close ends all watches and releases the store.
	Close() error
}
