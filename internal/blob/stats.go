package blob

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/sparecloud/spare/internal/errs"
)

// methods names what Stats counts, in the order of its table.
var methods = [...]string{
	"head", "get", "put", "copy", "delete", "list", "make",
	"create_upload", "upload_part", "complete_upload", "abort_upload", "list_parts", "list_uploads",
}

// Stats counts a bucket's calls. Its zero value is ready; all of it may be read
// while calls run.
type Stats struct {
	calls  [len(methods)]atomic.Uint64
	failed [len(methods)]atomic.Uint64

	BytesRead    atomic.Uint64 // object bytes received
	BytesWritten atomic.Uint64 // object bytes sent, or about to be
}

// Calls gives how often a method was called and how often the provider failed
// it, for each method: "head", "get", "put", ... A failure of the provider is
// an error of kind Unavailable, Denied or Internal, also of a body that is
// read, unless the caller gave up (context.Canceled) or the caller's own body
// failed.
func (s *Stats) Calls(f func(method string, calls, failed uint64)) {
	for i, m := range methods {
		f(m, s.calls[i].Load(), s.failed[i].Load())
	}
}

// Requests gives the number of all calls.
func (s *Stats) Requests() (n uint64) {
	for i := range s.calls {
		n += s.calls[i].Load()
	}
	return n
}

func (s *Stats) count(method string, err error) {
	s.calls[place(method)].Add(1)
	s.fail(method, err)
}

func (s *Stats) fail(method string, err error) {
	var body *bodyError
	if err == nil || errors.Is(err, context.Canceled) || errors.As(err, &body) {
		return
	}
	switch errs.KindOf(err) {
	case errs.Unavailable, errs.Denied, errs.Internal:
		s.failed[place(method)].Add(1)
	}
}

func place(method string) int {
	for i, m := range methods {
		if m == method {
			return i
		}
	}
	panic("blob: no method " + method)
}
