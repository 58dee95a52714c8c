package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/health"
)

// TestFailureTellsWhatMayHaveHappened is the package's promise: for every way
// in which an origin fails, what of the request left, and what came back.
func TestFailureTellsWhatMayHaveHappened(t *testing.T) {
	say := func(text string, then func(net.Conn, *bufio.Reader)) func(net.Conn, *bufio.Reader) {
		return func(c net.Conn, br *bufio.Reader) {
			_, _ = http.ReadRequest(br)
			_, _ = io.WriteString(c, text)
			if then != nil {
				then(c, br)
			}
		}
	}
	hang := func(_ net.Conn, br *bufio.Reader) { stay(br) }
	die := func(c net.Conn, _ *bufio.Reader) { reset(c) }
	for name, tc := range map[string]struct {
		serve func(net.Conn, *bufio.Reader)
		req   *Request
		want  Failure
	}{
		"closes at once":              {func(net.Conn, *bufio.Reader) {}, get("/"), Failure{Cause: health.CauseReset, Sent: true}},
		"reads and closes":            {say("", nil), get("/"), Failure{Cause: health.CauseReset, Sent: true}},
		"reads and resets":            {say("", die), post("x"), Failure{Cause: health.CauseReset, Sent: true}},
		"accepts and hangs":           {hang, get("/"), Failure{Cause: health.CauseTimeout, Sent: true}},
		"reads and hangs":             {say("", hang), get("/"), Failure{Cause: health.CauseTimeout, Sent: true}},
		"hangs within the head":       {say("HTTP/1.1 200 OK\r\nConte", hang), get("/"), Failure{Cause: health.CauseTimeout, Sent: true, Answered: true}},
		"closes within the head":      {say("HTTP/1.1 200 OK\r\nConte", nil), get("/"), Failure{Cause: health.CauseReset, Sent: true, Answered: true}},
		"resets within the head":      {say("HTTP/1.1 200 OK\r\nConte", func(c net.Conn, _ *bufio.Reader) { time.Sleep(50 * time.Millisecond); reset(c) }), get("/"), Failure{Cause: health.CauseReset, Sent: true, Answered: true}},
		"only interim answers":        {say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n", hang), get("/"), Failure{Cause: health.CauseTimeout, Sent: true, Answered: true}},
		"speaks something else":       {say("SSH-2.0-OpenSSH_9.9\r\n", hang), get("/"), Failure{Cause: health.CauseProtocol, Sent: true, Answered: true}},
		"two different lengths":       {say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", hang), get("/"), Failure{Cause: health.CauseProtocol, Sent: true, Answered: true}},
		"unknown transfer coding":     {say("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxx", hang), get("/"), Failure{Cause: health.CauseProtocol, Sent: true, Answered: true}},
		"head without end":            {say("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 2*maxHead), hang), get("/"), Failure{Cause: health.CauseProtocol, Sent: true, Answered: true}},
		"switches protocols unasked":  {say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", hang), get("/"), Failure{Cause: health.CauseProtocol, Sent: true, Answered: true}},
		"the client's body fails":     {hang, upload(failing(100), -1), Failure{Cause: health.CauseProtocol, Sent: true, Client: true}},
		"the client's body is short":  {hang, upload(strings.NewReader("xy"), 5), Failure{Cause: health.CauseReset, Sent: true, Client: true}},
		"resets during an upload":     {say("", die), upload(endless{}, 1<<40), Failure{Cause: health.CauseReset, Sent: true}},
		"stops reading an upload":     {func(net.Conn, *bufio.Reader) { time.Sleep(time.Second) }, upload(endless{}, 1<<40), Failure{Cause: health.CauseTimeout, Sent: true}},
		"hangs after a whole upload":  {hang, upload(strings.NewReader("xy"), 2), Failure{Cause: health.CauseTimeout, Sent: true}},
		"speaks plainly to TLS":       {say("HTTP/1.1 400 Bad Request\r\n\r\n", nil), get("https"), Failure{Cause: health.CauseTLS}},
		"hangs within the handshake":  {hang, get("https"), Failure{Cause: health.CauseTimeout}},
		"closes within the handshake": {func(net.Conn, *bufio.Reader) {}, get("https"), Failure{Cause: health.CauseReset}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme := "http"
			if tc.req.Target == "https" {
				scheme = "https"
			}
			p := listen(t, nil, tc.serve).pool(t, scheme, PoolOptions{TLSTimeout: 200 * time.Millisecond})
			_, _, _, err := read(p, tc.req)
			f := AsFailure(err)
			if f == nil {
				t.Fatalf("error %v is no Failure", err)
			}
			got := *f
			got.Err = nil
			if got != tc.want {
				t.Errorf("got %+v (%v), want %+v", got, f.Err, tc.want)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestNothingIsSentWhereNobodyListens(t *testing.T) {
	o := listen(t, nil, script())
	_ = o.ln.Close()
	_, _, _, err := read(o.pool(t, "http", PoolOptions{}), post("x"))
	if f := AsFailure(err); f == nil || f.Cause != health.CauseRefused || f.Sent {
		t.Errorf("%+v", f)
	}
	p := NewPool(Address{Scheme: "http", Host: "no-such-host.invalid:80"}, PoolOptions{})
	if _, _, _, err = read(p, post("x")); AsFailure(err) == nil || AsFailure(err).Sent || AsFailure(err).Cause == health.CauseReset {
		t.Errorf("%+v", AsFailure(err))
	}
}

func TestEndOfTheContextIsNotTheOriginsFault(t *testing.T) {
	p := listen(t, nil, func(_ net.Conn, br *bufio.Reader) { stay(br) }).pool(t, "http", PoolOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	begin := time.Now()
	_, err := p.RoundTrip(ctx, get("/"), Timeouts{Connect: time.Second, Head: time.Minute}, true)
	if f := AsFailure(err); f == nil || !f.Client || !f.Sent {
		t.Errorf("%+v", f)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestEarlyAnswerToAnUploadIsSeen(t *testing.T) {
	p := listen(t, nil, func(c net.Conn, br *bufio.Reader) {
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		_ = c.(*net.TCPConn).CloseWrite()
		time.Sleep(100 * time.Millisecond)
		reset(c)
	}).pool(t, "http", PoolOptions{})
	status, body, _, err := read(p, upload(endless{}, 1<<40))
	if status != 413 || body != "no" || err != nil {
		t.Errorf("%d %q %v", status, body, err)
	}
	if n := idle(p); n != 0 {
		t.Errorf("%d connections with half an upload on them are kept", n)
	}
}

// The first attempt reached the origin, the second nobody: what left once has
// left.
func TestSecondAttemptDoesNotHideTheFirst(t *testing.T) {
	closer := make(chan func() error, 1)
	o := listen(t, nil, func(c net.Conn, br *bufio.Reader) {
		script("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(c, br)
		_, _ = http.ReadRequest(br)
		_ = (<-closer)()
	})
	closer <- o.ln.Close
	p := o.pool(t, "http", PoolOptions{})
	if _, _, _, err := read(p, get("/")); err != nil {
		t.Fatal(err)
	}
	_, err := p.RoundTrip(context.Background(), post("x"), quick, true)
	if f := AsFailure(err); f == nil || f.Cause != health.CauseRefused || !f.Sent {
		t.Errorf("%+v", f)
	}
}

func TestStaleConnectionIsReplacedOnlyWhereThatIsHarmless(t *testing.T) {
	for _, again := range []bool{true, false} {
		o := listen(t, nil, func(c net.Conn, br *bufio.Reader) {
			script("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(c, br)
			_, _ = http.ReadRequest(br) // and hangs up instead of an answer
		})
		p := o.pool(t, "http", PoolOptions{})
		if _, _, _, err := read(p, get("/")); err != nil {
			t.Fatal(err)
		}
		resp, err := p.RoundTrip(context.Background(), post("x"), quick, again)
		if err == nil {
			_ = resp.Body.Close()
		}
		f := AsFailure(err)
		if again && (err != nil || resp.Reused) {
			t.Errorf("may be sent again: %+v", f)
		}
		if !again && (f == nil || !f.Sent || !f.Reused || f.Answered) {
			t.Errorf("must not be sent again: %+v", f)
		}
		if want := int64(1 + b2i(again)); o.conns.Load() != want {
			t.Errorf("%d connections, want %d", o.conns.Load(), want)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestCutBodyIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"within the length":      "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"within a chunk":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
		"before the last chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"within the trailer":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
		"malformed chunk length": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
	} {
		p := listen(t, nil, script(text)).pool(t, "http", PoolOptions{})
		if _, body, _, err := read(p, get("/")); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %q, %v", name, body, err)
		}
		if n := idle(p); n != 0 {
			t.Errorf("%s: the connection is kept", name)
		}
	}
}
