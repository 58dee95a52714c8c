package replica

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

// simID names a call in a way that does not depend on how goroutines run: by
// the operation that it works for, and where it goes.
type simID struct {
	label       string
	gate        int
	member      int
	heads       bool
	method, key string
	n           int // of the calls that are alike so far
}

func (a simID) compare(b simID) int {
	which := func(heads bool) int {
		if heads {
			return 1
		}
		return 0
	}
	return cmp.Or(
		strings.Compare(a.label, b.label), cmp.Compare(a.gate, b.gate), cmp.Compare(a.member, b.member),
		cmp.Compare(which(a.heads), which(b.heads)), strings.Compare(a.method, b.method),
		strings.Compare(a.key, b.key), cmp.Compare(a.n, b.n))
}

func (a simID) String() string {
	part := "body"
	if a.heads {
		part = "heads"
	}
	return fmt.Sprintf("%s@g%d m%d/%s %s %s #%d", a.label, a.gate, a.member, part, a.method, a.key, a.n)
}

// simAnswer is what a driver's method gives.
type simAnswer struct {
	obj    blob.Object
	reader *blob.Reader
	page   blob.Page
	part   blob.Part
	parts  []blob.Part
	more   bool
	all    []blob.Upload
	id     string
	err    error
}

// simCall is a driver's call that is parked at the gate.
type simCall struct {
	id     simID
	op     *simOp
	to     *simDriver
	writes bool
	do     func(*simCall) simAnswer // applies it to the store
	data   []byte                   // of a put
	put    blob.PutOptions          // of a put
	done   chan simAnswer           // gives the answer to the caller

	gaveUp bool // the caller's context ended; simWorld.mu is over it

	// The scheduler's own.
	twins   []*simCall // calls that nothing tells from this one: what becomes of it becomes of them
	fate    simFate
	ready   int // the step from which on something may happen to it
	applied bool
	hangs   bool // nothing comes; the caller must give up
	answer  simAnswer
	issued  time.Time
}

// simDriver is a gateway's connection to one bucket of a member. Its calls are
// parked until the scheduler lets them go.
type simDriver struct {
	w     *simWorld
	gate  *simGateway
	m     *simMember
	heads bool
	store *memblob.Driver
}

var _ blob.Driver = (*simDriver)(nil)

// park gives the call to the scheduler and waits for its answer. A caller whose
// context ends, or has ended, is parked on as one that gave up: so many that
// give up at one moment go on one after the other, and whether a context ended
// just before the call or just behind it is the same.
func (d *simDriver) park(ctx context.Context, method, key string, c *simCall) simAnswer {
	c.op, _ = ctx.Value(simLabel{}).(*simOp)
	c.to, c.done, c.issued = d, make(chan simAnswer, 1), time.Now()
	c.id = simID{label: c.op.label(), gate: d.gate.n, member: d.m.n, heads: d.heads, method: method, key: key}
	d.w.arrive(c)
	select {
	case a := <-c.done:
		return a
	case <-ctx.Done():
		d.w.giveUp(c)
	case <-d.w.over:
	}
	select {
	case a := <-c.done:
		return a
	case <-d.w.over:
		return simAnswer{err: errs.MaybeApplied(errs.E(errs.Unavailable, "the gateway is dead"))}
	}
}

type simLabel struct{}

func (d *simDriver) Head(ctx context.Context, key string) (blob.Object, error) {
	a := d.park(ctx, "head", key, &simCall{do: func(*simCall) (a simAnswer) {
		a.obj, a.err = d.store.Head(context.Background(), key)
		return a
	}})
	return a.obj, a.err
}

func (d *simDriver) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	a := d.park(ctx, "get", key, &simCall{do: func(*simCall) (a simAnswer) {
		a.reader, a.err = d.store.Get(context.Background(), key, o)
		return a
	}})
	return a.reader, a.err
}

func (d *simDriver) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(body, data); err != nil {
		return blob.Object{}, errs.Wrap(errs.KindOf(err), err, "read the body")
	}
	a := d.park(ctx, "put", key, &simCall{writes: true, data: data, put: o, do: func(c *simCall) (a simAnswer) {
		a.obj, a.err = d.store.Put(context.Background(), key, bytes.NewReader(c.data), int64(len(c.data)), c.put)
		return a
	}})
	return a.obj, a.err
}

func (d *simDriver) Copy(ctx context.Context, dst string, from blob.Driver, src string, o blob.CopyOptions) (blob.Object, error) {
	source := from.(*simDriver).store
	a := d.park(ctx, "copy", dst, &simCall{writes: true, do: func(*simCall) (a simAnswer) {
		a.obj, a.err = d.store.Copy(context.Background(), dst, source, src, o)
		return a
	}})
	return a.obj, a.err
}

func (d *simDriver) Delete(ctx context.Context, key string, o blob.DeleteOptions) error {
	return d.park(ctx, "delete", key, &simCall{writes: true, do: func(*simCall) simAnswer {
		return simAnswer{err: d.store.Delete(context.Background(), key, o)}
	}}).err
}

func (d *simDriver) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	a := d.park(ctx, "list", o.Prefix+"|"+o.After, &simCall{do: func(*simCall) (a simAnswer) {
		a.page, a.err = d.store.List(context.Background(), o)
		return a
	}})
	return a.page, a.err
}

func (d *simDriver) CreateUpload(ctx context.Context, key string, o blob.PutOptions) (string, error) {
	a := d.park(ctx, "create_upload", key, &simCall{writes: true, do: func(*simCall) (a simAnswer) {
		a.id, a.err = d.store.CreateUpload(context.Background(), key, o)
		return a
	}})
	return a.id, a.err
}

func (d *simDriver) UploadPart(ctx context.Context, key, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	data := make([]byte, size)
	if _, err := io.ReadFull(body, data); err != nil {
		return blob.Part{}, errs.Wrap(errs.KindOf(err), err, "read the body")
	}
	a := d.park(ctx, fmt.Sprintf("upload_part %d", number), key, &simCall{writes: true, data: data, do: func(*simCall) (a simAnswer) {
		a.part, a.err = d.store.UploadPart(context.Background(), key, id, number, bytes.NewReader(data), size)
		return a
	}})
	return a.part, a.err
}

func (d *simDriver) CompleteUpload(ctx context.Context, key, id string, parts []blob.Part, o blob.Condition) (blob.Object, error) {
	a := d.park(ctx, "complete_upload", key, &simCall{writes: true, do: func(*simCall) (a simAnswer) {
		a.obj, a.err = d.store.CompleteUpload(context.Background(), key, id, parts, o)
		return a
	}})
	return a.obj, a.err
}

func (d *simDriver) AbortUpload(ctx context.Context, key, id string) error {
	return d.park(ctx, "abort_upload", key, &simCall{writes: true, do: func(*simCall) simAnswer {
		return simAnswer{err: d.store.AbortUpload(context.Background(), key, id)}
	}}).err
}

func (d *simDriver) ListParts(ctx context.Context, key, id string, after, limit int) ([]blob.Part, bool, error) {
	a := d.park(ctx, "list_parts", key, &simCall{do: func(*simCall) (a simAnswer) {
		a.parts, a.more, a.err = d.store.ListParts(context.Background(), key, id, after, limit)
		return a
	}})
	return a.parts, a.more, a.err
}

func (d *simDriver) ListUploads(ctx context.Context, prefix string) ([]blob.Upload, error) {
	a := d.park(ctx, "list_uploads", prefix, &simCall{do: func(*simCall) (a simAnswer) {
		a.all, a.err = d.store.ListUploads(context.Background(), prefix)
		return a
	}})
	return a.all, a.err
}

func (d *simDriver) Close() error { return nil }
