package webhook

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/errs"
)

func TestOnlyPublicAddressesAreReached(t *testing.T) {
	for _, a := range []string{
		"127.0.0.1", "127.255.0.9", "::1", "0.0.0.0", "::", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
		"169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "100.64.0.1", "100.100.100.200",
		"168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "ff02::1", "240.0.0.1", "255.255.255.255", "0.1.2.3",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.1.2.3", "::ffff:100.100.100.200",
		"64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "::127.0.0.1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "2001::1", "2001:db8::1", "fec0::1",
	} {
		if public(netip.MustParseAddr(a)) {
			t.Errorf("%s passes", a)
		}
	}
	for _, a := range []string{"1.1.1.1", "8.8.8.8", "172.32.0.1", "172.15.0.1", "192.167.0.1", "100.63.0.1", "100.128.0.1", "169.253.1.1",
		"::ffff:8.8.8.8", "2606:4700::1111", "2001:4860:4860::8888", "64:ff9b::8.8.8.8", "2002:808:808::"} {
		if !public(netip.MustParseAddr(a)) {
			t.Errorf("%s does not pass", a)
		}
	}
	if guard("tcp", "not an address", nil) == nil {
		t.Error("an address that cannot be read passes")
	}
}

// The check is made on what a name resolves to, when the socket connects.
func TestNamesThatResolveToThisMachineAreRefused(t *testing.T) {
	requests := 0
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests++ }))
	defer s.Close()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "0.0.0.0", "[::]", "2130706433", "0x7f.1", "127.1"} {
		err := newHook(t, Options{URL: "http://" + host + ":" + port + "/"}).Send(t.Context(), notice)
		if err == nil {
			t.Errorf("%s: delivered", host)
		}
		// Spellings that only some C libraries read as addresses are names here, and resolve to nothing.
		unresolved := errs.Is(err, errs.Unavailable) && strings.Contains(err.Error(), "lookup")
		if !errs.Is(err, errs.Denied) && !unresolved {
			t.Errorf("%s: %v", host, err)
		}
	}
	if err := newHook(t, Options{URL: "http://localhost:" + port + "/"}).Send(t.Context(), notice); !errs.Is(err, errs.Denied) || errs.Hint(err) == "" {
		t.Errorf("localhost: %v, hint %q", err, errs.Hint(err))
	}
	if requests != 0 {
		t.Errorf("%d requests came through", requests)
	}
	if err := newHook(t, Options{URL: "http://localhost:" + port + "/", AllowPrivate: true}).Send(t.Context(), notice); err != nil {
		t.Errorf("allowed: %v", err)
	}
}

// A proxy, or a client's own dialer, would go around the check.
func TestProxyAndForeignDialersAreNotUsed(t *testing.T) {
	foreign := func(_, _ string) (net.Conn, error) { return nil, errors.New("not to be used") }
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		Dial:  foreign, //nolint:staticcheck // the old hooks too
	}}
	w := newHook(t, Options{URL: "http://169.254.169.254/latest/meta-data", Client: client})
	if err := w.Send(t.Context(), notice); !errs.Is(err, errs.Denied) {
		t.Errorf("got %v", err)
	}
	if tr, ok := w.client.Transport.(*http.Transport); !ok || tr.Proxy != nil {
		t.Errorf("the transport %T has a proxy", w.client.Transport)
	}
}
