package s3api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
)

func base64MD5(body string) string {
	sum := md5.Sum([]byte(body))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func base64CRC32(body string) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s", crcBytes(crc32.ChecksumIEEE([]byte(body)))))
}

func crcBytes(v uint32) []byte { return []byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)} }

// raw writes a signed request by hand, with a body that need not fit its
// header, hangs up its own side and reads the answer.
func (w *world) raw(r *http.Request, body string) answer {
	w.t.Helper()
	sign(w.t, r, "root", time.Now())
	c, err := net.Dial("tcp", w.http.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.URL.RequestURI(), r.URL.Host)
	if r.ContentLength >= 0 && r.Header.Get("Transfer-Encoding") == "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", r.ContentLength)
	}
	_ = r.Header.Write(&b)
	b.WriteString("\r\n" + body)
	if _, err := c.Write(b.Bytes()); err != nil {
		w.t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(c), r)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(got), err: err}
}

// chunker signs the chunks of a streamed body as a client does.
type chunker struct {
	stamp, scope, last string
	key                []byte
}

func mac(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

var authorized = regexp.MustCompile(`Credential=root/(\d+)/.*Signature=(\w+)$`)

// newChunker begins after the signature of r, which is signed here.
func newChunker(t testing.TB, r *http.Request) *chunker {
	sign(t, r, "root", time.Now())
	m := authorized.FindStringSubmatch(r.Header.Get("Authorization"))
	key := mac(mac(mac(mac([]byte("AWS4root-secret"), m[1]), "us-east-1"), "s3"), "aws4_request")
	return &chunker{stamp: r.Header.Get("X-Amz-Date"), scope: m[1] + "/us-east-1/s3/aws4_request", last: m[2], key: key}
}

func (c *chunker) next(kind, rest string) string {
	c.last = hex.EncodeToString(mac(c.key, "AWS4-HMAC-SHA256-"+kind+"\n"+c.stamp+"\n"+c.scope+"\n"+c.last+"\n"+rest))
	return c.last
}

func (c *chunker) chunk(data string) string {
	sig := c.next("PAYLOAD", hash("")+"\n"+hash(data))
	if data == "" {
		return fmt.Sprintf("0;chunk-signature=%s\r\n", sig)
	}
	return fmt.Sprintf("%x;chunk-signature=%s\r\n%s\r\n", len(data), sig, data)
}

func (c *chunker) trailer(name, value string) string {
	return name + ":" + value + "\r\nx-amz-trailer-signature:" + c.next("TRAILER", hash(name+":"+value+"\n")) + "\r\n\r\n"
}

// streamed begins a request for a streamed body of size bytes.
func (w *world) streamed(kind string, size int) *http.Request {
	return w.ask("PUT", "/media/k", "", header("X-Amz-Content-Sha256", kind), header("X-Amz-Decoded-Content-Length", fmt.Sprint(size)), header("Content-Encoding", "aws-chunked"))
}

func (w *world) stream(r *http.Request, body string) answer {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	return w.send(r)
}

func TestSignedStreamsAreDecodedAndChecked(t *testing.T) {
	w := newWorld(t)
	a, b := strings.Repeat("a", 70_000), strings.Repeat("b", 9_000)
	crc := base64CRC32(a + b)
	tests := map[string]struct {
		body   func(c *chunker) string
		size   int
		crc    string // declared as a trailer
		status int
		code   string
	}{
		"as it should be":       {func(c *chunker) string { return c.chunk(a) + c.chunk(b) + c.chunk("") + "\r\n" }, 79_000, "", 200, ""},
		"without the last line": {func(c *chunker) string { return c.chunk(a) + c.chunk(b) + c.chunk("") }, 79_000, "", 400, "IncompleteBody"},
		"with a trailer": {func(c *chunker) string {
			return c.chunk(a) + c.chunk(b) + c.chunk("") + c.trailer("x-amz-checksum-crc32", crc)
		}, 79_000, crc, 200, ""},
		"trailer as in the example": {func(c *chunker) string {
			return c.chunk(a) + c.chunk(b) + c.chunk("") + strings.Replace(c.trailer("x-amz-checksum-crc32", crc), crc+"\r\n", crc+"\n\r\n", 1)
		}, 79_000, crc, 200, ""},
		"trailer with another sum": {func(c *chunker) string {
			return c.chunk(a) + c.chunk(b) + c.chunk("") + c.trailer("x-amz-checksum-crc32", base64CRC32("x"))
		}, 79_000, crc, 400, "BadDigest"},
		"trailer changed": {func(c *chunker) string {
			return c.chunk(a) + c.chunk(b) + c.chunk("") + strings.Replace(c.trailer("x-amz-checksum-crc32", crc), crc, base64CRC32("x"), 1)
		}, 79_000, crc, 403, "SignatureDoesNotMatch"},
		"trailer missing": {func(c *chunker) string { return c.chunk(a) + c.chunk(b) + c.chunk("") + "\r\n" }, 79_000, crc, 400, "MalformedTrailerError"},
		"trailer not declared": {func(c *chunker) string {
			return c.chunk(a) + c.chunk(b) + c.chunk("") + c.trailer("x-amz-checksum-sha1", crc)
		}, 79_000, crc, 400, "MalformedTrailerError"},
		"last chunk's data changed": {func(c *chunker) string {
			return strings.Replace(c.chunk(a)+c.chunk(b)+c.chunk("")+"\r\n", "bbb", "bcb", 1)
		}, 79_000, "", 403, "SignatureDoesNotMatch"},
		"first chunk's data changed": {func(c *chunker) string {
			return strings.Replace(c.chunk(a)+c.chunk(b)+c.chunk("")+"\r\n", "aaa", "aca", 1)
		}, 79_000, "", 403, "SignatureDoesNotMatch"},
		"chunks swapped":            {func(c *chunker) string { x, y := c.chunk(a), c.chunk(b); return y + x + c.chunk("") + "\r\n" }, 79_000, "", 403, "SignatureDoesNotMatch"},
		"a chunk left out":          {func(c *chunker) string { x, _ := c.chunk(a), c.chunk(b); return x + c.chunk("") + "\r\n" }, 79_000, "", 403, "SignatureDoesNotMatch"},
		"no last chunk":             {func(c *chunker) string { return c.chunk(a) + c.chunk(b) }, 79_000, "", 400, "IncompleteBody"},
		"cut in a chunk":            {func(c *chunker) string { return c.chunk(a)[:500] }, 79_000, "", 400, "IncompleteBody"},
		"shorter than declared":     {func(c *chunker) string { return c.chunk(a) + c.chunk("") + "\r\n" }, 79_000, "", 400, "IncompleteBody"},
		"longer than declared":      {func(c *chunker) string { return c.chunk(a) + c.chunk(b) + c.chunk("") + "\r\n" }, 70_000, "", 400, ""},
		"something behind":          {func(c *chunker) string { return c.chunk(a) + c.chunk(b) + c.chunk("") + "\r\nx" }, 79_000, "", 400, ""},
		"not framed at all":         {func(*chunker) string { return a + b }, 79_000, "", 400, ""},
		"framed without signatures": {func(*chunker) string { return "11170\r\n" + a + "\r\n0\r\n\r\n" }, 70_000, "", 400, ""},
		"size with a sign":          {func(*chunker) string { return "+1;chunk-signature=" + hash("") + "\r\na\r\n" }, 1, "", 400, ""},
		"size too large for any":    {func(*chunker) string { return "ffffffffffffffffffff;chunk-signature=" + hash("") + "\r\na\r\n" }, 1, "", 400, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w.put(w.media, "k", "before")
			r := w.streamed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", test.size)
			if test.crc != "" {
				r = w.streamed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", test.size)
				r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
			}
			got := w.stream(r, test.body(newChunker(t, r)))
			got.is(t, test.status, test.code)
			if test.status != 200 {
				w.holds("k", "before")
				return
			}
			w.holds("k", a+b)
			if got.header.Get("X-Amz-Checksum-Crc32") != test.crc {
				t.Fatalf("checksum %q", got.header.Get("X-Amz-Checksum-Crc32"))
			}
			if o, _ := w.media.Head(ctx, "k"); o.Header.Encoding != "" {
				t.Fatalf("stored Content-Encoding %q", o.Header.Encoding)
			}
		})
	}
}

func TestUnsignedStreamsAreDecodedAndChecked(t *testing.T) {
	w := newWorld(t)
	sum := base64CRC32("hello world")
	framed := "5\r\nhello\r\n6\r\n world\r\n0\r\n"
	for name, test := range map[string]struct {
		body, trailer string
		status        int
		code          string
	}{
		"as it should be":        {framed + "x-amz-checksum-crc32:" + sum + "\r\n\r\n", "x-amz-checksum-crc32", 200, ""},
		"no last empty line":     {framed + "x-amz-checksum-crc32:" + sum + "\r\n", "x-amz-checksum-crc32", 200, ""},
		"a line too many":        {framed + "x-amz-checksum-crc32:" + sum + "\n\r\n\r\n", "x-amz-checksum-crc32", 200, ""},
		"two lines too many":     {framed + "x-amz-checksum-crc32:" + sum + "\n\r\n\r\n\r\n", "x-amz-checksum-crc32", 400, "InvalidRequest"},
		"no trailer":             {framed + "\r\n", "", 200, ""},
		"another sum":            {framed + "x-amz-checksum-crc32:" + base64CRC32("x") + "\r\n\r\n", "x-amz-checksum-crc32", 400, "BadDigest"},
		"no sum":                 {framed + "x-amz-checksum-crc32:abc\r\n\r\n", "x-amz-checksum-crc32", 400, "InvalidRequest"},
		"trailer missing":        {framed + "\r\n", "x-amz-checksum-crc32", 400, "MalformedTrailerError"},
		"trailer undeclared":     {framed + "x-amz-checksum-crc32:" + sum + "\r\n\r\n", "", 400, "MalformedTrailerError"},
		"trailer twice":          {framed + strings.Repeat("x-amz-checksum-crc32:"+sum+"\r\n", 2) + "\r\n", "x-amz-checksum-crc32", 400, "MalformedTrailerError"},
		"trailer of another":     {framed + "\r\n", "x-amz-meta-a", 400, "InvalidRequest"},
		"chunk longer than told": {"4\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "", 400, "InvalidRequest"},
		"chunk shorter":          {"6\r\nhello\r\n5\r\n world\r\n0\r\n\r\n", "", 400, "InvalidRequest"},
		"cut":                    {"5\r\nhello\r\n6\r\n wor", "", 400, "IncompleteBody"},
		"endless line":           {strings.Repeat("0", 5000), "", 400, "InvalidRequest"},
	} {
		t.Run(name, func(t *testing.T) {
			w.put(w.media, "k", "before")
			r := w.streamed("STREAMING-UNSIGNED-PAYLOAD-TRAILER", 11)
			if test.trailer != "" {
				r.Header.Set("X-Amz-Trailer", test.trailer)
			}
			sign(t, r, "root", time.Now())
			w.stream(r, test.body).is(t, test.status, test.code)
			if test.status == 200 {
				w.holds("k", "hello world")
			} else {
				w.holds("k", "before")
			}
		})
	}
}

func TestNothingIsStoredOfABodyThatIsNotAsDeclared(t *testing.T) {
	w := newWorld(t)
	big := strings.Repeat("x", 300_000)
	for name, test := range map[string]struct {
		body, sent string // declared and sent
		mutate     []func(*http.Request)
		status     int
		code       string
	}{
		"another hash":            {"hello", "hallo", nil, 400, "XAmzContentSHA256Mismatch"},
		"another md5":             {"hello", "hello", []func(*http.Request){header("Content-MD5", base64MD5("hallo"))}, 400, "BadDigest"},
		"md5 of no form":          {"hello", "hello", []func(*http.Request){header("Content-MD5", "abc")}, 400, "InvalidDigest"},
		"another crc32":           {"hello", "hello", []func(*http.Request){header("x-amz-checksum-crc32", base64CRC32("hallo"))}, 400, "BadDigest"},
		"crc32 of no form":        {"hello", "hello", []func(*http.Request){header("x-amz-checksum-crc32", "abc")}, 400, "InvalidRequest"},
		"two checksums":           {"hello", "hello", []func(*http.Request){header("x-amz-checksum-crc32", base64CRC32("hello")), header("x-amz-checksum-crc32c", base64CRC32("hello"))}, 400, "InvalidRequest"},
		"checksum not known":      {"hello", "hello", []func(*http.Request){header("x-amz-checksum-md4", "abc")}, 501, "NotImplemented"},
		"shorter":                 {big, big[:200_000], nil, 400, "IncompleteBody"},
		"shorter by one":          {big, big[:299_999], nil, 400, "IncompleteBody"},
		"empty, another checksum": {"", "", []func(*http.Request){header("x-amz-checksum-crc32", base64CRC32("hallo"))}, 400, "BadDigest"},
	} {
		t.Run(name, func(t *testing.T) {
			w.put(w.media, "k", "before")
			w.raw(w.ask("PUT", "/media/k", test.body, test.mutate...), test.sent).is(t, test.status, test.code)
			w.holds("k", "before")
			id, err := w.media.CreateUpload(ctx, "k", blob.PutOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w.raw(w.ask("PUT", "/media/k?partNumber=1&uploadId="+id, test.body, test.mutate...), test.sent).is(t, test.status, test.code)
			if parts, _, err := w.media.ListParts(ctx, "k", id, 0, 0); err != nil || len(parts) != 0 {
				t.Fatalf("stored %v, %v", parts, err)
			}
		})
	}
	w.do(w.ask("PUT", "/media/k", "hello", header("Content-MD5", base64MD5("hello")), header("x-amz-checksum-crc32", base64CRC32("hello")))).is(t, 200, "")
	w.holds("k", "hello")
}

func TestALengthMustBeDeclared(t *testing.T) {
	w := newWorld(t)
	r := w.ask("PUT", "/media/k", "", header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), header("Transfer-Encoding", "chunked"))
	r.ContentLength = -1
	w.raw(r, "5\r\nhello\r\n0\r\n\r\n").is(t, 411, "MissingContentLength")
	r = w.ask("PUT", "/media/k", "", header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"))
	r.ContentLength = -1
	w.raw(r, "").is(t, 411, "MissingContentLength")
	r = w.ask("PUT", "/media/k", "", header("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"))
	r.ContentLength = 5
	w.raw(r, "0\r\n\r\n").is(t, 411, "MissingContentLength")
	for _, size := range []string{"-1", "x", "99999999999999999999"} {
		r = w.ask("PUT", "/media/k", "", header("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), header("X-Amz-Decoded-Content-Length", size))
		r.ContentLength = 5
		w.raw(r, "0\r\n\r\n").is(t, 400, "InvalidArgument")
	}
	r = w.ask("PUT", "/media/k", "", header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"))
	r.ContentLength = 5<<30 + 1
	w.raw(r, "x").is(t, 400, "EntityTooLarge")
	w.holds("k", "")
	// Chunked on the line and declared to S3 is how some clients stream.
	r = w.ask("PUT", "/media/k", "", header("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), header("X-Amz-Decoded-Content-Length", "5"), header("Transfer-Encoding", "chunked"))
	r.ContentLength = -1
	framed := "5\r\nhello\r\n0\r\n\r\n"
	w.raw(r, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(framed), framed)).is(t, 200, "")
	w.holds("k", "hello")
}

func TestARefusedUploadIsToldBeforeItsBodyIsSent(t *testing.T) {
	w := newWorld(t)
	c, err := net.Dial("tcp", w.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	r := sign(t, w.ask("PUT", "/media/k", "", header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"), header("Expect", "100-continue"), header("x-amz-tagging", "a=b")), "root", time.Now())
	var b bytes.Buffer
	fmt.Fprintf(&b, "PUT /media/k HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n", r.URL.Host)
	_ = r.Header.Write(&b)
	b.WriteString("\r\n")
	if _, err := c.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), r)
	if err != nil || resp.StatusCode != 501 {
		t.Fatalf("got %v, %v", resp, err)
	}
	_ = resp.Body.Close()
}

func TestAnEmptyBodyThatIsAskedForIsAskedFor(t *testing.T) {
	w := newWorld(t)
	c, err := net.Dial("tcp", w.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	in := bufio.NewReader(c)
	for _, body := range []string{"", "x", ""} {
		r := sign(t, w.ask("PUT", "/media/k", body, header("Expect", "100-continue")), "root", time.Now())
		_, _ = fmt.Fprintf(c, "PUT /media/k HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.URL.Host, len(body))
		_ = r.Header.Write(c)
		_, _ = io.WriteString(c, "\r\n")
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		for _, want := range []int{100, 200} {
			resp, err := http.ReadResponse(in, r)
			if err != nil || resp.StatusCode != want {
				t.Fatalf("got %v, %v, want %d", resp, err, want)
			}
			_ = resp.Body.Close()
			if want == 100 {
				_, _ = io.WriteString(c, body)
			}
		}
	}
}

// started tells when a Put has begun, and how it ended.
type started struct {
	*blob.Bucket
	begun chan struct{}
	ended chan error
}

func (s *started) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	close(s.begun)
	obj, err := s.Bucket.Put(ctx, key, body, size, o)
	s.ended <- err
	return obj, err
}

func TestAClientThatLeavesStoresNothing(t *testing.T) {
	w := newWorld(t)
	s := &started{w.media, make(chan struct{}), make(chan error, 1)}
	w.with(s)
	r := sign(t, w.ask("PUT", "/media/k", "", header("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")), "root", time.Now())
	c, err := net.Dial("tcp", w.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(c, "PUT /media/k HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000000\r\n", r.URL.Host)
	_ = r.Header.Write(c)
	_, _ = io.WriteString(c, "\r\nsome of it")
	<-s.begun
	_ = c.Close()
	select {
	case err := <-s.ended:
		if err == nil {
			t.Fatal("stored")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the store was never told")
	}
	w.holds("k", "")
}
