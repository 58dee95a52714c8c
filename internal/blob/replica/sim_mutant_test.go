package replica

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// simMutant breaks what lies between the protocol and the stores: a negative
// control. The numbers are those of replica-protocol, section 9.
type simMutant struct {
	name  string
	shape func(*simPlan)
	deaf  bool // nobody learns of the loss of a member
	apply func(w *simWorld, c *simCall) simAnswer
	tell  func(c *simCall, a *simAnswer)
}

// simCaught is in how many schedules each must be caught.
const simCaught = 1000

var simMutants = []simMutant{
	{name: "V1 conditions dropped", apply: func(_ *simWorld, c *simCall) simAnswer {
		if c.putsHead() {
			c.put.If = blob.Condition{}
		}
		return c.do(c)
	}},
	{name: "V2 tags of the bytes without stamp", shape: func(p *simPlan) {
		p.verbs, p.repeats = []simVerb{simPut, simPut, simGet}, 1
	}, apply: simTagsOfBytes},
	{name: "V3 a delete leaves nothing", apply: simNoTombstones},
	{name: "V3b tombstone read only where nothing is", shape: func(p *simPlan) {
		p.verbs = []simVerb{simPut, simDelete, simGet}
	}, apply: simTombstonesAside},
	{name: "6 a body is acknowledged before it is there", apply: func(w *simWorld, c *simCall) simAnswer {
		if c.id.heads && c.id.method == "put" && strings.HasPrefix(c.id.key, stagePrefix) && w.rng.IntN(2) == 0 {
			if w.rng.IntN(2) == 0 {
				w.haunt(c)
			}
			return simAnswer{}
		}
		return c.do(c)
	}},
	{name: "10 no answer is taken for absence", tell: func(c *simCall, a *simAnswer) {
		if c.getsHead() && errs.Is(a.err, errs.Unavailable) {
			a.err = errs.E(errs.NotFound, "no answer, so there is none")
		}
	}},
	{name: "13 reads do not write back", apply: func(_ *simWorld, c *simCall) simAnswer {
		if c.putsHead() && c.op != nil && (c.op.verb == simGet || c.op.verb == simHead || c.op.verb == simList) {
			return simAnswer{}
		}
		return c.do(c)
	}},
	{name: "11 a member that lost all is believed", shape: func(p *simPlan) {
		p.wipes, p.adopt, p.degraded = true, false, false
		p.failing, p.deaths, p.keeps = 0.1, 0, 0
		p.verbs = []simVerb{simPut, simGet, simHead}
	}, deaf: true},
	{name: "a majority of one", apply: func(w *simWorld, c *simCall) simAnswer {
		if c.putsHead() && w.rng.IntN(2) == 0 {
			return simAnswer{}
		}
		return c.do(c)
	}},
}

func (c *simCall) putsHead() bool {
	return c.id.heads && c.id.method == "put" && strings.HasPrefix(c.id.key, headPrefix)
}

func (c *simCall) getsHead() bool {
	return c.id.heads && c.id.method == "get" && strings.HasPrefix(c.id.key, headPrefix)
}

// simTagsOfBytes gives heads tags as if they were the bodies: equal bodies have
// equal tags.
func simTagsOfBytes(_ *simWorld, c *simCall) simAnswer {
	switch {
	case c.getsHead():
		a := c.do(c)
		if a.err == nil {
			data, h := simHeadIn(a.reader, c.id.key)
			a.reader.Body, a.reader.ETag = io.NopCloser(bytes.NewReader(data)), simFingerprint(h)
		}
		return a
	case c.putsHead() && c.put.If.Match != "":
		now, err := c.to.store.Get(context.Background(), c.id.key, blob.GetOptions{})
		if err != nil {
			return simAnswer{err: err}
		}
		if _, h := simHeadIn(now, c.id.key); simFingerprint(h) != c.put.If.Match {
			return simAnswer{err: errs.E(errs.Conflict, "another fingerprint")}
		}
		c.put.If = blob.Condition{}
	}
	return c.do(c)
}

func simHeadIn(r io.Reader, key string) ([]byte, *head) {
	data, _ := io.ReadAll(r)
	h, err := decodeHead(strings.TrimPrefix(key, headPrefix), data)
	if err != nil {
		panic(err)
	}
	return data, h
}

func simFingerprint(h *head) string {
	sum := sha256.Sum256(fmt.Append(nil, h.Deleted, h.Size, h.SHA256))
	return hex.EncodeToString(sum[:])
}

// simNoTombstones removes the head where a tombstone would be written.
func simNoTombstones(_ *simWorld, c *simCall) simAnswer {
	if !c.putsHead() {
		return c.do(c)
	}
	if _, h := simHeadIn(bytes.NewReader(c.data), c.id.key); !h.Deleted {
		return c.do(c)
	}
	if c.put.If.Absent {
		return simAnswer{}
	}
	return simAnswer{err: c.to.store.Delete(context.Background(), c.id.key, blob.DeleteOptions{If: c.put.If})}
}

// simTombstonesAside keeps tombstones in a place of their own, which is looked
// at where there is no head. So "there is no head" says nothing of how often
// there was one.
func simTombstonesAside(_ *simWorld, c *simCall) simAnswer {
	const tag = "tombstone"
	ctx, aside := context.Background(), "t/"+c.id.key
	switch {
	case c.getsHead():
		a := c.do(c)
		if errs.Is(a.err, errs.NotFound) {
			if a.reader, a.err = c.to.store.Get(ctx, aside, blob.GetOptions{}); a.err == nil {
				a.reader.ETag = tag
			}
		}
		return a
	case !c.putsHead():
		return c.do(c)
	}
	if c.put.If.Match == tag {
		c.put.If = blob.Condition{Absent: true}
	}
	if _, h := simHeadIn(bytes.NewReader(c.data), c.id.key); !h.Deleted {
		return c.do(c)
	}
	_, err := c.to.store.Head(ctx, c.id.key)
	if !c.put.If.Absent {
		err = c.to.store.Delete(ctx, c.id.key, blob.DeleteOptions{If: c.put.If})
	} else if err == nil {
		err = errs.E(errs.Conflict, "there is a head")
	} else {
		err = nil
	}
	if err == nil {
		_, err = c.to.store.Put(ctx, aside, bytes.NewReader(c.data), int64(len(c.data)), blob.PutOptions{})
	}
	return simAnswer{err: err}
}

func TestCheckerCatchesWhatIsBroken(t *testing.T) {
	for _, m := range simMutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= simCaught; seed++ {
				r := simulate(t, seed, &m, false)
				if bad := r.seen(); bad != "" {
					t.Logf("caught in schedule %d: %s", seed, bad)
					return
				}
			}
			t.Fatalf("not caught in %d schedules", simCaught)
		})
	}
}
