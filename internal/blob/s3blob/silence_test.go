package s3blob_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/errs"
)

// hang answers when its client has gone.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	for _, call := range []string{"head", "get", "list", "put", "large put", "delete", "copy", "complete upload"} {
		t.Run(call, func(t *testing.T) {
			d := fake(t, hang, impatient)
			start := time.Now()
			err := calls[call](t.Context(), d)
			outcome{kind: errs.Unavailable, maybe: call != "head" && call != "get" && call != "list"}.check(t, err)
			if took := time.Since(start); took < silence || took > patience {
				t.Errorf("given up after %v", took)
			}
		})
	}
}

func TestAServerThatReadsNoBodyIsGivenUpAndHasNotApplied(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 10))
		time.Sleep(3 * silence)
		panic(http.ErrAbortHandler)
	}, impatient)
	const size = 64 << 20 // more than sockets hold
	_, err := d.Put(t.Context(), "k", zeros(size), size, blob.PutOptions{})
	outcome{kind: errs.Unavailable}.check(t, err)
}

func TestABodyThatIsAcknowledgedBeforeItIsThereIsSuspect(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+strings.Repeat("0", 32)+`"`)
		w.Header().Set("Content-Length", "0")
		w.(http.Flusher).Flush()
		time.Sleep(silence)
	}, func(o *s3blob.Options) { o.OpaqueTags = true })
	const size = 64 << 20 // more than sockets hold
	_, err := d.Put(t.Context(), "k", zeros(size), size, blob.PutOptions{})
	outcome{kind: errs.Internal, is: blob.ErrSuspect, maybe: true}.check(t, err)
}

func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestABodyThatStallsIsGivenUp(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"t"`)
		w.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, impatient)
	r, err := d.Get(t.Context(), "k", blob.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if n != 10_000 {
		t.Errorf("%d bytes came", n)
	}
	outcome{kind: errs.Unavailable}.check(t, err)
	_ = r.Close()
}

// slow waits before each of its reads.
type slow struct {
	io.Reader
	wait time.Duration
}

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(s.wait)
	return s.Reader.Read(p[:min(len(p), 50_000)])
}

func TestTheCallersTimeIsNotTheProvidersSilence(t *testing.T) {
	d := fake(t, accept, impatient)
	_, err := d.Put(t.Context(), "k", slow{zeros(100_000), silence * 3 / 2}, 100_000, blob.PutOptions{})
	if err != nil {
		t.Error(err)
	}
	_, err = d.Put(t.Context(), "k", slow{zeros(100), silence * 3 / 2}, 100, blob.PutOptions{})
	if err != nil {
		t.Error(err)
	}
	d = fake(t, func(w http.ResponseWriter, r *http.Request) { object(w, "t", strings.Repeat("x", 200_000)) }, impatient)
	r, err := d.Get(t.Context(), "k", blob.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		time.Sleep(silence * 3 / 2)
		if _, err := io.CopyN(io.Discard, r, 100_000); err != nil {
			t.Error(err)
		}
	}
	_ = r.Close()
}

func TestAnAnswerThatIsLostMayHaveBeenApplied(t *testing.T) {
	for _, call := range writes {
		var applied atomic.Bool
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = unchunked(r)
			applied.Store(true)
			panic(http.ErrAbortHandler) // closes the connection
		})
		err := calls[call](t.Context(), d)
		if !applied.Load() || !errs.IsMaybeApplied(err) || errs.KindOf(err) != errs.Unavailable {
			t.Errorf("%s: applied %v, got %v", call, applied.Load(), err)
		}
	}
}

func TestWhatWasNeverConnectedWasNotApplied(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	d := open(t, s3blob.Options{Bucket: "orders", Endpoint: "http://" + address, AccessKey: "a", SecretKey: fakeSecret})
	for _, call := range writes {
		outcome{kind: errs.Unavailable}.check(t, calls[call](t.Context(), d))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, call := range writes {
		outcome{kind: errs.Unavailable, is: context.Canceled}.check(t, calls[call](ctx, d))
	}
}

func TestAContextThatEndsIsInTheChain(t *testing.T) {
	for _, call := range []string{"head", "get", "list", "put", "large put", "delete", "copy"} {
		d := fake(t, hang)
		ctx, cancel := context.WithTimeout(t.Context(), silence/3)
		err := calls[call](ctx, d)
		cancel()
		outcome{kind: errs.Unavailable, is: context.DeadlineExceeded, maybe: call != "head" && call != "get" && call != "list"}.check(t, err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(silence/3, func() { cancel(errors.New("another provider was faster")) })
	err := calls["get"](ctx, fake(t, hang))
	outcome{kind: errs.Unavailable, is: context.Canceled}.check(t, err)
	if !strings.HasPrefix(err.Error(), "given up") {
		t.Errorf("it was the caller, not the provider: %v", err)
	}
}

// endless is a body that does not come.
type endless struct{ free chan struct{} }

func (e endless) Read([]byte) (int, error) { <-e.free; return 0, io.EOF }

func TestAContextThatEndsDoesNotWaitForABodyThatHangs(t *testing.T) {
	d := fake(t, hang)
	e := endless{make(chan struct{})}
	defer close(e.free)
	ctx, cancel := context.WithTimeout(t.Context(), silence/3)
	defer cancel()
	start := time.Now()
	_, err := d.Put(ctx, "k", e, 1<<20, blob.PutOptions{})
	outcome{kind: errs.Unavailable, is: context.DeadlineExceeded}.check(t, err)
	if took := time.Since(start); took > patience {
		t.Errorf("it took %v", took)
	}
}

var errBody = errors.New("the body's own failure")

// A body that fails must not look whole to the server, in none of the ways in
// which it is sent.
func TestABodyThatFailsIsNeverSentWhole(t *testing.T) {
	for name, secure := range map[string]bool{"signed chunks": false, "unsigned": true} {
		t.Run(name, func(t *testing.T) {
			var whole atomic.Int32
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if want := map[bool]string{true: "UNSIGNED-PAYLOAD", false: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}[secure]; r.Header.Get("X-Amz-Content-Sha256") != want {
					t.Errorf("X-Amz-Content-Sha256 is %s", r.Header.Get("X-Amz-Content-Sha256"))
				}
				if _, err := unchunked(r); err == nil {
					whole.Add(1)
				}
			})
			o := s3blob.Options{Bucket: "orders", AccessKey: "a", SecretKey: fakeSecret}
			srv := httptest.NewUnstartedServer(handler)
			if secure {
				srv.StartTLS()
				o.RootCAs = x509.NewCertPool()
				o.RootCAs.AddCert(srv.Certificate())
			} else {
				srv.Start()
			}
			defer srv.Close()
			o.Endpoint = srv.URL
			d := open(t, o)
			const size = 300_000
			for _, given := range []int64{0, 1000, 150_000, size - 1, size} {
				_, err := d.Put(t.Context(), "k", io.MultiReader(zeros(given), failing{}), size, blob.PutOptions{})
				if !errors.Is(err, errBody) || errs.IsMaybeApplied(err) {
					t.Errorf("failed after %d bytes: %v", given, err)
				}
			}
			for _, given := range []int64{0, size - 1, size + 1} {
				_, err := d.Put(t.Context(), "k", zeros(given), size, blob.PutOptions{})
				if errs.KindOf(err) != errs.Invalid || errs.IsMaybeApplied(err) || (given < size) != errors.Is(err, blob.ErrShort) {
					t.Errorf("%d bytes for %d: %v", given, size, err)
				}
			}
			srv.Close() // waits for the handlers
			if n := whole.Load(); n != 0 {
				t.Errorf("%d failed bodies came whole", n)
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBody }

func TestASmallBodyThatFailsIsNotSentAtAll(t *testing.T) {
	var asked atomic.Int32
	d := fake(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1) })
	const size = 1000
	for name, tt := range map[string]struct {
		body io.Reader
		want outcome
	}{
		"fails":            {io.MultiReader(zeros(size/2), failing{}), outcome{kind: errs.Internal, is: errBody}},
		"fails at its end": {io.MultiReader(zeros(size), failing{}), outcome{kind: errs.Internal, is: errBody}},
		"is shorter":       {zeros(size - 1), outcome{kind: errs.Invalid, is: blob.ErrShort}},
		"is longer":        {zeros(size + 1), outcome{kind: errs.Invalid}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := d.Put(t.Context(), "k", tt.body, size, blob.PutOptions{})
			tt.want.check(t, err)
		})
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestALargeBodyIsNotHeldInMemory(t *testing.T) {
	const size = 64 << 20
	var read atomic.Int64
	began, free := make(chan struct{}), make(chan struct{})
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-free
		accept(w, r)
	})
	done := make(chan error)
	go func() {
		_, err := d.Put(t.Context(), "k", &counting{zeros(size), &read}, size, blob.PutOptions{})
		done <- err
	}()
	<-began
	time.Sleep(silence) // let it read on as far as it does
	if n := read.Load(); n > size/2 {
		t.Errorf("%d bytes were read before the server took one", n)
	}
	close(free)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

type counting struct {
	io.Reader
	n *atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestAConnectionIsUsedAgain(t *testing.T) {
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			accept(w, r)
			return
		}
		object(w, "t", strings.Repeat("x", 100_000))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	d := open(t, s3blob.Options{Bucket: "orders", Endpoint: srv.URL, AccessKey: "a", SecretKey: fakeSecret})
	for range 20 {
		for _, call := range []string{"get", "put", "large put"} {
			if err := calls[call](t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for 60 requests one after another", n)
	}
}

func TestACertificateThatIsNotTrustedIsNoAnswer(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(accept))
	defer srv.Close()
	srv.Config.ErrorLog = nil
	d := open(t, s3blob.Options{Bucket: "orders", Endpoint: srv.URL, AccessKey: "a", SecretKey: fakeSecret})
	err := calls["put"](t.Context(), d)
	var unknown *tls.CertificateVerificationError
	if !errors.As(err, &unknown) || errs.KindOf(err) != errs.Unavailable || errs.IsMaybeApplied(err) {
		t.Errorf("got %v", err)
	}
}
