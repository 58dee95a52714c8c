package s3api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// stall is how long a client may take to send a byte of a body, or to take one
// buffer of it. It does not bound the whole: a large object on a slow line takes
// its time.
const stall = time.Minute

// drain is how long the rest of a body that is refused may take.
const drain = 2 * time.Second

// answer is a response that counts, and that a stalled client cannot hold.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	stats   *Stats
	status  int // 0 = nothing was written yet
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	_ = a.control.SetWriteDeadline(time.Now().Add(stall)) // a ResponseWriter that cannot has no line to stall
	n, err := a.ResponseWriter.Write(p)
	a.stats.BytesOut.Add(uint64(n))
	if err != nil {
		err = errs.Wrap(errs.Unavailable, errors.Join(errClient, err), "answer")
	}
	return n, err
}

// errClient marks failures of the client's line: they are not the server's.
var errClient = errors.New("the client does not take it")

// length declares the length of the body.
func (a *answer) length(n int64) { a.Header().Set("Content-Length", strconv.FormatInt(n, 10)) }

// wire is the request's body as it comes.
type wire struct {
	body io.Reader
	w    *answer
}

func (w wire) Read(p []byte) (int, error) {
	_ = w.w.control.SetReadDeadline(time.Now().Add(stall)) // as in Write
	n, err := w.body.Read(p)
	w.w.stats.BytesIn.Add(uint64(n))
	if err != nil {
		// net/http reads on, to notice that the client leaves: without a bound.
		_ = w.w.control.SetReadDeadline(time.Time{})
	}
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, s3err.RequestTimeout.Err()
	default: // the client left, or its framing is wrong
		return n, &s3err.Error{Code: s3err.IncompleteBody, Cause: err}
	}
}
