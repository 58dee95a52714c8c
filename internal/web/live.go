package web

import (
	"context"
	"fmt"
	"hash/maphash"
	"net/http"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/journal"
)

// How the console looks, and tells.
const (
	lookEvery  = time.Second
	lookShare  = 50               // of the time, one part in so many is spent on looking
	idleAfter  = 5 * time.Minute  // without a page
	maxStreams = 64               // open at a time
	streamLife = time.Hour        // then a browser comes again, and is checked again
	pingEvery  = 15 * time.Second // finds browsers that went without a word
	sendTime   = 10 * time.Second // to take one event
	liveHeader = "Spare-Live"     // marks a page that is asked for by our own module
)

// Run looks at the status about once a second until ctx ends, keeps the rates,
// and tells open pages that something changed. Event streams end with it.
func (c *Console) Run(ctx context.Context) error {
	defer c.news.stop()
	failing := false
	for {
		began := time.Now()
		services, err := c.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failing {
			c.Log.Warn("console cannot read the status", "err", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-time.After(c.pause(services, time.Since(began))):
		}
	}
}

// pause gives the time between two looks. A look at a large estate costs
// memory for a moment: while nobody is there it is taken less often.
func (c *Console) pause(services int, took time.Duration) time.Duration {
	d := max(lookEvery, lookShare*took)
	if c.idle() {
		d = max(d, time.Duration(services)*time.Millisecond)
	}
	return d
}

func (c *Console) idle() bool {
	return time.Since(time.Unix(0, c.viewed.Load())) > idleAfter && c.news.listeners() == 0
}

// seen notes that somebody looks, and wakes Run if nobody did for a time.
func (c *Console) seen() {
	idle := c.idle()
	c.viewed.Store(time.Now().UnixNano())
	if idle {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

func (c *Console) look(ctx context.Context) (services int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if c.idle() {
		defer c.forget()
	}
	st, err := c.status(ctx)
	if err != nil {
		return 0, err
	}
	c.history.Add(st)
	if c.news.listeners() == 0 {
		return len(st.Services), nil
	}
	newest, _, err := c.Backend.Entries(ctx, journal.Query{Limit: 1})
	if err != nil {
		return len(st.Services), err
	}
	var id int64
	if len(newest) > 0 {
		id = newest[0].ID
	}
	c.news.tell(c.news.digest(st, id))
	return len(st.Services), nil
}

// news tells listeners that the picture has changed.
type news struct {
	seed maphash.Seed
	slot chan struct{} // one token for each listener

	mu      sync.Mutex
	sum     uint64        // of the picture that was told last
	changed chan struct{} // closed with the next change
	closed  chan struct{}
}

func newNews() *news {
	return &news{seed: maphash.MakeSeed(), slot: make(chan struct{}, maxStreams), changed: make(chan struct{}), closed: make(chan struct{})}
}

func (n *news) listeners() int { return len(n.slot) }

func (n *news) stop() { close(n.closed) }

func (n *news) tell(sum uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if sum == n.sum {
		return
	}
	n.sum = sum
	close(n.changed)
	n.changed = make(chan struct{})
}

// next gives the channel that is closed with the next change.
func (n *news) next() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

// digest is the same for pictures that look the same.
func (n *news) digest(st apiv1.Status, newest int64) uint64 {
	var h maphash.Hash
	h.SetSeed(n.seed)
	maphash.WriteComparable(&h, newest)
	maphash.WriteComparable(&h, st.Config)
	maphash.WriteComparable(&h, [2]any{st.Epoch, st.IncidentsOpen})
	if st.IncidentsOpen > 0 { // its page counts the seconds
		maphash.WriteComparable(&h, st.At.Unix())
	}
	for _, p := range st.DataProcesses {
		p.RSSBytes = 0 // always moves a little
		maphash.WriteComparable(&h, p)
	}
	for i := range st.Services {
		s := &st.Services[i]
		maphash.WriteComparable(&h, [3]string{s.ID, s.State, s.Active})
		maphash.WriteComparable(&h, s.Traffic)
		for _, o := range s.Origins {
			maphash.WriteComparable(&h, o)
		}
		for _, o := range s.Overrides {
			maphash.WriteComparable(&h, o)
		}
		if s.Pending != nil {
			maphash.WriteComparable(&h, *s.Pending)
		}
	}
	for i := range st.Buckets {
		b := &st.Buckets[i]
		maphash.WriteComparable(&h, [4]string{b.ID, b.State, b.Reason, b.Adopting})
		maphash.WriteComparable(&h, b.Counts)
		for _, r := range b.Replicas {
			maphash.WriteComparable(&h, r)
		}
	}
	return h.Sum64()
}

// live sends an event when something changed, at most one a second. It says no
// more than that: the page then asks for itself again, and what it shows is
// made in one place.
func (c *Console) live(w http.ResponseWriter, r *http.Request) {
	if !c.permitted(readers, c.who(r)) {
		http.Error(w, "this needs a login", http.StatusUnauthorized)
		return
	}
	c.seen()
	select {
	case c.news.slot <- struct{}{}:
		defer func() { <-c.news.slot }()
	default:
		http.Error(w, errs.E(errs.Unavailable, "%d pages are live already", maxStreams).Error(), http.StatusServiceUnavailable)
		return
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // a listener has nothing to say
	send := func(s string) error {
		_ = rc.SetWriteDeadline(time.Now().Add(sendTime))
		if _, err := w.Write([]byte(s)); err != nil {
			return err
		}
		return rc.Flush()
	}
	w.Header().Set("Content-Type", "text/event-stream")
	changed := c.news.next()
	if send("retry: 2000\n\n") != nil {
		return
	}
	c.follow(r.Context(), send, changed)
}

func (c *Console) follow(ctx context.Context, send func(string) error, changed <-chan struct{}) {
	end := time.NewTimer(streamLife)
	defer end.Stop()
	ping := time.NewTicker(pingEvery)
	defer ping.Stop()
	for n := 1; ; {
		word := ": still here\n\n"
		select {
		case <-ctx.Done():
			return
		case <-c.news.closed:
			return
		case <-end.C:
			return
		case <-ping.C:
		case <-changed:
			changed = c.news.next()
			word = fmt.Sprintf("event: state\ndata: {\"n\":%d}\n\n", n)
			n++
		}
		if send(word) != nil {
			return
		}
	}
}
