package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// errPrivate marks an address that only this machine or its network reaches.
var errPrivate = errors.New("the address is not public")

// closed are the networks that netip's own predicates leave out: from the
// special-purpose registries (RFC 6890, 8190), and cloud metadata services at
// public addresses.
var closed = prefixes(
	"0.0.0.0/8",        // this network
	"100.64.0.0/10",    // carrier-grade NAT; Alibaba's metadata
	"192.0.0.0/24",     // protocol assignments; Oracle's metadata
	"192.0.2.0/24",     // documentation
	"198.18.0.0/15",    // benchmarks
	"198.51.100.0/24",  // documentation
	"203.0.113.0/24",   // documentation
	"240.0.0.0/4",      // reserved, broadcast
	"168.63.129.16/32", // Azure's metadata and agents
	"64:ff9b:1::/48",   // local NAT64
	"100::/64",         // discard
	"2001::/23",        // protocol assignments, Teredo
	"2001:db8::/32",    // documentation
	"3fff::/20",        // documentation
	"5f00::/16",        // segment routing
	"fec0::/10",        // site-local, deprecated
)

// embeds are IPv6 networks whose addresses carry an IPv4 address, and the byte
// at which it begins.
var embeds = []struct {
	net netip.Prefix
	at  int
}{
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4
}

func prefixes(list ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// guard is a net.Dialer's Control: it sees the address after resolution, just
// before the socket connects, so a name that changes its answer gains nothing.
func guard(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s cannot be read", errPrivate, address)
	}
	if !public(ap.Addr()) {
		return fmt.Errorf("%w: %s", errPrivate, ap.Addr())
	}
	return nil
}

// public reports whether the address belongs to the public internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	for _, p := range closed {
		if p.Contains(a) {
			return false
		}
	}
	if a.Is4() {
		return true
	}
	b := a.As16()
	for _, e := range embeds {
		if e.net.Contains(a) {
			return public(netip.AddrFrom4([4]byte(b[e.at : e.at+4])))
		}
	}
	return true
}
