package upstream

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// resolver gives an origin's addresses and remembers the last good answer: a
// name server that is down, which is how many a large outage began, must not
// take away an origin whose address was known a minute ago.
type resolver struct {
	host string
	mu   sync.Mutex
	last []netip.Addr
	at   time.Time
	busy bool
}

// refreshAfter is the age at which an answer is looked up again, while the old
// one is still used.
const refreshAfter = 10 * time.Second

// addrs gives the addresses of the host, from memory when it can.
func (r *resolver) addrs(ctx context.Context) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(r.host); err == nil {
		return []netip.Addr{a}, nil
	}
	r.mu.Lock()
	last, due := r.last, time.Since(r.at) > refreshAfter && !r.busy
	if last != nil && due {
		r.busy = true
		go func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_, _ = r.lookup(ctx) // a failure leaves the last good answer in place
		}()
	}
	r.mu.Unlock()
	if last != nil {
		return last, nil
	}
	return r.lookup(ctx)
}

func (r *resolver) lookup(ctx context.Context) ([]netip.Addr, error) {
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", r.host)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
	r.at = time.Now()
	if err == nil && len(found) > 0 {
		r.last = found
	}
	return found, err
}
