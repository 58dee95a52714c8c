// Package replica is one bucket over several providers' buckets: every object
// is at several of them, through the loss of any one, with no metadata server.
//
// A tiny head record for each key, kept by compare-and-swap on every member, is
// the register that orders writes (multi-writer ABD, Lynch and Shvartsman 1997);
// the bytes are written to at least f+1 members before any head names them. So
// put, get, head, delete and copy of one key are linearizable while a majority
// of members answers, and an acknowledged write survives the loss of f of 2f+1.
// DESIGN.md beside this file says what is stored where, why it is right, and
// what breaks it.
//
// A [Bucket] has the methods of a blob.Bucket, so whatever serves one serves
// the other. What mode A cannot do linearizably (client-visible conditions,
// copies onto themselves) answers errs.Unsupported and names the option.
//
//	b, err := replica.Open(ctx, replica.Options{Name: "media", Members: members, Log: log})
//	defer b.Close()
//	obj, err := b.Put(ctx, "a.jpg", body, size, blob.PutOptions{})
package replica

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Member is one provider's part in a bucket.
type Member struct {
	ID string // the site's name
	// Body holds the objects at their plain keys; nil for a witness.
	Body *blob.Bucket
	// Heads holds heads under h/, staged bodies under b/ and the bucket's own
	// records under sys/. It must be of a class that may hold heads, and of the
	// same provider and account as Body, so that bytes are copied there.
	Heads *blob.Bucket
	// MakeBody lets Open make the place of the objects when the bucket is new.
	// Heads is always made then, if it is missing.
	MakeBody bool
	// Where and HeadsWhere name the places for good and without secrets, as
	// "s3://media@storage.example.com". sys/config keeps them.
	Where, HeadsWhere string
}

// Level is how fresh a read must be.
type Level string

// The levels. Strong is linearizable. Bounded may answer from heads that were
// read at most MaxAge ago. Local reads the plain key of the nearest member that
// answers, which may be older still; deletes may not show yet.
const (
	Strong  Level = "strong"
	Bounded Level = "bounded"
	Local   Level = "local"
)

// Options says what to open.
type Options struct {
	Name     string
	Members  []Member // in order of preference; an odd number, at least three
	Degraded bool     // acknowledge a write whose body is at fewer than f+1 members
	Level    Level    // default Strong
	MaxAge   time.Duration
	Reserved []string // prefixes that no key may begin with, because a member keeps its heads there
	Adopt    string   // ID of the member whose plain keys hold objects without heads; "" = none
	Timing   Timing   // zero fields mean the defaults
	Log      *slog.Logger
}

// Timing bounds how long things take. Correctness depends on Grace alone.
type Timing struct {
	Attempt time.Duration // one small request; default 2 s
	Quorum  time.Duration // until a majority has answered; default 8 s
	Hedge   time.Duration // until a body is asked for at a second member; default 300 ms
	Stall   time.Duration // without a byte of a body; default 5 s
	Pulse   time.Duration // between conditional writes that tell whether a member works; default 5 s
	Sweep   time.Duration // between looks at what is due: staged bodies, keys to repair; default 10 s
	// Grace is longer than any request can take effect after it was signed (an
	// S3 request is refused 15 minutes after its date), and than a reader needs
	// to open the body that a head named. Staged bodies stay at least as long.
	// Default 1 h.
	Grace time.Duration
}

func (t *Timing) fill() {
	for _, d := range []struct {
		v        *time.Duration
		fallback time.Duration
	}{
		{&t.Attempt, 2 * time.Second}, {&t.Quorum, 8 * time.Second}, {&t.Hedge, 300 * time.Millisecond},
		{&t.Stall, 5 * time.Second}, {&t.Pulse, 5 * time.Second}, {&t.Sweep, 10 * time.Second}, {&t.Grace, time.Hour},
	} {
		if *d.v <= 0 {
			*d.v = d.fallback
		}
	}
}

// Bucket is a replicated bucket. Its methods may be called at once from many
// goroutines.
type Bucket struct {
	o        Options
	log      *slog.Logger
	members  []*member // all hold heads
	data     []*member // those that hold bodies too
	config   Config    // what the members agree on
	heads    *headCache
	dirty    *dirty
	plain    *publisher
	reclaims reclaims
	catch    catching
	stats    Stats

	ctx    context.Context // ends with Close: what outlives a request runs on it
	cancel context.CancelFunc
	mu     sync.Mutex // guards closed, and wg against Add after Wait
	closed bool
	wg     sync.WaitGroup
}

// Quorum gives how many members must confirm a head, and how many a body, for
// n members: a majority, and f+1 of 2f+1.
func Quorum(n int) (heads, bodies int) { return n/2 + 1, (n-1)/2 + 1 }

func (b *Bucket) majority() int { q, _ := Quorum(len(b.members)); return q }

// bodies gives how many members must hold a body before it is acknowledged.
func (b *Bucket) bodies() int {
	if b.o.Degraded {
		return 1
	}
	_, n := Quorum(len(b.members))
	return n
}

// Open reads the members' own record of the bucket and compares it with o. On a
// new bucket, where no member has the record, it writes it, which needs all of
// them. It starts no work of its own: [Bucket.Run] does.
//
// errs.Conflict: the record names other members or another mode. errs.Invalid:
// too few members. errs.Unavailable: no majority answers.
func Open(ctx context.Context, o Options) (*Bucket, error) {
	b, err := assemble(o)
	if err != nil {
		return nil, err
	}
	if err := b.agree(ctx); err != nil {
		b.cancel()
		return nil, err
	}
	return b, nil
}

func assemble(o Options) (*Bucket, error) {
	o.Timing.fill()
	if o.Level == "" {
		o.Level = Strong
	}
	b := &Bucket{o: o, log: o.Log, heads: newHeadCache(headCacheSize), dirty: newDirty()}
	for i, m := range o.Members {
		w := &member{Member: m, index: i}
		b.members = append(b.members, w)
		if m.Body != nil {
			b.data = append(b.data, w)
		}
	}
	_, bodies := Quorum(len(b.members))
	switch n := len(b.members); {
	case n < 3:
		return nil, errs.WithHint(errs.E(errs.Invalid, "bucket %s: %d members hold heads, at least three must", o.Name, n), "add a witness: it holds heads only, and costs little")
	case n%2 == 0:
		return nil, errs.WithHint(errs.E(errs.Invalid, "bucket %s: %d members hold heads: an even number survives no more than one fewer", o.Name, n), "add or take away a witness")
	case len(b.data) < bodies:
		return nil, errs.WithHint(errs.E(errs.Invalid, "bucket %s: %d members hold objects, at least %d of %d must", o.Name, len(b.data), bodies, n), "make a witness hold objects too")
	}
	b.plain = newPublisher(b)
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b, nil
}

// Close ends what runs in the background and waits for it. What it leaves
// undone is settled by the next repair.
func (b *Bucket) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	b.wg.Wait()
	return nil
}

// later runs f in the background, for at most limit, on the bucket's own
// context with the values of ctx. After Close it does nothing.
func (b *Bucket) later(ctx context.Context, limit time.Duration, f func(ctx context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.wg.Add(1)
	go func() {
		defer b.wg.Done()
		c, cancel := b.own(ctx, limit)
		defer cancel()
		f(c)
	}()
}

// own gives a context that ends with the bucket or after limit, and not with
// ctx, whose values it keeps.
func (b *Bucket) own(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	c, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(b.ctx, cancel)
	return c, func() { stop(); cancel() }
}
