package replica

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

// simInput is what an operation does to one key, as the checker sees it.
type simInput struct {
	write bool
	id    string // of a write; "" = delete
}

// simOutput is what a read gave.
type simOutput struct {
	exact bool   // id says what; else etag does
	id    string // "" = there is none
	etag  string // "" = there is none
	bytes bool   // etag is that of the bytes, however they were written
}

// simModel is a register that holds the id of the last write; "" after a
// delete. It begins with first. tags gives the ETags of the writes whose bytes are known: the one they
// have, and the one of their bytes.
func simModel(first string, tags map[string][2]string) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return first },
		Step: func(state, input, output any) (bool, any) {
			if in := input.(simInput); in.write {
				return true, in.id
			}
			is, out := state.(string), output.(simOutput)
			if out.exact {
				return is == out.id, is
			}
			both, known := tags[is]
			tag := both[0]
			if out.bytes {
				tag = both[1]
			}
			return is == "" && out.etag == "" || is != "" && (tag == out.etag || !known && out.etag != ""), is
		},
	}
}

// simRun is a schedule that was run.
type simRun struct {
	plan    simPlan
	history []*simOp // and reads after all has come to rest
	probe   *simProbe
	broken  []string
	events  []string
	counts  []Counts // by gateway
	steps   int
}

// verdict says what is wrong with a run, or "".
func (r *simRun) verdict() string {
	return strings.Trim(strings.Join(append(slices.Clip(r.broken), r.seen()), "\n"), "\n")
}

// seen says what clients saw that is wrong, or "".
func (r *simRun) seen() string {
	if key := r.plan.violation(r.history, math.MaxInt); key != "" {
		return fmt.Sprintf("the history of %q is not linearizable", key)
	}
	if r.probe == nil {
		return ""
	}
	if key := r.plan.violation(append(slices.Clip(r.history), r.probe.reads...), r.probe.step+1); key != "" {
		return fmt.Sprintf("without %v from step %d on, the history of %q is not linearizable", r.probe.lost, r.probe.step, key)
	}
	return strings.Join(r.probe.broken, "\n")
}

// violation gives the first key whose history up to a step no register
// explains, or "". Operations that had not returned by then may have taken
// effect, at any time, or not.
func (p simPlan) violation(history []*simOp, until int) string {
	tags := map[string][2]string{}
	keys := map[string]bool{}
	for _, o := range history {
		switch {
		case o.writes():
			tags[o.id] = [2]string{o.tag(), simTag(o.body)}
		case o.verb == simCopy && o.err == nil && o.ret > 0:
			tags[o.id] = [2]string{o.etag, o.etag}
		}
		if o.key != "" && o.verb != simList {
			keys[o.key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		var ops []porcupine.Operation
		for _, o := range history {
			if o.call <= until {
				ops = append(ops, o.seen(key, until)...)
			}
		}
		first := ""
		if p.adopt {
			first = simAdopted(key).id
		}
		if !porcupine.CheckOperations(simModel(first, tags), ops) {
			return key
		}
	}
	return ""
}

// seen gives what an operation was for one key.
func (o *simOp) seen(key string, until int) []porcupine.Operation {
	op := func(in simInput, out simOutput) []porcupine.Operation {
		v := porcupine.Operation{ClientId: o.client, Input: in, Output: out, Call: 2 * int64(o.call), Return: 2*int64(o.ret) + 1}
		if simKind(o.err) == "maybe" || o.ret == 0 || o.ret > until {
			v.Return = math.MaxInt64
		}
		return []porcupine.Operation{v}
	}
	returned := o.ret > 0 && o.ret <= until
	failed := returned && o.err != nil
	definite := failed && !errs.IsMaybeApplied(o.err)
	switch o.verb {
	case simPut, simMulti, simDelete:
		if o.key == key && !definite {
			id := o.id
			if o.verb == simDelete {
				id = ""
			}
			return op(simInput{write: true, id: id}, simOutput{})
		}
	case simGet, simHead:
		if o.key == key && returned && !failed {
			return op(simInput{}, simOutput{exact: true, id: o.found})
		}
	case simCopy:
		switch {
		case o.key == key && !definite:
			return op(simInput{write: true, id: o.id}, simOutput{})
		case o.src == key && returned && (!failed || errs.Is(o.err, errs.NotFound)):
			return op(simInput{}, simOutput{etag: o.etag, bytes: true})
		}
	case simList:
		if strings.HasPrefix(key, o.key) && returned && !failed {
			return op(simInput{}, simOutput{etag: o.names[key]})
		}
	}
	return nil
}

// simProbe is a disaster: f members are lost for good, and somebody new reads
// what the others have.
type simProbe struct {
	step   int
	lost   []int
	held   [][2]*memblob.Snapshot // by member: heads, bodies
	reads  []*simOp
	broken []string // reads that failed
}

func (w *simWorld) takeProbe() *simProbe {
	p := &simProbe{step: w.step, lost: w.rng.Perm(len(w.members))[:(len(w.members)-1)/2]}
	for _, m := range w.members {
		held := [2]*memblob.Snapshot{m.heads.Snapshot()}
		if m.body != nil {
			held[1] = m.body.Snapshot()
		}
		p.held = append(p.held, held)
	}
	return p
}

// read lets a new gateway read all from what is left.
func (p *simProbe) read(of *simWorld) {
	w := emptySimWorld(of.plan, of.mutant)
	restore := func(i int, s *memblob.Snapshot) *memblob.Driver {
		if s == nil {
			return nil
		}
		d := memblob.Open(memblob.Options{Tags: w.plan.tags[i]})
		d.Restore(s)
		return d
	}
	for i, held := range p.held {
		m := &simMember{n: i, name: of.members[i].name, heads: restore(i, held[0]), body: restore(i, held[1])}
		if slices.Contains(p.lost, i) {
			m.state = simRefuses
		}
		w.members = append(w.members, m)
	}
	p.reads = w.readAll(fmt.Sprintf("without %v from step %d on", p.lost, p.step))
	for _, o := range p.reads {
		o.call, o.ret = p.step+1, p.step+1
	}
	p.broken = w.broken
	w.shut()
}

// rest checks what each member holds, alone, once all has come to rest: every
// member that the newest head names has its body. whole: all members are right.
func (w *simWorld) rest(when string, whole bool) {
	var members []Member
	for _, m := range w.members {
		v := Member{ID: m.name, Heads: blob.New(m.name, m.heads)}
		if m.body != nil {
			v.Body = blob.New(m.name, m.body)
		}
		members = append(members, v)
	}
	b := simBucket(members, w.plan)
	defer func() { _ = b.Close() }()
	for _, key := range w.keys() {
		var at []*head
		var newest *head
		for _, m := range b.members {
			r := b.peekHead(context.Background(), m, key)
			if at = append(at, r.head); r.err != nil {
				w.fault("%s, the head of %s at %s: %v", when, key, m.ID, r.err)
			}
			if r.head.newer(newest) {
				newest = r.head
			}
		}
		for _, m := range b.data {
			if newest.live() && newest.has(m.ID) {
				w.restBody(when, b, m, newest)
			}
			if whole {
				w.restPlain(when, b, m, key, newest)
			}
		}
		for i, h := range at {
			if whole && h.at() != newest.at() {
				w.fault("%s, %s has the head %v of %s, another has %v", when, b.members[i].ID, h.at(), key, newest.at())
			}
		}
	}
}

// restPlain checks that a member's plain key holds what the head says, and that
// the head says so.
func (w *simWorld) restPlain(when string, b *Bucket, m *member, key string, h *head) {
	ctx := context.Background()
	if !h.live() {
		if _, err := m.Body.Head(ctx, key); !errs.Is(err, errs.NotFound) {
			w.fault("%s, %s is deleted and at the plain key of %s (%v)", when, key, m.ID, err)
		}
		return
	}
	if is, err := b.holdsPlain(ctx, m, h); err != nil || !is || !h.has(m.ID) {
		w.fault("%s, the plain key of %s at %s holds %s: %v (%v); its head names it: %v", when, key, m.ID, h.Op, is, err, h.has(m.ID))
	}
}

// restBody checks that a member gives the right bytes.
func (w *simWorld) restBody(when string, b *Bucket, m *member, h *head) {
	r, err := b.fetch(context.Background(), h, []place{{m: m}, {m: m, plain: true, match: h.Plain[m.ID]}}, 0, h.Size)
	if err != nil {
		w.fault("%s, %s is said to have %s (%s) and does not: %v", when, m.ID, h.Key, h.Op, err)
		return
	}
	defer func() { _ = r.Close() }()
	c := newCheck(h)
	if c == nil {
		return // adopted in parts
	}
	if _, err := io.Copy(c, r); err != nil || !c.ok() {
		w.fault("%s, %s gives %s with wrong bytes (%v)", when, m.ID, h.Key, err)
	}
}
