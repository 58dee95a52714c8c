package objectload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/wire"
)

// maybeHeader is on the answer to a write of which Spare does not know whether
// it was applied.
const maybeHeader = "X-Spare-May-Have-Applied"

// Target says where the bucket is.
type Target struct {
	Addr   string // host:port
	Bucket string
	Keys   Keys
	// Timeout bounds one request; 0 = 10 s.
	Timeout time.Duration
}

// Client asks for objects over one connection. It sends each request once, and
// shares no code with what it asks. It is for one goroutine.
type Client struct {
	t    Target
	conn wire.Conn
}

// NewClient gives a client that connects when it is first used.
func NewClient(t Target) *Client {
	if t.Timeout == 0 {
		t.Timeout = 10 * time.Second
	}
	return &Client{t: t, conn: wire.Conn{Addr: t.Addr, Timeout: t.Timeout}}
}

// Close ends the connection.
func (c *Client) Close() { c.conn.Close() }

// Put stores body under key. The entry has what came of it.
func (c *Client) Put(key string, body []byte) Entry {
	e := Entry{Op: Put, Key: key, Size: int64(len(body)), SHA256: digest(body)}
	return c.do(e, http.MethodPut, "/"+key, nil, body, io.Discard)
}

// Get reads the object whole.
func (c *Client) Get(key string) Entry {
	sum := sha256.New()
	var n counter
	e := c.do(Entry{Op: Get, Key: key}, http.MethodGet, "/"+key, nil, nil, io.MultiWriter(sum, &n))
	if e.Outcome == load.OK && !e.Absent {
		e.SHA256, e.Size = hex.EncodeToString(sum.Sum(nil)), int64(n)
	}
	return e
}

// Delete removes the object.
func (c *Client) Delete(key string) Entry {
	return c.do(Entry{Op: Delete, Key: key}, http.MethodDelete, "/"+key, nil, nil, io.Discard)
}

// listing is the answer to ListObjectsV2.
type listing struct {
	XMLName     xml.Name `xml:"ListBucketResult"`
	IsTruncated bool
	Next        string `xml:"NextContinuationToken"`
	Contents    []struct{ Key string }
}

// List gives all keys with the prefix, in as many pages as it takes. The
// entry's times are of all of them together.
func (c *Client) List(prefix string) Entry {
	e := Entry{Op: List, Key: prefix}
	next := ""
	for {
		q := url.Values{"list-type": {"2"}, "prefix": {prefix}}
		if next != "" {
			q.Set("continuation-token", next)
		}
		var body bytes.Buffer
		if e = c.do(e, http.MethodGet, "", q, nil, &body); e.Outcome != load.OK {
			return e
		}
		var page listing
		if err := xml.Unmarshal(body.Bytes(), &page); err != nil || e.Absent {
			e.Outcome, e.Error = load.Failed, "the answer is no listing"
			return e
		}
		for _, o := range page.Contents {
			e.Listed = append(e.Listed, o.Key)
		}
		if next = page.Next; !page.IsTruncated || next == "" {
			return e
		}
	}
}

// do sends one request and enters what came of it.
func (c *Client) do(e Entry, method, path string, q url.Values, body []byte, into io.Writer) Entry {
	if e.Began.IsZero() {
		e.Began = time.Now()
	}
	u := url.URL{Scheme: "http", Host: c.t.Addr, Path: "/" + c.t.Bucket + path, RawQuery: q.Encode()}
	req, err := http.NewRequest(method, u.String(), bytes.NewReader(body))
	if err != nil {
		e.Outcome, e.Error = load.Failed, err.Error()
		return e
	}
	c.t.Keys.sign(req, digest(body), time.Now())
	var said short
	return e.came(c.conn.Do(req, io.MultiWriter(into, &said)), string(said))
}

// came enters the answer. A write is of unknown effect when Spare says so, or
// when it said nothing; any other answer but a success is a failure.
func (e Entry) came(a wire.Answer, said string) Entry {
	e.MS = apiv1.Milliseconds(time.Since(e.Began))
	e.Status = a.Status
	if a.Err != nil {
		e.Error = a.Err.Error()
	}
	writes := e.Op == Put || e.Op == Delete
	switch {
	case a.Status >= 200 && a.Status < 300 && (a.Whole || writes):
		e.Outcome, e.Error = load.OK, ""
	case a.Status == http.StatusNotFound && e.Op == Get && a.Whole && strings.Contains(said, "<Code>NoSuchKey</Code>"):
		e.Outcome, e.Absent = load.OK, true
	case writes && a.Sent && (a.Status == 0 || a.Header.Get(maybeHeader) == "true"):
		e.Outcome = load.MaybeApplied
	default:
		e.Outcome = load.Failed
	}
	if e.Outcome != load.OK && e.Error == "" {
		e.Error = said
	}
	return e
}

// short keeps the first bytes of an answer.
type short []byte

func (s *short) Write(p []byte) (int, error) {
	*s = append(*s, p[:min(len(p), 400-len(*s))]...)
	return len(p), nil
}

type counter int64

func (n *counter) Write(p []byte) (int, error) {
	*n += counter(len(p))
	return len(p), nil
}
