package edge

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// latency keeps a recent distribution of times in logarithmic buckets, four to
// a doubling (19 % wide), over the present and the last window of ten seconds.
type latency struct {
	mu      sync.Mutex // turning the window
	since   atomic.Int64
	turn    atomic.Uint32
	windows [2]histogram

	cached   atomic.Int64 // the hedge quantile
	cachedAt atomic.Int64
}

type histogram struct {
	count   atomic.Uint32
	buckets [latencyBuckets]atomic.Uint32
}

const (
	latencyBuckets = 112 // 1 us to 268 s
	latencyWindow  = 10 * time.Second
	latencyEnough  = 20 // samples that make a quantile worth believing
)

func bucketOf(d time.Duration) int {
	us := uint64(max(d/time.Microsecond, 1))
	exp := bits.Len64(us) - 1
	frac := 0
	if exp >= 2 {
		frac = int(us>>(exp-2)) & 3
	} else {
		frac = int(us<<(2-exp)) & 3
	}
	return min(exp*4+frac, latencyBuckets-1)
}

// bucketTop is the largest time that falls into bucket i.
func bucketTop(i int) time.Duration {
	exp, frac := i/4, i%4
	return time.Duration(float64(uint64(1)<<exp) * (1 + float64(frac+1)/4) * float64(time.Microsecond))
}

func (l *latency) add(d time.Duration, now time.Time) {
	if l.due(now) {
		l.rotate(now)
	}
	h := &l.windows[l.turn.Load()&1]
	h.buckets[bucketOf(d)].Add(1)
	h.count.Add(1)
}

func (l *latency) due(now time.Time) bool {
	return now.UnixNano()-l.since.Load() > int64(latencyWindow)
}

func (l *latency) rotate(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.due(now) {
		return
	}
	next := &l.windows[(l.turn.Load()+1)&1]
	next.count.Store(0)
	for i := range next.buckets {
		next.buckets[i].Store(0)
	}
	l.turn.Add(1)
	l.since.Store(now.UnixNano())
}

// quantile gives the time below which the share q of recent answers came, and
// false while there are too few of them.
func (l *latency) quantile(q float64) (time.Duration, bool) {
	total := l.windows[0].count.Load() + l.windows[1].count.Load()
	if total < latencyEnough {
		return 0, false
	}
	rank := uint32(float64(total)*q) + 1
	var seen uint32
	for i := range latencyBuckets {
		seen += l.windows[0].buckets[i].Load() + l.windows[1].buckets[i].Load()
		if seen >= rank {
			return bucketTop(i), true
		}
	}
	return bucketTop(latencyBuckets - 1), true
}

// Bounds of the adaptive hedge delay.
const (
	hedgeUnknown = 100 * time.Millisecond // before there are samples
	hedgeLeast   = 15 * time.Millisecond
	hedgeMost    = 2 * time.Second
	hedgeFactor  = 1.5 // times the 95th percentile
)

// hedgeDelay is how long an answer may take before a second origin is asked.
func (l *latency) hedgeDelay(now time.Time) time.Duration {
	if now.UnixNano()-l.cachedAt.Load() < int64(250*time.Millisecond) {
		return time.Duration(l.cached.Load())
	}
	d := hedgeUnknown
	if q, ok := l.quantile(0.95); ok {
		d = min(max(time.Duration(float64(q)*hedgeFactor), hedgeLeast), hedgeMost)
	}
	l.cached.Store(int64(d))
	l.cachedAt.Store(now.UnixNano())
	return d
}
