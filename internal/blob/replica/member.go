package replica

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// member is a Member with what is known of its health. Heads and bodies are
// judged apart: a full disk refuses bodies and still reads.
type member struct {
	Member
	index int
	head  health
	body  health
	wrong sync.Map // op -> time.Time: bodies found wrong here, of late
	// amnesic: its records are gone, so that its "there is none" means nothing.
	// It is not counted until a repair has filled it again.
	amnesic atomic.Bool
	pulsing atomic.Bool
}

// health is a circuit breaker over a member's calls. Three failures in a row
// open it; it lets one call through now and then and closes on the first
// success. It saves waiting; what is right never depends on it.
type health struct {
	mu      sync.Mutex
	fails   int
	since   time.Time // of the first failure in the row
	until   time.Time // no calls before
	wait    time.Duration
	last    error
	latency time.Duration // smoothed, of successes
}

const (
	breakAfter = 3
	minBreak   = time.Second
	maxBreak   = 15 * time.Second
)

// ready says whether a call is worth making now.
func (h *health) ready() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fails < breakAfter {
		return true
	}
	now := time.Now()
	if now.Before(h.until) {
		return false
	}
	h.until = now.Add(h.wait)
	return true
}

// up says whether the last calls went well, without taking a turn.
func (h *health) up() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fails < breakAfter
}

// note takes in how a call ended. A call that we gave up, or that the provider
// answered with a definite no, tells nothing against it.
func (h *health) note(ctx context.Context, err error, took time.Duration) {
	failed := false
	if err != nil {
		switch errs.KindOf(err) {
		case errs.Unavailable, errs.Denied, errs.Internal:
			failed = true
		}
		if errors.Is(context.Cause(ctx), context.Canceled) || errors.Is(err, errGivenUp) {
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !failed {
		h.fails, h.wait, h.last = 0, 0, nil
		if h.latency == 0 {
			h.latency = took
		}
		h.latency += (took - h.latency) / 8
		return
	}
	if h.fails == 0 {
		h.since = time.Now()
	}
	h.fails++
	h.last = err
	if h.fails >= breakAfter {
		h.wait = min(max(minBreak, 2*h.wait), maxBreak)
		h.until = time.Now().Add(h.wait)
	}
}

// errGivenUp marks a failure that is ours: the body was taken away.
var errGivenUp = errors.New("given up")

// errSkipped is what a call fails with that was not made.
var errSkipped = errs.E(errs.Unavailable, "not asked: its last calls failed")

// errAmnesic is what a member's reading fails with whose records are gone.
var errAmnesic = errs.E(errs.Unavailable, "not counted: it lost what it held, and is not repaired yet")

// lastError gives what the member's calls fail with at present, or nil.
func (m *member) lastError() error {
	for _, h := range []*health{&m.body, &m.head} {
		h.mu.Lock()
		err := h.last
		h.mu.Unlock()
		if err != nil {
			return errs.E(errs.Unavailable, "%s: %w", m.ID, err)
		}
	}
	return nil
}

// wrongFor is how long a body that was found wrong is read elsewhere first.
// Repair, which is told of it, takes no longer.
const wrongFor = 10 * time.Minute

func (m *member) setWrong(op string) { m.wrong.Store(op, time.Now()) }

func (m *member) isWrong(op string) bool {
	at, found := m.wrong.Load(op)
	if !found {
		return false
	}
	if time.Since(at.(time.Time)) > wrongFor {
		m.wrong.Delete(op)
		return false
	}
	return true
}
