package guard

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// pipe feeds raw bytes to a guarded connection in pieces of the given size.
type pipe struct {
	net.Conn
	rest  []byte
	piece int
}

func (p *pipe) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.piece)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// through gives what the guard lets pass of raw.
func through(raw []byte, piece int) ([]byte, *Refusal) {
	c := New(&pipe{rest: raw, piece: piece})
	out, err := io.ReadAll(c)
	ref := c.refusal.Load()
	if ref != nil {
		out, _, _ = bytes.Cut(out, []byte(refusedMethod))
	}
	errors.As(err, &ref)
	return out, ref
}

func TestPassesWhatIsWellFormed(t *testing.T) {
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://x/a?b HTTP/1.1\r\nHost: x\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\nX: \xff\r\nEmpty:\r\n\r\n",
	} {
		for _, piece := range []int{1, 7, 4096} {
			out, ref := through([]byte(raw), piece)
			if string(out) != raw || ref != nil {
				t.Errorf("in pieces of %d: %q became %q, %v", piece, raw, out, ref)
			}
		}
	}
}

func TestEmptyLinesBetweenRequestsAreDropped(t *testing.T) {
	out, ref := through([]byte("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"), 3)
	if want := strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 2); string(out) != want || ref != nil {
		t.Errorf("%q %v", out, ref)
	}
}

// FuzzGuard holds the guard against net/http's parser: whatever passes must be
// read by it as the very requests that the guard framed, and the size of the
// pieces in which bytes arrive must not matter.
func FuzzGuard(f *testing.F) {
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		whole, ref := through(raw, 1<<20)
		single, ref1 := through(raw, 1)
		if (ref == nil) != (ref1 == nil) && len(raw) < MaxLine || !bytes.Equal(whole, single) && ref == nil {
			t.Fatalf("pieces matter: %q (%v) against %q (%v)", whole, ref, single, ref1)
		}
		if ref != nil && (ref.Status < 400 || ref.Status > 499) {
			t.Fatalf("refused with %d", ref.Status)
		}
		br := bufio.NewReader(bytes.NewReader(whole))
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return // an end within a head or a URL that net/http refuses on top
			}
			if len(req.TransferEncoding) > 0 && req.Header.Get("Content-Length") != "" {
				t.Fatal("two framings passed")
			}
			if len(req.Header["Content-Length"]) > 1 || len(req.Header["Host"]) > 1 {
				t.Fatal("a framing field passed twice")
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
		}
	})
}
