package link

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
	"github.com/sparecloud/spare/internal/run"
)

// maxPeers bounds the connections at one time. There are one or two data
// processes, a few more while several are draining.
const maxPeers = 32

// HubOptions are a hub's callbacks. Log and OnEvents are required. For one
// peer OnHello comes first and OnGone last; in between, OnEvents and OnTraffic
// may be called at the same time, each by one goroutine. An incarnation that
// reconnects is gone before it says hello again.
type HubOptions struct {
	Log     *slog.Logger
	OnHello func(Hello)
	// OnEvents records a batch of at most 500 events. Only after it returned nil
	// is the batch acknowledged; after an error it is called again, after a
	// growing delay. It may see events again that it has recorded: source and
	// sequence number name an event. It may take its time, and must return when
	// ctx ends.
	OnEvents func(ctx context.Context, src string, events []health.Event) error
	// OnTraffic takes the latest counts. It must not block.
	OnTraffic func(src string, at time.Time, traffic []health.Traffic)
	// OnBuckets takes how buckets stand, after OnTraffic. It must not block.
	OnBuckets func(src string, at time.Time, buckets []health.Bucket)
	OnGone    func(src string, err error)
}

// Peer is a data process that is connected.
type Peer struct {
	Hello                // Epoch is kept up to date
	Since      time.Time // when this connection began, UTC
	LostEvents uint64    // dropped by the peer, as its ring was full
}

// Hub is the control process's end of the link.
type Hub struct {
	opt HubOptions
	ln  *net.UnixListener

	mu    sync.Mutex
	table []byte // encoded message, nil before the first Publish
	peers map[string]*session
	conns int
}

// Listen makes the socket at path, for this user only, and takes the place of
// one that is there already: what a killed process left behind, or one that a
// frozen process still holds. That there is one control process at a time is
// the supervisor's business, not the socket's. The socket stays when the hub
// ends; a client that dials it then is refused and tries again.
//
// Invalid: the path is too long. Conflict: path is something other than a
// socket.
func Listen(path string, opt HubOptions) (*Hub, error) {
	ln, err := ListenUnix("unix", path)
	if err != nil {
		return nil, err
	}
	return &Hub{opt: opt, ln: ln, peers: map[string]*session{}}, nil
}

// ListenUnix listens on a unix socket of the network "unix" or "unixpacket" at
// path with mode 0600, replacing a socket that is there. Errors are those of
// [Listen].
func ListenUnix(network, path string) (*net.UnixListener, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != os.ModeSocket {
		return nil, errs.E(errs.Conflict, "listen on %s: there is something that is not a socket", path)
	}
	// The socket takes its final name only when its mode is right, so nobody
	// else can connect in between. The name is as long as path, as that may be
	// as long as is allowed.
	temp := path[:len(path)-1] + "~"
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errs.Wrap(errs.Unavailable, err, "listen on %s", path)
	}
	ln, err := net.ListenUnix(network, &net.UnixAddr{Name: temp, Net: network})
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "listen on %s", path)
	}
	ln.SetUnlinkOnClose(false) // the name may be another's by then
	if err := errors.Join(os.Chmod(temp, 0o600), os.Rename(temp, path)); err != nil {
		_ = ln.Close()
		_ = os.Remove(temp)
		return nil, errs.Wrap(errs.Unavailable, err, "listen on %s", path)
	}
	return ln, nil
}

// Run serves peers until ctx ends, and closes the hub.
func (h *Hub) Run(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	stop := context.AfterFunc(ctx, func() { _ = h.ln.Close() })
	defer stop()
	pause := run.Backoff{Min: 5 * time.Millisecond, Max: time.Second}
	for {
		conn, err := h.ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil { // out of descriptors, say: it may pass
			h.opt.Log.Warn("cannot accept data process", "err", err)
			if run.Sleep(ctx, pause.Next()) != nil {
				return nil
			}
			continue
		}
		pause.Reset()
		all.Go(func() { h.serve(ctx, conn) })
	}
}

// Close releases a hub that is not going to run.
func (h *Hub) Close() error { return h.ln.Close() }

// Publish makes t the table that every present and later peer is sent. A table
// that a peer has not been sent yet is dropped in favour of t.
func (h *Hub) Publish(t *route.Table) {
	b, err := encode(message{Table: t})
	if err != nil {
		h.opt.Log.Error("table cannot be sent", "epoch", t.Epoch, "err", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table = b
	for _, s := range h.peers {
		s.poke()
	}
}

func (h *Hub) latest() []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.table
}

// Peers gives the data processes that are connected, oldest connection first.
func (h *Hub) Peers() []Peer {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Peer, 0, len(h.peers))
	for _, s := range h.peers {
		out = append(out, s.peer)
	}
	slices.SortFunc(out, func(a, b Peer) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Incarnation, b.Incarnation))
	})
	return out
}

// enter counts a connection and says whether there is room for it.
func (h *Hub) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns++
	return h.conns <= maxPeers
}

func (h *Hub) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns--
}

// register makes s the session of its incarnation. A session that the same
// incarnation had before is ended first.
func (h *Hub) register(s *session) {
	for {
		h.mu.Lock()
		old := h.peers[s.peer.Incarnation]
		if old == nil {
			h.peers[s.peer.Incarnation] = s
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		old.end(errReplaced)
		<-old.gone
	}
}

func (h *Hub) unregister(s *session) {
	h.mu.Lock()
	delete(h.peers, s.peer.Incarnation)
	h.mu.Unlock()
	close(s.gone)
}

var errReplaced = errs.E(errs.Unavailable, "the data process has connected again")
