package load

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// conn is one keep-alive HTTP/1.1 connection. It is not net/http's client,
// because that sends some requests a second time by itself and would hide what
// a ledger is for.
type conn struct {
	addr    string
	timeout time.Duration
	net     net.Conn
	r       *bufio.Reader
}

// answer is what came of one request.
type answer struct {
	sent   bool // some of it may have reached the other side
	status int  // 0 = no answer
	header http.Header
	sha256 string // of the body, when all of it came
	err    error
}

func (c *conn) close() {
	if c.net != nil {
		_ = c.net.Close()
		c.net = nil
	}
}

// do sends the request once and reads the answer to its end.
func (c *conn) do(q request) (a answer) {
	if c.net == nil {
		n, err := net.DialTimeout("tcp", c.addr, c.timeout)
		if err != nil {
			return answer{err: errs.Wrap(errs.Unavailable, err, "connect")}
		}
		c.net, c.r = n, bufio.NewReader(n)
	}
	a.err = c.net.SetDeadline(time.Now().Add(c.timeout))
	if a.err == nil {
		a.sent = true
		_, a.err = io.WriteString(c.net, q.wire(c.addr))
	}
	again := false
	if a.err == nil {
		again, a.err = c.read(q, &a)
	}
	if !again || a.err != nil {
		c.close()
	}
	return a
}

// wire is the request as it goes over the connection.
func (q request) wire(host string) string {
	if q.kind == KindOrder {
		body := fmt.Sprintf(`{"id":%q,"item":%d,"qty":%d}`, q.id, q.item, q.qty)
		return fmt.Sprintf("POST /orders HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			host, len(body), body)
	}
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", q.page.Path, host)
}

// read reports whether the connection can be used again.
func (c *conn) read(q request, a *answer) (again bool, err error) {
	method := http.MethodGet
	if q.kind == KindOrder {
		method = http.MethodPost
	}
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return false, errs.Wrap(errs.Unavailable, err, "read the answer")
	}
	defer func() { _ = res.Body.Close() }()
	a.status, a.header = res.StatusCode, res.Header
	sum := sha256.New()
	if _, err := io.Copy(sum, res.Body); err != nil {
		return false, errs.Wrap(errs.Unavailable, err, "read the body")
	}
	a.sha256 = hex.EncodeToString(sum.Sum(nil))
	return !res.Close, nil
}
