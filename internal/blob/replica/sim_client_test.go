package replica

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// simVerb is what a client does.
type simVerb string

const (
	simPut    simVerb = "put"
	simDelete simVerb = "delete"
	simGet    simVerb = "get"
	simHead   simVerb = "head"
	simCopy   simVerb = "copy"
	simList   simVerb = "list"
	simMulti  simVerb = "multi" // a put by multipart upload
	simSweep  simVerb = "sweep" // what Bucket.Run does now and then
	simRepair simVerb = "repair"
	simAdopt  simVerb = "adopt"
	simPulse  simVerb = "pulse"
)

// writes says whether the operation writes o.body under o.id.
func (o *simOp) writes() bool { return o.verb == simPut || o.verb == simMulti }

// simClient does one operation after the other.
type simClient struct {
	n     int
	todo  []*simOp
	now   *simOp
	ready int // step from which on it goes on
}

// simOp is an operation and what became of it.
type simOp struct {
	client, n int
	verb      simVerb
	key, src  string
	id        string // names the write; it is in the object's metadata
	body      string
	part      bool // reads its first byte only

	gate   *simGateway
	cancel context.CancelFunc
	call   int // steps
	ret    int // 0 = it never returned

	// What came back. simWorld.mu is over it until the step is over.
	back  bool
	err   error
	found string // id of what was read; "" = there is none
	etag  string
	names map[string]string // of a list: keys and their ETags
}

// label names the operation. Calls that belong to none have none.
func (o *simOp) label() string {
	if o == nil {
		return "-"
	}
	return "c" + strconv.Itoa(o.client) + "." + strconv.Itoa(o.n)
}

func (o *simOp) String() string {
	s := fmt.Sprintf("%s %s %s", o.label(), o.verb, o.key)
	switch o.verb {
	case simPut, simMulti:
		s += fmt.Sprintf(" := %s (%s)", o.id, o.body)
	case simCopy:
		s += fmt.Sprintf(" := %s from %s", o.id, o.src)
	}
	s += fmt.Sprintf(" [%d", o.call)
	if o.ret == 0 {
		return s + ", never)"
	}
	s += fmt.Sprintf(", %d] %s", o.ret, simKind(o.err))
	if o.err == nil && (o.verb == simGet || o.verb == simHead) {
		s += fmt.Sprintf(" gave %q", o.found)
	}
	if o.err == nil && o.verb == simList {
		s += fmt.Sprintf(" gave %v", o.names)
	}
	return s
}

// begin lets a client begin its next operation, at a gateway that runs.
func (w *simWorld) begin(c *simClient) {
	o := c.todo[0]
	c.todo, c.now = c.todo[1:], o
	up := w.alive()
	o.gate, o.call = up[w.rng.IntN(len(up))], w.step
	w.history = append(w.history, o)
	var ctx context.Context
	ctx, o.cancel = simContext(w.plan.seed, o)
	w.logf("begin %s %s %s at g%d", o.label(), o.verb, o.key, o.gate.n)
	go func() {
		back := *o
		w.perform(ctx, &back)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.closed || o.gate.dead {
			return
		}
		o.back, o.err, o.found, o.etag, o.names = true, back.err, back.found, back.etag, back.names
	}()
}

// end takes in what clients got back.
func (w *simWorld) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.clients {
		if c.now == nil || !c.now.back {
			continue
		}
		c.now.ret = w.step
		w.logf("end %v", c.now)
		if w.plan.faultless() && simKind(c.now.err) != "ok" && !errs.Is(c.now.err, errs.NotFound) {
			w.fault("%v: nothing failed, and yet: %v", c.now, c.now.err)
		}
		if c.now, c.ready = nil, w.step+w.rng.IntN(w.plan.think); w.calm {
			c.ready = w.step
		}
	}
}

// perform does the operation. It runs in the gateway.
func (w *simWorld) perform(ctx context.Context, o *simOp) {
	b := o.gate.b
	put := blob.PutOptions{Meta: map[string]string{"n": o.id}}
	switch o.verb {
	case simPut:
		_, o.err = b.Put(ctx, o.key, strings.NewReader(o.body), int64(len(o.body)), put)
	case simDelete:
		o.err = b.Delete(ctx, o.key, blob.DeleteOptions{})
	case simCopy:
		var obj blob.Object
		obj, o.err = b.Copy(ctx, o.key, o.src, blob.CopyOptions{Replace: &put})
		o.etag = obj.ETag
	case simHead:
		var obj blob.Object
		obj, o.err = b.Head(ctx, o.key)
		w.sees(o, obj)
	case simGet:
		o.err = w.gets(ctx, b, o)
	case simList:
		o.names, o.err = simNames(ctx, b, o.key)
	case simMulti:
		o.err = simUpload(ctx, b, o, put)
	case simSweep:
		b.reclaimDue(ctx)
		b.catchUp(ctx)
	case simRepair:
		_, o.err = b.Repair(ctx, RepairOptions{})
	case simPulse:
		for _, m := range b.members {
			if !m.head.up() || !m.body.up() {
				b.wgGo(func() { b.pulse(ctx, m) })
			}
		}
	case simAdopt:
		_, o.err = b.AdoptAll(ctx, RepairOptions{})
	}
}

// simUpload writes in one part. A Complete of which it is not known what became
// of it is repeated, as clients do.
func simUpload(ctx context.Context, b *Bucket, o *simOp, put blob.PutOptions) error {
	id, err := b.CreateUpload(ctx, o.key, put)
	if err != nil {
		return simNothing(err)
	}
	part, err := b.UploadPart(ctx, o.key, id, 1, strings.NewReader(o.body), int64(len(o.body)))
	if err != nil {
		_ = b.AbortUpload(ctx, o.key, id) // it may fail as well
		return simNothing(err)
	}
	_, err = b.CompleteUpload(ctx, o.key, id, []blob.Part{part}, blob.Condition{})
	if errs.Is(err, errs.Unavailable) && ctx.Err() == nil {
		first := err
		if _, err = b.CompleteUpload(ctx, o.key, id, []blob.Part{part}, blob.Condition{}); err != nil && errs.IsMaybeApplied(first) {
			return first
		}
	}
	return err
}

// simNothing is the error of an upload that was never completed: whatever it
// says, no object was written.
func simNothing(err error) error { return errs.E(errs.Unavailable, "not completed: %v", err) }

// sees takes in what a read gave. That there is none is an answer too.
func (w *simWorld) sees(o *simOp, obj blob.Object) {
	if errs.Is(o.err, errs.NotFound) {
		o.err = nil
		return
	}
	o.found, o.etag = obj.Meta["n"], obj.ETag
}

func (w *simWorld) gets(ctx context.Context, b *Bucket, o *simOp) error {
	var get blob.GetOptions
	if o.part {
		get.Range = &blob.Range{Length: 1}
	}
	r, err := b.Get(ctx, o.key, get)
	if errs.Is(err, errs.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	o.found, o.etag = r.Meta["n"], r.ETag
	right := simTag(string(data)) == r.ETag
	switch wrote, known := w.body(o.found); {
	case o.part:
		right = len(data) == 1 && (!known || wrote[:1] == string(data))
	case known:
		right = wrote == string(data)
	}
	if !right || len(r.Meta) != 1 {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.fault("%v: the bytes %q came with %+v", o, data, r.Object)
	}
	return nil
}

// body gives the bytes of a write.
func (w *simWorld) body(id string) (string, bool) {
	for _, ops := range w.plan.ops {
		for _, o := range ops {
			if o.id == id && o.writes() {
				return o.body, true
			}
		}
	}
	for _, key := range w.keys() {
		if o := simAdopted(key); o.id == id {
			return o.body, true
		}
	}
	return "", false
}

func simTag(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// tag gives the ETag of what the operation writes.
func (o *simOp) tag() string {
	if o.verb == simPut {
		return simTag(o.body)
	}
	sum := md5.Sum([]byte(o.body))
	return simTag(string(sum[:])) + "-1"
}

// simNames lists the keys with a prefix and their ETags, by small pages.
func simNames(ctx context.Context, b *Bucket, prefix string) (map[string]string, error) {
	names := map[string]string{}
	for after := ""; ; {
		page, err := b.List(ctx, blob.ListOptions{Prefix: prefix, After: after, Limit: 1})
		if err != nil {
			return nil, err
		}
		for _, obj := range page.Objects {
			names[obj.Key] = obj.ETag
		}
		if page.Next == "" {
			return names, nil
		}
		after = page.Next
	}
}
