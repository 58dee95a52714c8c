package session

import (
	"net/netip"
	"sync"
	"time"
)

// How often somebody may fail to log in.
const (
	burst     = 5
	refill    = 12 * time.Second // one more attempt
	mostPeers = 1000
)

// Gate counts failed logins by address. It is safe for concurrent use.
type Gate struct {
	mu    sync.Mutex
	peers map[netip.Prefix]debt
}

// debt is how many failures stand against a peer; one is forgiven each refill.
type debt struct {
	failures float64
	at       time.Time
}

// NewGate gives a gate that lets everybody try.
func NewGate() *Gate { return &Gate{peers: map[netip.Prefix]debt{}} }

// Wait gives how long the peer at addr ("host:port") has to wait before it may
// try; 0 = it may.
func (g *Gate) Wait(addr string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	over := g.owed(peer(addr)) - (burst - 1)
	if over <= 0 {
		return 0
	}
	return time.Duration(over * float64(refill))
}

// Failed counts one failure against the peer.
func (g *Gate) Failed(addr string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := peer(addr)
	owed := g.owed(p)
	if _, known := g.peers[p]; !known && len(g.peers) >= mostPeers {
		g.forgive()
	}
	g.peers[p] = debt{failures: owed + 1, at: time.Now()}
}

func (g *Gate) owed(p netip.Prefix) float64 {
	d, ok := g.peers[p]
	if !ok {
		return 0
	}
	return max(0, d.failures-time.Since(d.at).Seconds()/refill.Seconds())
}

// forgive makes room: those who owe nothing more go, and if that is nobody,
// whoever failed first.
func (g *Gate) forgive() {
	var first netip.Prefix
	var at time.Time
	for p, d := range g.peers {
		if g.owed(p) == 0 {
			delete(g.peers, p)
		} else if at.IsZero() || d.at.Before(at) {
			first, at = p, d.at
		}
	}
	if len(g.peers) >= mostPeers {
		delete(g.peers, first)
	}
}

// peer gives the network that counts as one: an IPv4 address, or an IPv6 /64,
// which one machine has for itself.
func peer(addr string) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return netip.Prefix{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.Prefix(bits)
	return p
}
