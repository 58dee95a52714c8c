package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

var shop = estate.Target{Service: "shop", Site: "virginia"}

// listen serves each connection with serve and closes it after.
func listen(t testing.TB, serve func(*net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return l.Addr().String()
}

// reply reads the request's head and answers with the text.
func reply(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		readHead(c)
		_, _ = io.WriteString(c, text)
	}
}

func readHead(c net.Conn) {
	b := make([]byte, 4096)
	for n := 0; n < len(b); {
		m, err := c.Read(b[n:])
		if n += m; err != nil || strings.Contains(string(b[:n]), "\r\n\r\n") {
			return
		}
	}
}

// hang waits for the other side to give up.
func hang(c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) }

func then(first, second func(*net.TCPConn)) func(*net.TCPConn) {
	return func(c *net.TCPConn) { first(c); second(c) }
}

func reset(c *net.TCPConn) { _ = c.SetLinger(0) }

func httpTarget(addr string, c estate.Check) Target {
	c.Kind = estate.CheckHTTP
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Path == "" {
		c.Path = "/healthz"
	}
	return Target{Target: shop, URL: "http://" + addr, Check: c}
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func TestMisbehavingOrigins(t *testing.T) {
	soon := estate.Check{Timeout: time.Second}
	tests := []struct {
		name  string
		serve func(*net.TCPConn)
		check estate.Check
		want  health.Cause
	}{
		{"answers", reply(ok), estate.Check{}, ""},
		{"answers HTTP/1.0 until close", reply("HTTP/1.0 200 OK\r\n\r\nhello"), estate.Check{Contains: "hello"}, ""},
		{"answers in chunks", reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"), estate.Check{Contains: "hello"}, ""},
		{"answers after early hints", reply("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok), estate.Check{}, ""},
		{"redirect is an answer", reply("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), estate.Check{}, ""},
		{"redirect is not followed", reply("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), estate.Check{Status: []int{200}}, health.CauseStatus},
		{"500", reply("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"), estate.Check{}, health.CauseStatus},
		{"404 is an answer", reply("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), estate.Check{}, ""},
		{"404 that is wanted", reply("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), estate.Check{Status: []int{404}}, ""},
		{"204", reply("HTTP/1.1 204 No Content\r\n\r\n"), estate.Check{}, ""},

		{"accepts and closes", func(*net.TCPConn) {}, estate.Check{}, health.CauseReset},
		{"accepts and resets", reset, estate.Check{}, health.CauseReset},
		{"reads and resets", then(func(c *net.TCPConn) { readHead(c) }, reset), estate.Check{}, health.CauseReset},
		{"half a head, then closes", reply("HTTP/1.1 200 OK\r\nContent-Le"), estate.Check{}, health.CauseReset},
		{"accepts and hangs", hang, soon, health.CauseTimeout},
		{"half a head, then hangs", then(reply("HTTP/1.1 200 OK\r\nContent-Le"), hang), soon, health.CauseTimeout},

		{"garbage", reply("\x00\x01\x02 what\r\n\r\n"), estate.Check{}, health.CauseProtocol},
		{"short garbage", reply("NO"), estate.Check{}, health.CauseProtocol},
		{"another protocol", reply("SSH-2.0-OpenSSH_9.6\r\n"), estate.Check{}, health.CauseProtocol},
		{"a status line that is none", reply("HTTP/1.1 abc\r\n\r\n"), estate.Check{}, health.CauseProtocol},
		{"HTTP/2", reply("HTTP/2.0 200 OK\r\n\r\n"), estate.Check{}, health.CauseProtocol},
		{"endless head", reply("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 100)), estate.Check{}, health.CauseProtocol},
		{"endless interim answers", reply(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20) + ok), estate.Check{}, health.CauseProtocol},

		{"a body cut short", reply("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"), estate.Check{}, health.CauseBody},
		{"a body that stalls", then(reply("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"), hang), soon, health.CauseBody},
		{"a broken chunk", reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), estate.Check{}, health.CauseBody},
		{"wanted text", reply(ok), estate.Check{Contains: "hell"}, ""},
		{"wrong text", reply(ok), estate.Check{Contains: "heaven"}, health.CauseBody},
		{"long body", reply(long(200<<10) + "end"), estate.Check{}, ""},
		{"text within 64 KiB", reply(long(65 << 10)[:len(long(65<<10))-(2<<10)] + "end" + strings.Repeat("x", 70<<10)), estate.Check{Contains: "end"}, ""},
		{"text beyond 64 KiB", reply(long(65<<10) + "end" + strings.Repeat("x", 70<<10)), estate.Check{Contains: "end"}, health.CauseBody},
		{"500 with a body that stalls", then(reply("HTTP/1.1 500 Oops\r\nContent-Length: 50\r\n\r\nhello"), hang), estate.Check{}, health.CauseStatus},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			target := httpTarget(listen(t, tt.serve), tt.check)
			// As a kept one and as a fresh one.
			for _, fresh := range []bool{true, false} {
				res, conn, _ := newPlan(target, nil).attempt(t.Context(), nil, fresh)
				if conn != nil {
					_ = conn.Close()
				}
				if res.Cause != tt.want || res.OK != (tt.want == "") || res.Fresh != fresh {
					t.Errorf("fresh %t: got %+v, want cause %q", fresh, res, tt.want)
				}
				if !res.OK && res.Detail == "" {
					t.Error("a failure without detail")
				}
				if res.Target != shop || res.At.IsZero() || res.Latency <= 0 || time.Since(res.At) > 10*time.Second {
					t.Errorf("result %+v", res)
				}
			}
		})
	}
}

// long is an answer with the begin of a body that its length says is huge.
func long(n int) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", n)
}

func TestConnectionRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []estate.CheckKind{estate.CheckHTTP, estate.CheckTCP} {
		target := httpTarget(addr, estate.Check{})
		target.Check.Kind = kind
		if res := Attempt(t.Context(), target, nil); res.Cause != health.CauseRefused || !strings.Contains(res.Detail, "refused") {
			t.Errorf("%s: %+v", kind, res)
		}
	}
}

func TestTCPCheckPassesOnConnect(t *testing.T) {
	target := Target{Target: shop, URL: "tcp://" + listen(t, hang), Check: estate.Check{Kind: estate.CheckTCP}}
	if res := Attempt(t.Context(), target, nil); !res.OK || res.Latency <= 0 {
		t.Errorf("%+v", res)
	}
}

func TestNameThatDoesNotResolve(t *testing.T) {
	target := httpTarget("nosuch.invalid:80", estate.Check{Timeout: 2 * time.Second})
	if res := Attempt(t.Context(), target, nil); res.Cause != health.CauseDNS {
		t.Errorf("%+v", res)
	}
}

func TestFaultyTargetFailsEachAttempt(t *testing.T) {
	for _, url := range []string{"", "http://", "ftp://127.0.0.1:21", "http://a b/", "127.0.0.1:80", "tcp://127.0.0.1:5"} {
		target := Target{Target: shop, URL: url, Check: estate.Check{Kind: estate.CheckHTTP, Path: "/"}}
		if res := Attempt(t.Context(), target, nil); res.OK || res.Detail == "" {
			t.Errorf("%q: %+v", url, res)
		}
	}
	target := httpTarget("127.0.0.1:1", estate.Check{Host: "evil\r\nX-Injected: 1"})
	if p := newPlan(target, nil); p.err == nil && strings.Contains(string(p.keep), "X-Injected") {
		t.Errorf("the request is %q", p.keep)
	}
}

func TestRequestAsSent(t *testing.T) {
	tests := []struct {
		name   string
		target Target
		want   string // request line and host
	}{
		{"plain", Target{URL: "http://o.example.com:8080", Check: estate.Check{Path: "/healthz"}}, "GET /healthz o.example.com:8080"},
		{"base path and query", Target{URL: "http://o.example.com/base/", Check: estate.Check{Path: "/h?a=1&b=%20"}}, "GET /base/h?a=1&b=%20 o.example.com"},
		{"origin's host", Target{URL: "http://o.example.com", Host: "shop.example.com", Check: estate.Check{Path: "/"}}, "GET / shop.example.com"},
		{"check's host", Target{URL: "http://o.example.com", Host: "shop.example.com", Check: estate.Check{Path: "/", Host: "check.example.com"}}, "GET / check.example.com"},
		{"escaped path", Target{URL: "http://o.example.com", Check: estate.Check{Path: "/a%2Fb/c%20d"}}, "GET /a%2Fb/c%20d o.example.com"},
		{"no path", Target{URL: "http://o.example.com"}, "GET / o.example.com"},
	}
	for _, tt := range tests {
		tt.target.Check.Kind = estate.CheckHTTP
		p := newPlan(tt.target, nil)
		if p.err != nil {
			t.Errorf("%s: %v", tt.name, p.err)
			continue
		}
		for request, closing := range map[string]bool{string(p.keep): false, string(p.fresh): true} {
			f := strings.Fields(request)
			if got := f[0] + " " + f[1] + " " + f[4]; got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
			if !strings.Contains(request, "User-Agent: spare-probe\r\n") || strings.Contains(request, "Connection: close") != closing {
				t.Errorf("%s: request %q", tt.name, request)
			}
		}
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	srv.Config.ErrorLog = quiet()
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	trusted := &tls.Config{RootCAs: roots}
	addr := srv.Listener.Addr().String()
	clear := listen(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, ok); hang(c) })
	hung := listen(t, hang)
	closing := listen(t, func(*net.TCPConn) {})
	tests := []struct {
		name   string
		url    string
		config *tls.Config
		want   health.Cause
	}{
		{"trusted", "https://" + addr, trusted, ""},
		{"HTTP/2 is not asked for", "https://" + addr, &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}}, ""},
		{"unknown authority", "https://" + addr, nil, health.CauseTLS},
		{"another name", "https://localhost:" + strings.Split(addr, ":")[1], trusted, health.CauseTLS},
		{"expired", "https://" + addr, &tls.Config{RootCAs: roots, Time: func() time.Time { return time.Now().AddDate(200, 0, 0) }}, health.CauseTLS},
		{"no version in common", "https://" + addr, &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS10, MinVersion: tls.VersionTLS10}, health.CauseTLS},
		{"clear text", "https://" + clear, trusted, health.CauseTLS},
		{"hangs in the handshake", "https://" + hung, trusted, health.CauseTimeout},
		{"closes in the handshake", "https://" + closing, trusted, health.CauseReset},
		{"spoken to in clear text", "http://" + addr, nil, health.CauseStatus}, // net/http answers 400
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			target := httpTarget("", estate.Check{Timeout: 300 * time.Millisecond, Status: []int{200}})
			target.URL = tt.url
			if res := Attempt(t.Context(), target, tt.config); res.Cause != tt.want {
				t.Errorf("got %+v, want cause %q", res, tt.want)
			}
		})
	}
}

func TestClientCertificateRefused(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	srv.Config.ErrorLog = quiet()
	srv.StartTLS()
	defer srv.Close()
	target := httpTarget("", estate.Check{})
	target.URL = srv.URL
	if res := Attempt(t.Context(), target, &tls.Config{InsecureSkipVerify: true}); res.Cause != health.CauseTLS {
		t.Errorf("%+v", res)
	}
}

func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	if res := Attempt(t.Context(), httpTarget(listen(t, reply(ok)), estate.Check{}), nil); !res.OK {
		t.Errorf("%+v", res)
	}
}

func TestAttemptEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(20*time.Millisecond, cancel).Stop()
	start := time.Now()
	res := Attempt(ctx, httpTarget(listen(t, hang), estate.Check{Timeout: time.Minute}), nil)
	if res.OK || time.Since(start) > 10*time.Second {
		t.Errorf("%+v after %s", res, time.Since(start))
	}
}

func TestLatencyEndsAtTheHead(t *testing.T) {
	slow := func(c *net.TCPConn) {
		reply("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")(c)
		time.Sleep(300 * time.Millisecond)
		_, _ = io.WriteString(c, "lo")
	}
	res := Attempt(t.Context(), httpTarget(listen(t, slow), estate.Check{}), nil)
	if !res.OK || res.Latency > 250*time.Millisecond {
		t.Errorf("%+v", res)
	}
}

func TestCauseOf(t *testing.T) {
	sys := func(e syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", e)}
	}
	tests := []struct {
		ph   phase
		err  error
		want health.Cause
	}{
		{dialing, sys(syscall.ECONNREFUSED), health.CauseRefused},
		{dialing, sys(syscall.EHOSTUNREACH), health.CauseConnect},
		{dialing, sys(syscall.ENETUNREACH), health.CauseConnect},
		{dialing, sys(syscall.ETIMEDOUT), health.CauseConnect},
		{dialing, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, health.CauseConnect},
		{dialing, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "timeout", IsTimeout: true}}, health.CauseDNS},
		{handshake, os.ErrDeadlineExceeded, health.CauseTimeout},
		{handshake, io.EOF, health.CauseReset},
		{handshake, &tls.CertificateVerificationError{Err: errors.New("x")}, health.CauseTLS},
		{awaiting, sys(syscall.ECONNRESET), health.CauseReset},
		{awaiting, sys(syscall.EPIPE), health.CauseReset},
		{awaiting, sys(syscall.ETIMEDOUT), health.CauseTimeout},
		{awaiting, errors.New("malformed"), health.CauseProtocol},
		{reading, os.ErrDeadlineExceeded, health.CauseBody},
		{reading, sys(syscall.ECONNRESET), health.CauseBody},
	}
	for _, tt := range tests {
		if got := causeOf(tt.ph, fmt.Errorf("wrapped: %w", tt.err)); got != tt.want {
			t.Errorf("phase %d, %v: got %s, want %s", tt.ph, tt.err, got, tt.want)
		}
	}
}
