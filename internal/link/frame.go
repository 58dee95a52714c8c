package link

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

const (
	maxFrame = 64 << 20
	maxHello = 64 << 10 // of a first frame: nobody has said yet who it is
)

// readFrame reads one frame's body. A length over limit, or of zero, is
// Invalid. Memory grows with what arrives, not with what the length claims.
func readFrame(r io.Reader, limit int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || int64(n) > int64(limit) {
		return nil, errs.E(errs.Invalid, "frame length %d is not within 1 and %d", n, limit)
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(body) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return body, nil
}

// appendFrame puts body's frame after b.
func appendFrame(b, body []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

// stream is one side's view of a connection. One goroutine may read while
// another writes.
type stream struct{ conn net.Conn }

// receive reads the next message; it must be complete within the silence
// bound.
func (s stream) receive(limit int) (message, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return message{}, err
	}
	b, err := readFrame(s.conn, limit)
	if err != nil {
		return message{}, err
	}
	return decode(b)
}

func (s stream) send(m message) error {
	b, err := encode(m)
	if err != nil {
		return err
	}
	return s.sendBody(b)
}

// sendBody writes one frame; the peer must take it within the silence bound.
func (s stream) sendBody(body []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	_, err := s.conn.Write(appendFrame(make([]byte, 0, 4+len(body)), body))
	return err
}

// firstCause gives the first error that is not only the echo of this side's
// closing the connection.
func firstCause(all ...error) error {
	var echo error
	for _, err := range all {
		switch {
		case err == nil:
		case errors.Is(err, net.ErrClosed), errors.Is(err, io.ErrClosedPipe):
			echo = err
		default:
			return err
		}
	}
	return echo
}
