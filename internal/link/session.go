package link

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/run"
)

// session is the hub's side of one connection.
type session struct {
	hub    *Hub
	stream stream
	peer   Peer // guarded by hub.mu once registered
	end    context.CancelCauseFunc
	gone   chan struct{} // closed when OnGone has returned

	fresh   chan struct{} // has a token when there may be a newer table
	acks    chan uint64
	batches chan []health.Event
}

// serve runs one connection from hello to its end.
func (h *Hub) serve(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	defer h.leave()
	if !h.enter() {
		h.opt.Log.Warn("too many data processes, connection refused", "limit", maxPeers)
		return
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	s := &session{
		hub: h, stream: stream{conn}, end: end, gone: make(chan struct{}),
		fresh: make(chan struct{}, 1), acks: make(chan uint64), batches: make(chan []health.Event, 1),
	}
	if err := s.greet(); err != nil {
		h.opt.Log.Warn("data process not let in", "err", err)
		return
	}
	h.register(s)
	defer h.unregister(s)
	src := s.peer.Incarnation
	if h.opt.OnHello != nil {
		h.opt.OnHello(s.peer.Hello)
	}
	end(s.run(ctx))
	err := context.Cause(ctx)
	h.opt.Log.Info("data process unlinked", "incarnation", src, "err", err)
	if h.opt.OnGone != nil {
		h.opt.OnGone(src, err)
	}
}

// greet takes the peer's hello and answers one that it refuses.
func (s *session) greet() error {
	m, err := s.stream.receive(maxHello)
	if err != nil {
		return err
	}
	if m.Hello == nil || m.Hello.Incarnation == "" {
		return errs.E(errs.Invalid, "the first frame is no hello")
	}
	s.peer = Peer{Hello: *m.Hello, Since: time.Now().UTC()}
	if m.Hello.Version == Version {
		return nil
	}
	err = errs.E(errs.Unsupported, "data process %d speaks version %d, control %d", m.Hello.PID, m.Hello.Version, Version)
	_ = s.stream.send(message{Welcome: &welcome{Version: Version, PID: os.Getpid(), Error: err.Error()}})
	return err
}

// run moves messages until one of its three goroutines fails or ctx ends. It
// gives the first error.
func (s *session) run(ctx context.Context) error {
	if err := s.stream.send(message{Welcome: &welcome{Version: Version, PID: os.Getpid()}}); err != nil {
		return err
	}
	s.hub.opt.Log.Info("data process linked", "incarnation", s.peer.Incarnation, "pid", s.peer.PID, "epoch", s.peer.Epoch)
	ctx, cancel := context.WithCancel(ctx)
	var writer, handler error
	var others sync.WaitGroup
	others.Go(func() {
		writer = s.write(ctx)
		_ = s.stream.conn.Close() // so that the reader ends as well
	})
	others.Go(func() { handler = s.handle(ctx) })
	reader := s.read()
	cancel()
	others.Wait()
	return firstCause(reader, writer, handler)
}

func (s *session) poke() {
	select {
	case s.fresh <- struct{}{}:
	default:
	}
}

// write sends tables, acknowledgements and heartbeats.
func (s *session) write(ctx context.Context) error {
	beat := time.NewTicker(beatInterval)
	defer beat.Stop()
	var sent []byte
	s.poke()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-s.fresh:
			// The encoded table's identity tells whether it was sent.
			if t := s.hub.latest(); t != nil && (sent == nil || &t[0] != &sent[0]) {
				sent = t
				err = s.stream.sendBody(t)
			}
		case seq := <-s.acks:
			err = s.stream.send(message{Ack: &ack{Seq: seq}})
		case <-beat.C:
			err = s.stream.send(message{})
		}
		if err != nil {
			return err
		}
	}
}

func (s *session) read() error {
	for {
		m, err := s.stream.receive(maxFrame)
		if err != nil {
			return err
		}
		switch {
		case m.Traffic != nil:
			s.note(func(p *Peer) { p.Epoch = m.Traffic.Epoch })
			if f := s.hub.opt.OnTraffic; f != nil {
				f(s.peer.Incarnation, m.Traffic.At, m.Traffic.Services)
			}
			if f := s.hub.opt.OnBuckets; f != nil {
				f(s.peer.Incarnation, m.Traffic.At, m.Traffic.Buckets)
			}
		case m.Events != nil && len(m.Events.Events) > 0:
			if err := s.take(m.Events); err != nil {
				return err
			}
		}
	}
}

// take passes a batch on to the handler, which has room for one: a peer that
// sends more than one before the acknowledgement breaks the protocol.
func (s *session) take(b *eventBatch) error {
	for i := range b.Events {
		b.Events[i].Source = s.peer.Incarnation
	}
	var newly uint64
	s.note(func(p *Peer) {
		newly = b.Lost - min(b.Lost, p.LostEvents)
		p.LostEvents = b.Lost
	})
	if newly > 0 {
		s.hub.opt.Log.Warn("data process has dropped events", "incarnation", s.peer.Incarnation, "dropped", newly)
	}
	select {
	case s.batches <- b.Events:
		return nil
	default:
		return errs.E(errs.Invalid, "events sent before the last batch was acknowledged")
	}
}

func (s *session) note(f func(*Peer)) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	f(&s.peer)
}

// handle records batches and acknowledges them.
func (s *session) handle(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case batch := <-s.batches:
			if !s.record(ctx, batch) {
				return nil
			}
			select {
			case s.acks <- batch[len(batch)-1].Seq:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// record repeats OnEvents until it succeeds, or says false when ctx has ended.
func (s *session) record(ctx context.Context, batch []health.Event) bool {
	pause := run.Backoff{Min: 100 * time.Millisecond, Max: 2 * time.Second}
	for failed := false; ; failed = true {
		err := s.hub.opt.OnEvents(ctx, s.peer.Incarnation, batch)
		if err == nil {
			return true
		}
		if !failed && ctx.Err() == nil {
			s.hub.opt.Log.Error("events not recorded, trying again", "incarnation", s.peer.Incarnation, "events", len(batch), "err", err)
		}
		if run.Sleep(ctx, pause.Next()) != nil {
			return false
		}
	}
}
