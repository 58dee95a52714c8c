package edge

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// clientLinger is how long a client that has its answer may go on with a body
// that nobody reads, before the connection is closed under it.
const clientLinger = 500 * time.Millisecond

// clientBody reads a request body within its limits.
//
// An answer may be done before the body is. What is left of the body must
// never be read as the connection's next request, so such an answer says
// "Connection: close".
type clientBody struct {
	r     io.Reader
	left  int64
	rc    *http.ResponseController
	whole atomic.Bool // read to its end
	over  atomic.Bool // nobody wants more
	mu    sync.Mutex  // held while reading
}

var errOver = errors.New("the answer came before the request body's end")

func (b *clientBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over.Load() {
		return 0, errOver
	}
	_ = b.rc.SetReadDeadline(time.Now().Add(clientIdle))
	if b.over.Load() { // it would have undone the deadline that ends this read
		return 0, errOver
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errBodyTooLarge
	}
	if errors.Is(err, io.EOF) {
		b.whole.Store(true)
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// abandon ends the reading before the handler returns: net/http takes the
// deadline off a read that is still under way, and would wait for ever.
func (b *clientBody) abandon() {
	b.over.Store(true)
	if b.whole.Load() {
		return
	}
	_ = b.rc.SetReadDeadline(time.Unix(1, 0))
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.rc.SetReadDeadline(time.Now().Add(clientLinger))
}
