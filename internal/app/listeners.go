package app

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/sparecloud/spare/internal/errs"
)

// socket is a listening socket that the supervisor holds open for its
// children. It is a bare descriptor: a net.Listener would wake the supervisor
// for every connection.
type socket struct {
	addr string // as the configuration names it
	fd   int
}

// bind opens a listening socket at addr ("host:port"). The standard library
// sets SO_REUSEADDR and takes the length of the queue from somaxconn.
func bind(addr string) (*socket, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = ln.Close() }()
	fd, err := dupListener(ln)
	if err != nil {
		return nil, err
	}
	return &socket{addr: addr, fd: fd}, nil
}

func (s *socket) close() error { return os.NewSyscallError("close", syscall.Close(s.fd)) }

// file gives a duplicate to be passed to a child.
func (s *socket) file() (*os.File, error) {
	fd, err := dup(s.fd)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), s.addr), nil
}

// listening says whether the descriptor is a listening TCP socket.
func (s *socket) listening() bool {
	n, err := syscall.GetsockoptInt(s.fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	return err == nil && n == 1 && s.local().IsValid()
}

// local is the address the socket is bound to; invalid if it is no TCP socket.
func (s *socket) local() netip.AddrPort {
	sa, err := syscall.Getsockname(s.fd)
	if err != nil {
		return netip.AddrPort{}
	}
	switch a := sa.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *syscall.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	default:
		return netip.AddrPort{}
	}
}

// covers says whether the socket is what addr asks for.
func (s *socket) covers(addr string) bool {
	if s.addr == addr {
		return true
	}
	want, err := net.ResolveTCPAddr("tcp", addr)
	have := s.local()
	if err != nil || want.Port == 0 || want.Port != int(have.Port()) {
		return false
	}
	ip, ok := netip.AddrFromSlice(want.IP)
	if !ok { // no host: all addresses
		return have.Addr().IsUnspecified()
	}
	return ip.Unmap() == have.Addr()
}

// dupListener gives a descriptor of its own for a listener's socket.
//
// The listener's File method will not do: Fd of such a file, which os/exec
// calls, clears O_NONBLOCK. That flag belongs to the socket and not to the
// descriptor, so a data process that accepts on it would block in accept(2),
// deaf to its own Close, and lose the connection which wakes it.
func dupListener(ln net.Listener) (int, error) {
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return 0, errs.E(errs.Unsupported, "a listener of type %T has no descriptor", ln)
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var fd int
	var duped error
	err = rc.Control(func(s uintptr) { fd, duped = dup(int(s)) })
	return fd, errors.Join(err, duped)
}

func dup(fd int) (int, error) {
	n, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if e != 0 {
		return 0, os.NewSyscallError("fcntl", e)
	}
	return int(n), nil
}
