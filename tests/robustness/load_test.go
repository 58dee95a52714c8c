package robustness_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// request is what the load generator sends.
type request struct {
	method, target string
	fields         string // further header lines, each with its CR LF
	body           []byte
	want           []byte // of the answer's body; nil = any
}

// record is one request in the ledger.
type record struct {
	n      int
	req    request
	due    time.Time     // when it should have been sent
	sent   time.Time     // when it was
	took   time.Duration // from sent to the answer's last byte
	status int           // 0 = no answer
	origin string
	maybe  string // Spare-Maybe-Applied
	said   string // the beginning of a bad answer's body
	err    error  // no whole answer, or not the one that was asked for
}

// fine reports a request that was answered as its user wanted.
func (r *record) fine() bool { return r.err == nil && r.status >= 200 && r.status < 400 }

// late is the time from when the request was due to its answer.
func (r *record) late() time.Duration { return r.sent.Add(r.took).Sub(r.due) }

func (r *record) String() string {
	return fmt.Sprintf("%s %s: status %d %q from %q, maybe applied %q, sent %s, took %v, error %v", r.req.method, r.req.target,
		r.status, r.said, r.origin, r.maybe, r.sent.Format("05.000"), r.took.Round(time.Millisecond), r.err)
}

// load is an open loop: requests are due at a fixed rate whatever becomes of
// those before, on kept connections of its own. Nothing is ever sent twice: a
// connection that breaks is a failed request.
type load struct {
	addr string
	next func(n int) request
	quit chan struct{}
	all  sync.WaitGroup

	mu     sync.Mutex
	ledger ledger
}

const (
	loadRate  = 300 // requests a second
	loadConns = 50
	tooLong   = 15 * time.Second // an answer that takes so long is none
)

// startLoad begins to send at the usual rate.
func startLoad(t *testing.T, addr string, next func(n int) request) *load {
	t.Helper()
	return startLoadOf(t, addr, loadRate, loadConns, next)
}

func startLoadOf(t *testing.T, addr string, rate, conns int, next func(n int) request) *load {
	t.Helper()
	l := &load{addr: addr, next: next, quit: make(chan struct{})}
	tickets := newTickets(rate, l.quit)
	for range conns {
		l.all.Go(func() { l.client(tickets) })
	}
	t.Cleanup(func() { l.stop() })
	return l
}

type ticket struct {
	n   int
	due time.Time
}

func newTickets(rate int, quit <-chan struct{}) <-chan ticket {
	c := make(chan ticket, 100_000)
	go func() {
		defer close(c)
		begin := time.Now()
		for n := 0; ; n++ {
			due := begin.Add(time.Duration(n) * time.Second / time.Duration(rate))
			select {
			case <-quit:
				return
			case <-time.After(time.Until(due)):
				c <- ticket{n, due}
			}
		}
	}()
	return c
}

// stop ends the load and gives its ledger once the last answer is here.
func (l *load) stop() ledger {
	if !l.stopped() {
		close(l.quit)
	}
	l.all.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ledger
}

func (l *load) stopped() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

func (l *load) client(tickets <-chan ticket) {
	c := &client{addr: l.addr}
	defer c.hangUp()
	for tk := range tickets {
		if l.stopped() {
			continue // due, and not sent: nobody waits for it any more
		}
		r := record{n: tk.n, req: l.next(tk.n), due: tk.due}
		c.do(&r)
		l.mu.Lock()
		l.ledger = append(l.ledger, r)
		l.mu.Unlock()
	}
}

// client is one kept connection.
type client struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
}

func (c *client) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// do sends the request once and fills in what came of it.
func (c *client) do(r *record) {
	r.sent = time.Now()
	last, err := c.exchange(r)
	r.took, r.err = time.Since(r.sent), err
	if err != nil || last {
		c.hangUp()
	}
}

func (c *client) exchange(r *record) (last bool, err error) {
	if c.conn == nil {
		conn, err := net.DialTimeout("tcp", c.addr, tooLong)
		if err != nil {
			return true, fmt.Errorf("connect: %w", err)
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(tooLong))
	if _, err := c.conn.Write(r.req.bytes()); err != nil {
		return true, fmt.Errorf("send: %w", err)
	}
	resp, err := http.ReadResponse(c.in, &http.Request{Method: r.req.method})
	if err != nil {
		return true, fmt.Errorf("read the head: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	r.status, r.origin, r.maybe = resp.StatusCode, resp.Header.Get("X-Origin"), resp.Header.Get("Spare-Maybe-Applied")
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return true, fmt.Errorf("read the body: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		r.said = strings.TrimSpace(string(body[:min(len(body), 100)]))
	}
	if r.req.want != nil && resp.StatusCode == http.StatusOK && !bytes.Equal(body, r.req.want) {
		return true, errors.New("the body is another")
	}
	return resp.Close, nil
}

func (q request) bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: shop.example\r\n%s", q.method, q.target, q.fields)
	if q.body != nil {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(q.body))
	}
	b.WriteString("\r\n")
	b.Write(q.body)
	return b.Bytes()
}

// once sends one request on a connection of its own.
func once(addr string, q request) record {
	c := &client{addr: addr}
	defer c.hangUp()
	r := record{req: q, due: time.Now()}
	c.do(&r)
	return r
}

// gets asks for the page; each request has a number in its query.
func gets(n int) request {
	return request{method: http.MethodGet, target: fmt.Sprintf("/page?n=%d", n), want: page}
}

// posts places orders; each has an id of its own.
func posts(n int) request {
	return request{method: http.MethodPost, target: fmt.Sprintf("/orders?id=%d", n), body: []byte("one teapot")}
}

// ledger is all that was sent.
type ledger []record

// failures gives what was not answered as its user wanted.
func (l ledger) failures() []record {
	var bad []record
	for _, r := range l {
		if !r.fine() {
			bad = append(bad, r)
		}
	}
	return bad
}

// after gives the requests that were sent after the moment.
func (l ledger) after(t time.Time) ledger {
	var list ledger
	for _, r := range l {
		if r.sent.After(t) {
			list = append(list, r)
		}
	}
	return list
}

func (l ledger) longest() (took, late time.Duration) {
	for i := range l {
		took, late = max(took, l[i].took), max(late, l[i].late())
	}
	return took, late
}

// from counts the answers of each origin.
func (l ledger) from(origin string) int {
	n := 0
	for _, r := range l {
		if r.origin == origin {
			n++
		}
	}
	return n
}

func (l ledger) String() string {
	took, late := l.longest()
	return fmt.Sprintf("%d requests, %d failed, longest response %v (from when it was due %v), alpha %d, beta %d",
		len(l), len(l.failures()), took.Round(time.Millisecond), late.Round(time.Millisecond), l.from("alpha"), l.from("beta"))
}

// wantNoFailure is the promise of most tests.
func (l ledger) wantNoFailure(t *testing.T, least int) {
	t.Helper()
	t.Log(l)
	if len(l) < least {
		t.Errorf("only %d requests were sent: the load did not run", len(l))
	}
	bad := l.failures()
	if len(bad) == 0 {
		return
	}
	lines := make([]string, 0, 10)
	for i := range bad[:min(len(bad), 10)] {
		lines = append(lines, bad[i].String())
	}
	t.Errorf("%d of %d requests failed:\n%s", len(bad), len(l), strings.Join(lines, "\n"))
}
