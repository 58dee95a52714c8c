package load

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/demo/wire"
)

// conn is one customer's connection.
type conn struct{ wire.Conn }

func newConn(addr string, timeout time.Duration) *conn {
	return &conn{wire.Conn{Addr: addr, Timeout: timeout}}
}

// answer is what came of one request.
type answer struct {
	wire.Answer
	sha256 string // of the body, when all of it came
}

// do sends the request once and reads the answer to its end.
func (c *conn) do(q request) (a answer) {
	req, err := q.request(c.Addr)
	if err != nil {
		a.Err = err
		return a
	}
	sum := sha256.New()
	a.Answer = c.Do(req, sum)
	if a.Whole {
		a.sha256 = hex.EncodeToString(sum.Sum(nil))
	}
	return a
}

// request is the request as it goes over the connection.
func (q request) request(host string) (*http.Request, error) {
	if q.kind == KindOrder {
		body := fmt.Sprintf(`{"id":%q,"item":%d,"qty":%d}`, q.id, q.item, q.qty)
		req, err := http.NewRequest(http.MethodPost, "http://"+host+"/orders", strings.NewReader(body))
		if err == nil {
			req.Header.Set("Content-Type", "application/json")
		}
		return req, err
	}
	return http.NewRequest(http.MethodGet, "http://"+host+q.page.Path, nil)
}
