package app

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sparecloud/spare/internal/errs"
)

func TestSocketCoversItsAddressInEveryForm(t *testing.T) {
	for _, c := range []struct {
		bind, have string
		want       map[string]bool // %s stands for the port
	}{
		{"127.0.0.1:0", "x", map[string]bool{"127.0.0.1:%s": true, "localhost:%s": true, "127.0.0.2:%s": false, ":%s": false, "127.0.0.1:1": false, "x": true}},
		{":0", "x", map[string]bool{":%s": true, "127.0.0.1:%s": false, "127.0.0.1:0": false, "nonsense": false}},
	} {
		s, err := bind(c.bind)
		if err != nil {
			t.Fatal(err)
		}
		s.addr = c.have
		port := s.local().String()
		port = port[strings.LastIndex(port, ":")+1:]
		for addr, want := range c.want {
			if addr == "localhost:%s" {
				if ips, err := net.LookupHost("localhost"); err != nil || ips[0] != "127.0.0.1" {
					continue
				}
			}
			addr = strings.ReplaceAll(addr, "%s", port)
			if got := s.covers(addr); got != want {
				t.Errorf("socket at %s covers %s: %t", c.bind, addr, got)
			}
		}
		if !s.listening() {
			t.Errorf("socket at %s is not seen as listening", c.bind)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPassingASocketLeavesItNonBlocking(t *testing.T) {
	s, err := bind("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	f, err := s.file()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	_ = f.Fd() // as os/exec does
	flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(s.fd), syscall.F_GETFL, 0)
	if e != 0 || flags&syscall.O_NONBLOCK == 0 {
		t.Fatalf("flags %#x, %v", flags, e)
	}
}

func TestBadInheritanceIsInvalid(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	for name, m := range map[string]manifest{
		"no descriptors":     {},
		"standard streams":   {Lifeline: 0, Ready: 1},
		"closed descriptors": {Lifeline: 900, Ready: 901},
		"a file as a socket": {Lifeline: 900, Ready: 901, Sockets: []manifestSocket{{Addr: ":80", FD: dupOf(t, null)}}},
	} {
		if _, err := m.open(); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func dupOf(t *testing.T, f *os.File) int {
	t.Helper()
	fd, err := dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// pair gives both ends of a packet connection.
func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	conn := func(fd int) *net.UnixConn {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		t.Cleanup(func() { _ = c.Close() })
		return c.(*net.UnixConn)
	}
	return conn(fds[0]), conn(fds[1])
}

func TestOfferedListenersArriveAndOthersAreLeftOut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	from, to := pair(t)
	o := &orphan{incarnation: "a", listeners: []Listener{{Listener: ln, Address: "web"}}}
	if err := o.sendOn(from); err != nil {
		t.Fatal(err)
	}
	doc, sockets, err := receiveOffer(to)
	if err != nil || doc.Incarnation != "a" || len(sockets) != 1 || sockets[0].addr != "web" {
		t.Fatalf("got %+v, %v, %v", doc, sockets, err)
	}
	if got, want := sockets[0].local().String(), ln.Addr().String(); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	closeSockets(sockets)

	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	if _, _, err := from.WriteMsgUnix([]byte(`{"addrs":["web"]}`), syscall.UnixRights(int(null.Fd())), nil); err != nil {
		t.Fatal(err)
	}
	if _, sockets, err := receiveOffer(to); err != nil || len(sockets) != 0 {
		t.Fatalf("a file was taken for a listener: %v, %v", sockets, err)
	}
}

func TestOfferThatMakesNoSenseIsRefused(t *testing.T) {
	for _, text := range []string{"", "x", `{"addrs":["a"]}`, `{"addrs":7}`} {
		from, to := pair(t)
		if text == "" {
			_ = from.Close()
		} else if _, err := from.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := receiveOffer(to); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
