package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

// An orphan's offer and the supervisor's answer, one packet each. The sockets
// of Addrs travel with the offer, in that order.
type (
	offer struct {
		Incarnation string   `json:"incarnation"`
		Addrs       []string `json:"addrs"`
	}
	answer struct {
		Drain bool `json:"drain"`
	}
)

const (
	maxOffer    = 64 << 10 // bytes of a packet
	maxSockets  = 64       // in one offer
	offerPause  = 50 * time.Millisecond
	offerWait   = 3 * time.Second // for a packet that is due
	orphanWait  = 10 * time.Second
	adoptSocket = "supervisor.sock"
)

func adoptPath(dataDir string) string { return filepath.Join(dataDir, adoptSocket) }

// orphan is a data process whose supervisor has died.
type orphan struct {
	log         *slog.Logger
	path        string // of the socket at which a new supervisor listens
	incarnation string
	listeners   []Listener
	wait        time.Duration // for a supervisor
}

// offerListeners blocks until the orphan shall drain: a new supervisor says
// so, or none comes in time. A supervisor that goes away after it took the
// offer starts the time anew.
//
// The connection that it gives, if any, tells the supervisor by its end that
// the orphan is gone: close it when everything is drained.
func (o *orphan) offerListeners(ctx context.Context) net.Conn {
	deadline := time.Now().Add(o.wait)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		conn, err := o.send()
		if err != nil {
			_ = run.Sleep(ctx, offerPause)
			continue
		}
		o.log.Info("listeners offered to a new supervisor")
		stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
		told := o.told(conn)
		stop()
		if told {
			o.log.Info("a new supervisor has taken over")
			return conn
		}
		_ = conn.Close()
		deadline = time.Now().Add(o.wait)
		_ = run.Sleep(ctx, offerPause)
	}
	return nil
}

// told waits for the supervisor's word.
func (o *orphan) told(conn *net.UnixConn) bool {
	b := make([]byte, maxOffer)
	n, err := conn.Read(b)
	if err != nil {
		return false
	}
	var a answer
	return json.Unmarshal(b[:n], &a) == nil && a.Drain
}

// send makes a connection and sends the offer on it.
func (o *orphan) send() (*net.UnixConn, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: o.path, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	if err := o.sendOn(conn); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (o *orphan) sendOn(conn *net.UnixConn) error {
	var fds []int
	defer func() { closeAll(fds) }()
	doc := offer{Incarnation: o.incarnation}
	for _, l := range o.listeners {
		fd, err := dupListener(l.Listener)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
		doc.Addrs = append(doc.Addrs, l.Address)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(offerWait)); err != nil {
		return err
	}
	_, _, err = conn.WriteMsgUnix(b, syscall.UnixRights(fds...), nil)
	return err
}

// receiveOffer reads an offer and its sockets. What is not a listening socket
// is closed and left out.
func receiveOffer(conn *net.UnixConn) (offer, []*socket, error) {
	if err := conn.SetReadDeadline(time.Now().Add(offerWait)); err != nil {
		return offer{}, nil, err
	}
	b, oob := make([]byte, maxOffer), make([]byte, syscall.CmsgSpace(4*maxSockets))
	n, oobn, _, _, err := conn.ReadMsgUnix(b, oob)
	if err != nil {
		return offer{}, nil, err
	}
	fds, err := parseRights(oob[:oobn])
	if err != nil {
		return offer{}, nil, err
	}
	var doc offer
	if err := json.Unmarshal(b[:n], &doc); err != nil || len(doc.Addrs) != len(fds) {
		closeAll(fds)
		return offer{}, nil, errs.E(errs.Invalid, "an offer of %d sockets names %d addresses", len(fds), len(doc.Addrs))
	}
	var sockets []*socket
	for i, fd := range fds {
		s := &socket{addr: doc.Addrs[i], fd: fd}
		if !s.listening() {
			closeAll([]int{fd})
			continue
		}
		sockets = append(sockets, s)
	}
	return doc, sockets, nil
}

func parseRights(oob []byte) ([]int, error) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	var fds []int
	for i := range messages {
		got, err := syscall.ParseUnixRights(&messages[i])
		if err != nil {
			continue // some other control message
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = syscall.Close(fd)
	}
}
