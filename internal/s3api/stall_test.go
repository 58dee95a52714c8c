package s3api_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/s3api"
)

// pipes is a listener whose connections are pipes: their deadlines follow the
// bubble's clock.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// stalling serves media over a pipe and sends it a request's header.
func stalling(t *testing.T, r *http.Request, length string) (net.Conn, *s3api.Server, *blob.Bucket) {
	media := blob.New("mem", memblob.Open(memblob.Options{}))
	srv := s3api.New(s3api.Options{Log: slog.New(slog.DiscardHandler)})
	srv.Swap(&s3api.Table{Buckets: map[string]s3api.Store{"media": media}, Credentials: []s3api.Credential{{AccessKey: "root", SecretKey: "root-secret", Rights: s3api.Write}}})
	body := strings.Repeat("x", 1<<20)
	if _, err := media.Put(t.Context(), "large", strings.NewReader(body), int64(len(body)), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: srv}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	client, conn := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	l.conns <- conn
	sign(t, r, "root", time.Now())
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n%s", r.Method, r.URL.RequestURI(), r.URL.Host, length)
	_ = r.Header.Write(&b)
	if _, err := io.WriteString(client, b.String()+"\r\n"); err != nil {
		t.Fatal(err)
	}
	return client, srv, media
}

func unsigned(t *testing.T, method, path string) *http.Request {
	r, err := http.NewRequest(method, "http://example.com"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	return r
}

func TestAnUploadThatStallsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		client, _, media := stalling(t, unsigned(t, "PUT", "/media/k"), "Content-Length: 1000\r\n")
		for range 5 { // slow is not stalled
			time.Sleep(50 * time.Second)
			if _, err := client.Write([]byte("some")); err != nil {
				t.Fatal(err)
			}
		}
		resp, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 400 || !strings.Contains(string(b), "RequestTimeout") || time.Since(began) > 315*time.Second {
			t.Fatalf("after %v: %d %s", time.Since(began), resp.StatusCode, b)
		}
		if _, err := media.Head(t.Context(), "k"); err == nil {
			t.Fatal("stored")
		}
	})
}

func TestADownloadThatStallsIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, srv, _ := stalling(t, unsigned(t, "GET", "/media/large"), "")
		got := make([]byte, 10_000)
		if _, err := io.ReadFull(client, got); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		if n := srv.Stats().InFlight.Load(); n != 1 {
			t.Fatalf("%d requests in flight", n)
		}
		time.Sleep(2 * time.Second)
		if n := srv.Stats().InFlight.Load(); n != 0 {
			t.Fatalf("%d requests in flight", n)
		}
		if n, err := io.Copy(io.Discard, client); n > 100_000 || err != nil && !errors.Is(err, io.ErrClosedPipe) {
			t.Fatalf("%d bytes more, %v", n, err)
		}
	})
}
