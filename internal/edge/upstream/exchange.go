package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/health"
)

// Timeouts of one exchange.
type Timeouts struct {
	Connect time.Duration // of TCP, name look-up included
	Head    time.Duration // from the request's first byte to the end of the response head
}

// Response is an origin's answer. Body must be closed; a body read to its end
// gives the connection back to the pool.
type Response struct {
	Status  int
	Header  http.Header
	Length  int64 // -1 = not told
	Body    io.ReadCloser
	Trailer http.Header // filled when Body has been read to its end
	Reused  bool
	HeadAt  time.Time
	x       *exchange
}

// Stream is the two-way connection after a 101 answer.
func (r *Response) Stream() io.ReadWriteCloser { return stream{r.x} }

// SetReadDeadline bounds the next reads of Body.
// It does nothing once the body has ended: the connection is another's then.
func (r *Response) SetReadDeadline(t time.Time) {
	if !r.x.done.Load() {
		r.x.bound(r.x.c.nc.SetReadDeadline, t)
	}
}

// Wait returns when the next bytes of Body, or its end, are there, and with
// os.ErrDeadlineExceeded at t. Unlike a read that meets its deadline it harms
// no framing: Body can still be read.
func (r *Response) Wait(t time.Time) error {
	x := r.x
	if x.done.Load() || x.raw.Body == http.NoBody || r.Ready() {
		return nil
	}
	x.bound(x.c.nc.SetReadDeadline, t)
	if _, err := x.c.br.Peek(1); err != io.EOF {
		return err
	}
	return nil // Body knows whether the end may come here
}

// Ready reports whether bytes of Body are here already.
func (r *Response) Ready() bool { return !r.x.done.Load() && r.x.c.br.Buffered() > 0 }

type exchange struct {
	c       *conn
	req     *Request
	over    func() error // the context's error, once it ended
	head    time.Duration
	raw     *http.Response
	release func() bool // ends the watch on the context
	written chan error  // result of a body that is sent beside the reading; nil otherwise
	done    atomic.Bool
	eof     bool
	partial bool // part of the request was not sent: the connection is of no further use

	headRead atomic.Bool // the response head is here: the body's sender leaves deadlines alone
}

// RoundTrip sends req on a pooled or new connection and gives the response
// once its head is here. Interim 1xx answers other than 101 are dropped. When
// ctx ends the connection is closed at once. Every error is a *Failure. A
// pooled connection that turns out dead before it said anything is replaced
// once by a new one if nothing was sent, or if again is true.
func (p *Pool) RoundTrip(ctx context.Context, req *Request, t Timeouts, again bool) (*Response, error) {
	if c := p.take(); c != nil {
		resp, err := p.on(ctx, c, req, t, true)
		f := AsFailure(err)
		stale := f != nil && f.Cause == health.CauseReset && !f.Answered && !f.Client && !req.hasStream()
		if !stale || (f.Sent && !again) {
			return resp, err
		}
		resp, err = p.Fresh(ctx, req, t)
		if second := AsFailure(err); second != nil {
			second.Sent = second.Sent || f.Sent // what left once has left
		}
		return resp, err
	}
	return p.Fresh(ctx, req, t)
}

// Fresh is RoundTrip on a new connection, whatever the pool holds.
func (p *Pool) Fresh(ctx context.Context, req *Request, t Timeouts) (*Response, error) {
	c, err := p.dial(ctx, t.Connect)
	if err != nil {
		return nil, err
	}
	return p.on(ctx, c, req, t, false)
}

// on runs one exchange on c and closes c if that fails.
func (p *Pool) on(ctx context.Context, c *conn, req *Request, t Timeouts, reused bool) (*Response, error) {
	c.sent, c.received, c.ended = 0, 0, nil
	x := &exchange{c: c, req: req, over: ctx.Err, head: t.Head}
	x.release = context.AfterFunc(ctx, func() { _ = c.nc.SetDeadline(past) })
	x.bound(c.nc.SetDeadline, time.Now().Add(t.Head))
	fail := func(err error, otherwise health.Cause) error {
		x.end(false)
		var client bodyError
		fromClient := errors.As(err, &client) || ctx.Err() != nil
		return &Failure{Cause: causeOf(err, otherwise), Sent: c.sent > 0, Answered: c.received > 0, Reused: reused, Client: fromClient, Err: err}
	}
	if err := x.send(p.addr.Base); err != nil {
		// An origin may answer and hang up before it read the whole request.
		// Only a reader that finds no answer makes this a failure.
		if c.sent == 0 || !x.answerWaits() {
			return nil, fail(err, health.CauseReset)
		}
		x.partial = true
	}
	if err := x.readHead(); err != nil {
		if x.written != nil { // why the body stopped says more than what followed from it
			select {
			case werr := <-x.written:
				x.written <- werr
				var client bodyError
				if errors.As(werr, &client) {
					err = werr
				}
			default:
			}
		}
		return nil, fail(err, health.CauseProtocol)
	}
	return x.response(reused), nil
}

// answerGrace is how long an answer may still come after the request's body
// could not be sent: an origin that refuses a body answers and hangs up.
const answerGrace = 50 * time.Millisecond

// past is a deadline that wakes whoever waits on a connection.
var past = time.Unix(1, 0)

// bound sets a deadline, unless the context has ended: that sets one for good.
func (x *exchange) bound(set func(time.Time) error, t time.Time) {
	_ = set(t)
	if x.over() != nil {
		_ = x.c.nc.SetDeadline(past)
	}
}

// answerWaits reports whether response bytes are there to read after a write
// failed.
func (x *exchange) answerWaits() bool {
	x.bound(x.c.nc.SetReadDeadline, time.Now().Add(answerGrace))
	_, err := x.c.br.Peek(1)
	return err == nil
}

// bodyError marks a fault of the client's side of the request body.
type bodyError struct{ error }

func (e bodyError) Unwrap() error { return e.error }

// send writes the request. A body that has to be read from the client is sent
// by a goroutine of its own, so that an early answer is seen.
func (x *exchange) send(base string) error {
	head := appendHead(make([]byte, 0, 1024), x.req, base)
	if !x.req.hasStream() {
		_, err := x.c.Write(append(head, x.req.Payload...))
		return err
	}
	if _, err := x.c.Write(head); err != nil {
		return err
	}
	x.bound(x.c.nc.SetReadDeadline, time.Time{}) // the head is awaited from the body's end
	x.written = make(chan error, 1)
	go func() {
		err := x.sendBody()
		// Once the result is out the connection may be another's: deadlines first.
		switch {
		case x.headRead.Load():
		case err != nil:
			_ = x.c.nc.SetReadDeadline(time.Now().Add(answerGrace))
		default:
			x.bound(x.c.nc.SetReadDeadline, time.Now().Add(x.head))
		}
		x.written <- err
	}()
	return nil
}

func (x *exchange) sendBody() error {
	src, dst := source{x.req.Body}, patient{x}
	if x.req.Length > 0 {
		n, err := io.CopyN(dst, src, x.req.Length)
		if errors.Is(err, io.EOF) || (err == nil && n < x.req.Length) {
			return bodyError{io.ErrUnexpectedEOF}
		}
		return err
	}
	w := httputil.NewChunkedWriter(dst)
	if _, err := io.Copy(w, src); err != nil {
		return err // no final chunk: the origin sees a cut body, never a short one
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err := io.WriteString(dst, "\r\n")
	return err
}

// patient writes a long body: each write has the time that a head has.
type patient struct{ x *exchange }

func (p patient) Write(b []byte) (int, error) {
	p.x.bound(p.x.c.nc.SetWriteDeadline, time.Now().Add(p.x.head))
	return p.x.c.nc.Write(b)
}

// source marks read errors as the client's.
type source struct{ r io.Reader }

func (s source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = bodyError{err}
	}
	return n, err
}

func (x *exchange) readHead() error {
	for {
		x.c.headLeft = maxHead
		raw, err := http.ReadResponse(x.c.br, &http.Request{Method: x.req.Method}) //nolint:bodyclose // body.Close ends the exchange
		x.c.headLeft = -1
		if err != nil {
			if x.c.ended != nil && x.c.received > 0 { // the parser may complain about the line that was cut
				err = fmt.Errorf("within the response head: %w", x.c.ended)
			}
			return err
		}
		if raw.StatusCode >= 200 || (raw.StatusCode == http.StatusSwitchingProtocols && x.req.Upgrade != "") {
			x.raw = raw
			return nil
		}
		if raw.StatusCode == http.StatusSwitchingProtocols {
			return errors.New("origin switched protocols unasked")
		}
	}
}

func (x *exchange) response(reused bool) *Response {
	x.headRead.Store(true)
	x.bound(x.c.nc.SetDeadline, time.Time{})
	return &Response{
		Status: x.raw.StatusCode, Header: x.raw.Header, Length: x.raw.ContentLength,
		Body: body{x}, Trailer: x.raw.Trailer, Reused: reused, HeadAt: time.Now(), x: x,
	}
}

// end gives the connection back or closes it. It may be called twice.
func (x *exchange) end(clean bool) {
	if x.done.Swap(true) {
		return
	}
	watched := x.release()
	if x.written != nil {
		select {
		case err := <-x.written:
			x.written <- err
			clean = clean && err == nil
		default:
			clean = false
		}
	}
	keep := clean && watched && !x.partial && x.raw != nil && !x.raw.Close && x.raw.ProtoAtLeast(1, 1) && x.c.br.Buffered() == 0
	if !keep {
		x.c.close()
		return
	}
	_ = x.c.nc.SetDeadline(time.Time{})
	x.c.pool.put(x.c)
}

// body reads a response's body and ends the exchange with it.
type body struct{ x *exchange }

func (b body) Read(p []byte) (int, error) {
	n, err := b.x.raw.Body.Read(p)
	if err == io.EOF {
		b.x.eof = true
		b.x.end(true)
	}
	return n, err
}

func (b body) Close() error {
	// net/http gives EOF for a body of length 0 only when it is read.
	if !b.x.eof && !b.x.done.Load() && (b.x.raw.Body == http.NoBody || b.x.raw.ContentLength == 0) {
		b.x.end(true)
		return nil
	}
	b.x.end(b.x.eof)
	return nil
}

// stream is the raw connection after 101, bytes that were read ahead included.
type stream struct{ x *exchange }

func (s stream) Read(p []byte) (int, error)  { return s.x.c.br.Read(p) }
func (s stream) Write(p []byte) (int, error) { return s.x.c.nc.Write(p) }
func (s stream) Close() error {
	s.x.end(false)
	return nil
}

// appendHead writes the request line and fields. Values were checked when the
// request was read: none holds CR or LF.
func appendHead(b []byte, r *Request, base string) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	if r.Target != "*" {
		b = append(b, base...)
	}
	b = append(b, r.Target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	b = append(b, "\r\n"...)
	names := make([]string, 0, len(r.Header))
	for name := range r.Header {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		for _, v := range r.Header[name] {
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	switch {
	case r.Payload != nil:
		b = appendLength(b, int64(len(r.Payload)))
	case r.hasStream() && r.Length > 0:
		b = appendLength(b, r.Length)
	case r.hasStream():
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch:
		b = appendLength(b, 0)
	}
	if r.Upgrade != "" {
		b = append(b, "Connection: Upgrade\r\nUpgrade: "...)
		b = append(b, strings.TrimSpace(r.Upgrade)...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}
