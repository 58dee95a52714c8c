package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/health"
)

// Bounds of what an origin can make us read.
const (
	maxHead    = 64 << 10 // bytes of response heads
	maxBody    = 64 << 10 // bytes of a body
	maxInterim = 8        // 1xx answers before the real one
)

var (
	// errGone marks the end of a connection before any byte of the answer. On
	// one that was kept it says only that the other side grew tired of it.
	errGone = errors.New("connection closed before an answer")
	// errFull ends the reading of an answer that is longer than we care for.
	errFull = errors.New("answer is too long")
)

// answer reads one response from a connection, up to a bound. Answers are
// pooled: an idle connection holds no buffer.
type answer struct {
	conn net.Conn
	left int   // bytes that may still be read
	got  bool  // any byte came
	err  error // what ended the reading
	br   *bufio.Reader
	body []byte
}

var answers = sync.Pool{New: func() any {
	a := &answer{body: make([]byte, 4<<10)}
	a.br = bufio.NewReaderSize(a, 4<<10)
	return a
}}

func (a *answer) Read(b []byte) (int, error) {
	if a.left <= 0 {
		a.err = errFull
		return 0, errFull
	}
	n, err := a.conn.Read(b[:min(len(b), a.left)])
	a.left -= n
	a.got = a.got || n > 0
	a.err = err
	return n, err
}

// exchange sends the request and reads the answer. It takes conn over: it
// gives it back when it can be used again and closes it otherwise.
func (p *plan) exchange(ctx context.Context, deadline time.Time, conn net.Conn, request []byte) (at time.Time, next net.Conn, err error) {
	a := answers.Get().(*answer)
	a.conn, a.left, a.got, a.err = conn, maxHead, false, nil
	a.br.Reset(a)
	stop := bound(ctx, conn, deadline)
	reusable := false
	defer func() {
		stop()
		a.conn = nil
		answers.Put(a)
		if reusable {
			next = conn
		} else {
			_ = conn.Close()
		}
	}()
	resp, err := a.head(request) //nolint:bodyclose // closing the body would read all of it; the connection is closed instead
	if err != nil {
		err = classified(awaiting, err)
		var f *failure
		if errors.As(err, &f); f.cause == health.CauseReset && !a.got {
			err = failed(f.cause, fmt.Errorf("%w: %w", errGone, f.err))
		}
		return time.Time{}, nil, err
	}
	at = time.Now()
	if !p.accepts(resp.StatusCode) {
		reusable = a.drained(resp)
		return at, nil, failed(health.CauseStatus, errors.New(resp.Status))
	}
	whole, err := a.readBody(resp.Body, p.contains)
	reusable = err == nil && whole && !resp.Close && a.br.Buffered() == 0
	return at, nil, err
}

// head sends the request and reads the head of the answer.
func (a *answer) head(request []byte) (*http.Response, error) {
	if _, err := a.conn.Write(request); err != nil {
		return nil, err
	}
	for range maxInterim {
		const magic = "HTTP/1."
		if b, err := a.br.Peek(len(magic)); !strings.HasPrefix(magic, string(b)) {
			return nil, failed(health.CauseProtocol, fmt.Errorf("answer begins with %q", b))
		} else if err != nil {
			return nil, err
		}
		resp, err := http.ReadResponse(a.br, nil)
		if err != nil && a.err != nil {
			err = a.err // the parser names the line that was cut instead
		}
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
	return nil, failed(health.CauseProtocol, errors.New("no end of interim answers"))
}

// drained takes the body of an answer that failed anyway, if all of it is
// here, so that the connection can be used again.
func (a *answer) drained(resp *http.Response) bool {
	if resp.Close || resp.ContentLength < 0 || resp.ContentLength > int64(a.br.Buffered()) {
		return false
	}
	_, err := io.Copy(io.Discard, resp.Body)
	return err == nil && a.br.Buffered() == 0
}

// readBody reads up to maxBody and looks for the text, if there is one. It
// reports whether it saw the body's end.
func (a *answer) readBody(body io.Reader, text []byte) (whole bool, err error) {
	a.left = 2 * maxBody // chunk headers count too
	n, total := 0, 0
	for !whole && total < maxBody {
		if len(text) == 0 {
			n = 0 // nobody looks at it
		} else if n == len(a.body) {
			a.body = append(a.body, make([]byte, n)...)
		}
		m, err := body.Read(a.body[n:min(len(a.body), n+maxBody-total)])
		n, total = n+m, total+m
		switch {
		case err == nil:
		case errors.Is(err, errFull):
			total = maxBody
		case errors.Is(err, io.EOF):
			whole = true
		default:
			return false, classified(reading, fmt.Errorf("after %d bytes of the body: %w", total, err))
		}
	}
	if !bytes.Contains(a.body[:n], text) {
		return whole, failed(health.CauseBody, fmt.Errorf("%q is not in the body's first %d bytes", text, total))
	}
	return whole, nil
}
