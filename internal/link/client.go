package link

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
	"github.com/sparecloud/spare/internal/run"
)

// ClientOptions are a client's identity and callbacks. Log, Incarnation, Epoch,
// OnTable and Traffic are required. OnTable and OnLinked are called by one
// goroutine and should return within a second.
type ClientOptions struct {
	Log         *slog.Logger
	Incarnation string // one life of one data process; unique
	Binary      string // version of the program, for people
	Epoch       func() uint64
	// OnTable takes each table that control sends, also the one in force
	// already. Its error is logged.
	OnTable func(*route.Table) error
	// OnLinked says that control has come, or gone. It starts as gone.
	OnLinked func(bool)
	Traffic  func() []health.Traffic
	Buckets  func() []health.Bucket // nil = there are none
}

// Client is a data process's end of the link. It dials again, with growing
// delays up to a second, for as long as it runs.
type Client struct {
	path string
	opt  ClientOptions
	ring *ring
	dial func(ctx context.Context) (net.Conn, error)
}

// NewClient gives a client for the socket at path. It touches nothing before
// Run.
func NewClient(path string, opt ClientOptions) *Client {
	c := &Client{path: path, opt: opt, ring: newRing(opt.Incarnation)}
	c.dial = func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return c
}

// Report keeps e until control has acknowledged it, and sends it as soon as
// there is a link. It assigns Seq and Source, and At if that is zero, and cuts
// a Detail of more than 2 KiB. It never blocks; of more than 10,000 unacknowledged events the oldest are dropped and
// counted.
func (c *Client) Report(e health.Event) {
	if e.At.IsZero() {
		e.At = time.Now().UTC()
	}
	if len(e.Detail) > maxDetail {
		e.Detail = strings.ToValidUTF8(e.Detail[:maxDetail], "")
	}
	c.ring.push(e)
}

// maxDetail bounds an event's text, in bytes, and so the memory of the ring
// and the size of a frame.
const maxDetail = 2 << 10

// LostEvents is how many events were dropped unacknowledged.
func (c *Client) LostEvents() uint64 { return c.ring.lostCount() }

// Run keeps the link until ctx ends. Invalid: the socket's path cannot exist.
func (c *Client) Run(ctx context.Context) error {
	if err := CheckPath(c.path); err != nil {
		return err
	}
	pause := run.Backoff{Min: 20 * time.Millisecond, Max: time.Second, Jitter: 0.3, Immediate: true}
	said := "" // what went wrong last, so that it is logged once
	for ctx.Err() == nil {
		began := time.Now()
		linked, err := c.connect(ctx)
		if linked {
			said = ""
		}
		// A link that breaks as soon as it stands is not redialed at once.
		if linked && time.Since(began) > time.Second {
			pause.Reset()
		}
		if ctx.Err() == nil && err != nil && err.Error() != said {
			said = err.Error()
			c.opt.Log.Warn("no link to control", "err", err)
		}
		if run.Sleep(ctx, pause.Next()) != nil {
			break
		}
	}
	return nil
}

// connect runs one connection and says whether control had let it in.
func (c *Client) connect(ctx context.Context) (linked bool, err error) {
	dialing, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	conn, err := c.dial(dialing)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	s := stream{conn}
	if err := c.greet(s); err != nil {
		return false, err
	}
	c.opt.Log.Info("linked to control", "socket", c.path)
	c.setLinked(true)
	defer c.setLinked(false)
	return true, c.session(ctx, s)
}

func (c *Client) setLinked(on bool) {
	if c.opt.OnLinked != nil {
		c.opt.OnLinked(on)
	}
}

func (c *Client) greet(s stream) error {
	hello := Hello{
		Version: Version, Incarnation: c.opt.Incarnation, PID: os.Getpid(),
		Epoch: c.opt.Epoch(), Binary: c.opt.Binary,
	}
	if err := s.send(message{Hello: &hello}); err != nil {
		return err
	}
	m, err := s.receive(maxHello)
	switch {
	case err != nil:
		return err
	case m.Welcome == nil:
		return errs.E(errs.Invalid, "control's first frame is no welcome")
	case m.Welcome.Error != "":
		return errs.E(errs.Unsupported, "control refuses the link: %s", m.Welcome.Error)
	default:
		return nil
	}
}

// session moves messages until either direction fails or ctx ends.
func (c *Client) session(ctx context.Context, s stream) error {
	c.ring.rewind()
	ctx, cancel := context.WithCancel(ctx)
	var writer error
	var other sync.WaitGroup
	other.Go(func() {
		writer = c.write(ctx, s)
		_ = s.conn.Close()
	})
	reader := c.read(s)
	cancel()
	other.Wait()
	return firstCause(reader, writer)
}

// write sends events as they come and traffic at its interval. What traffic
// could not be sent in time is not sent later: the next report replaces it.
func (c *Client) write(ctx context.Context, s stream) error {
	tick := time.NewTicker(trafficInterval)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-c.ring.wake:
			if events, lost := c.ring.batch(); len(events) > 0 {
				err = s.send(message{Events: &eventBatch{Events: events, Lost: lost}})
			}
		case <-tick.C:
			err = s.send(message{Traffic: c.report()})
		}
		if err != nil {
			return err
		}
	}
}

func (c *Client) report() *trafficReport {
	r := &trafficReport{At: time.Now().UTC(), Epoch: c.opt.Epoch(), Services: c.opt.Traffic()}
	if c.opt.Buckets != nil {
		r.Buckets = c.opt.Buckets()
	}
	return r
}

func (c *Client) read(s stream) error {
	for {
		m, err := s.receive(maxFrame)
		if err != nil {
			return err
		}
		switch {
		case m.Ack != nil:
			c.ring.ack(m.Ack.Seq)
		case m.Table != nil:
			if err := c.opt.OnTable(m.Table); err != nil {
				c.opt.Log.Warn("table from control refused", "epoch", m.Table.Epoch, "err", err)
			}
		}
	}
}
