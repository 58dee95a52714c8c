package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/sparecloud/spare/internal/health"
)

// phase is how far an attempt came.
type phase int

const (
	dialing phase = iota
	handshake
	awaiting // of the response head
	reading  // of the body
)

// failure is an attempt's error with the cause that it was classified as.
type failure struct {
	cause health.Cause
	err   error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func failed(cause health.Cause, err error) error { return &failure{cause, err} }

// classified gives err the cause that it has in the phase.
func classified(ph phase, err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return failed(causeOf(ph, err), err)
}

func causeOf(ph phase, err error) health.Cause {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return health.CauseDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return health.CauseRefused
	case ph == dialing && errors.Is(err, syscall.ECONNRESET):
		return health.CauseReset
	case ph == dialing:
		return health.CauseConnect
	case ph == reading:
		return health.CauseBody
	case timedOut(err):
		return health.CauseTimeout
	case cut(err):
		return health.CauseReset
	case ph == handshake || ofTLS(err):
		return health.CauseTLS
	default:
		return health.CauseProtocol
	}
}

func timedOut(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// cut reports whether the other side ended the connection.
func cut(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}

// ofTLS reports whether TLS failed after our side of the handshake was done:
// with TLS 1.3 a server refuses a client's certificate only then.
func ofTLS(err error) bool {
	var record tls.RecordHeaderError
	var op *net.OpError
	return errors.As(err, &record) || errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

// ours reports whether the attempt failed for want of something on this
// machine: it says nothing about the target.
func ours(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
