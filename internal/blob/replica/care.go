package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Run keeps the bucket: it tries every member with a real conditional write,
// repairs what is known to be behind, and takes back staged bodies whose time
// is over. It returns when ctx ends.
func (b *Bucket) Run(ctx context.Context) error {
	pulse := time.NewTicker(b.o.Timing.Pulse)
	defer pulse.Stop()
	sweep := time.NewTicker(b.o.Timing.Sweep)
	defer sweep.Stop()
	for _, m := range b.members {
		b.wgGo(func() { b.pulse(ctx, m) })
	}
	b.catch.begin()
	var sweeping atomic.Bool
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pulse.C:
			for _, m := range b.members {
				b.wgGo(func() { b.pulse(ctx, m) })
			}
		case <-sweep.C:
			b.catchUp(ctx)
			if !sweeping.Swap(true) { // a long queue must not hold up the pulses
				b.wgGo(func() {
					defer sweeping.Store(false)
					b.reclaimDue(ctx)
				})
			}
		}
	}
}

const pulseKey = "sys/pulse"

// beat is what a pulse writes.
type beat struct {
	Count int       `json:"count"`
	At    time.Time `json:"at"` // for people
}

// pulse tries a member with what a write needs: a read and a conditional write.
// It also looks whether the member still knows the bucket: one that was emptied
// says "there is none" of everything, and must not be believed.
func (b *Bucket) pulse(ctx context.Context, m *member) {
	if !m.pulsing.CompareAndSwap(false, true) {
		return // the last one has not ended
	}
	defer m.pulsing.Store(false)
	began := time.Now()
	err := b.beat(ctx, m)
	m.head.note(ctx, err, time.Since(began))
	if err != nil {
		return
	}
	if r := b.readConfig(ctx, m); r.err == nil && r.config == nil {
		b.loses(m)
	}
	if m.Body != nil && !m.body.up() {
		began = time.Now()
		err := b.tryBody(ctx, m)
		m.body.note(ctx, err, time.Since(began))
	}
}

// tryKey is what a member that took no bodies is tried with.
const tryKey = "sys/try"

// tryBody does to a member what a write does to it: without it, one that took
// no bodies for a while would be asked for none, and never be seen to work
// again while nobody writes. It is more than a kilobyte, so that a full disk
// shows.
func (b *Bucket) tryBody(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	body := bytes.Repeat([]byte("spare"), 16<<10/5)
	if _, err := m.Heads.Put(ctx, tryKey, bytes.NewReader(body), int64(len(body)), blob.PutOptions{}); err != nil {
		return err
	}
	if err := m.Heads.Delete(ctx, tryKey, blob.DeleteOptions{}); err != nil {
		return err
	}
	_, err := m.Body.List(ctx, blob.ListOptions{Limit: 1})
	return err
}

func (b *Bucket) beat(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	data, tag, err := load(ctx, m.Heads, pulseKey, maxConfig)
	if err != nil && !errs.Is(err, errs.NotFound) {
		return err
	}
	var last beat
	_ = json.Unmarshal(data, &last) // whatever it was, the next one is whole
	next, err := json.Marshal(beat{Count: last.Count + 1, At: time.Now().UTC()})
	if err != nil {
		return errs.Wrap(errs.Internal, err, "encode pulse")
	}
	_, err = m.Heads.Put(ctx, pulseKey, bytes.NewReader(next), int64(len(next)), blob.PutOptions{If: blob.Condition{Match: tag, Absent: tag == ""}})
	if errs.Is(err, errs.Conflict) {
		return nil // another gateway beat in between: it works
	}
	return err
}
