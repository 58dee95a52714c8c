package robustness_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// rawServer is an origin made of bare sockets, for what no server does on
// purpose.
type rawServer struct {
	ln    net.Listener
	all   sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// newRawServer serves each connection by the function.
func newRawServer(t *testing.T, serve func(c net.Conn)) *rawServer {
	t.Helper()
	ln, err := net.Listen("tcp", freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{ln: ln, conns: map[net.Conn]struct{}{}}
	s.all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = struct{}{}
			s.mu.Unlock()
			s.all.Go(func() {
				serve(c)
				_ = c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			})
		}
	})
	t.Cleanup(s.close)
	return s
}

func (s *rawServer) close() {
	_ = s.ln.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.all.Wait()
}

func (s *rawServer) url() string { return "http://" + s.ln.Addr().String() }

// answers reads requests from a connection and has each answered, until
// answer says that this was the last.
func answers(answer func(c net.Conn, r *http.Request) (more bool)) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			if r.URL.Path == "/healthz" {
				_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"))
				continue
			}
			if !answer(c, r) {
				return
			}
		}
	}
}

func pageHead(name string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Origin: %s\r\nETag: \"page\"\r\nContent-Length: %d\r\n\r\n", name, len(page))
}

func sendPage(name string) func(c net.Conn, r *http.Request) bool {
	return func(c net.Conn, _ *http.Request) bool {
		_, err := c.Write(append([]byte(pageHead(name)), page...))
		return err == nil
	}
}

// sicknesses are what an origin can do other than die. Its checks pass.
var sicknesses = []struct {
	name  string
	serve func(net.Conn)
}{
	{"500 to half", answers(func(c net.Conn, r *http.Request) bool {
		if rand.IntN(2) == 0 {
			_, err := c.Write([]byte("HTTP/1.1 500 Internal Server Error\r\nX-Origin: alpha\r\nContent-Length: 5\r\n\r\noops\n"))
			return err == nil
		}
		return sendPage("alpha")(c, r)
	})},
	{"accept and close", func(net.Conn) {}},
	{"close after the request", answers(func(net.Conn, *http.Request) bool { return false })},
	{"reset", answers(func(c net.Conn, _ *http.Request) bool {
		_ = c.(*net.TCPConn).SetLinger(0)
		return false
	})},
	{"half a body slowly", answers(func(c net.Conn, _ *http.Request) bool {
		_, _ = c.Write(append([]byte(pageHead("alpha")), page[:len(page)/2]...))
		for i := range 20 { // drops, and then the end
			time.Sleep(100 * time.Millisecond)
			if _, err := c.Write(page[len(page)/2+i : len(page)/2+i+1]); err != nil {
				break
			}
		}
		return false
	})},
	{"half a body and close", answers(func(c net.Conn, _ *http.Request) bool {
		_, _ = c.Write(append([]byte(pageHead("alpha")), page[:len(page)/2]...))
		return false
	})},
	{"garbage", answers(func(c net.Conn, _ *http.Request) bool {
		_, _ = c.Write(bytes.Repeat([]byte("\x00\xffHTTP/9 oh no\n"), 100))
		return false
	})},
	{"head that never ends", answers(func(c net.Conn, _ *http.Request) bool {
		_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n"))
		for range 30 {
			time.Sleep(50 * time.Millisecond)
			if _, err := c.Write([]byte("X-More: and more\r\n")); err != nil {
				break
			}
		}
		return false
	})},
}

// TestSickOriginCostsNoRead puts an origin first that does everything wrong
// but its checks, next to the same with other proxies in front.
func TestSickOriginCostsNoRead(t *testing.T) {
	for _, sick := range sicknesses {
		t.Run(sick.name, func(t *testing.T) {
			a, b := newRawServer(t, sick.serve), newRawServer(t, answers(sendPage("beta")))
			s := newSpare(t, "  shop:\n"+pair(a.url(), b.url()))
			s.exec()
			waitFor(t, "Spare to answer", func() bool { return once(s.http, gets(-1)).status != 0 })
			s.waitReady()
			peers := startPeers(t, a, b)
			const share = loadRate / 3 // all at the same time, on the same machine
			loads := map[string]*load{}
			for name, addr := range peers {
				loads[name] = startLoadOf(t, addr, share, loadConns, gets)
			}
			l := startLoadOf(t, s.http, share, loadConns, gets)
			time.Sleep(1500 * time.Millisecond)
			for name, l := range loads {
				t.Logf("%-8s %v", name, l.stop())
			}
			l.stop().wantNoFailure(t, 100)
		})
	}
}

// TestOverloadedOriginIsLeft has HAProxy answer everything with 500 and 503.
func TestOverloadedOriginIsLeft(t *testing.T) {
	a, b := newOrigin(t, "haproxy", "alpha"), newOrigin(t, "nginx", "beta")
	a.start()
	b.start()
	s := startSpare(t, a, b, "")
	l := startLoad(t, s.http, gets)
	time.Sleep(2 * time.Second)
	l.stop().wantNoFailure(t, 500)
}

const peerHAProxy = `
defaults
  mode http
  retries 3
  option redispatch 1
  retry-on all-retryable-errors
  timeout client 30s
  timeout server 2s
  timeout connect 1s
frontend in
  bind ADDR
  default_backend shop
backend shop
  option httpchk GET /healthz
  default-server inter 1s fall 3 rise 3
  server alpha ALPHA check observe layer7 error-limit 10 on-error mark-down
  server beta BETA check backup
`

const peerNginx = `
daemon off; worker_processes 1; pid DIR/nginx.pid; error_log DIR/error.log;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fcgi; uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
  upstream shop { server ALPHA max_fails=3 fail_timeout=10s; server BETA backup; keepalive 64; }
  server {
    listen ADDR;
    location / {
      proxy_pass http://shop; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_connect_timeout 1s; proxy_read_timeout 2s;
      proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504;
    }
  }
}
`

// startPeers puts the proxies that are on this machine in front of the same
// origins.
func startPeers(t *testing.T, a, b *rawServer) map[string]string {
	t.Helper()
	peers := map[string]string{}
	for name, conf := range map[string]string{"haproxy": peerHAProxy, "nginx": peerNginx} {
		if !installed(name) {
			continue
		}
		addr, dir := freeAddress(t), newFolder(t)
		path := filepath.Join(dir, "conf")
		writeFile(t, path, strings.NewReplacer("DIR", dir, "ADDR", addr, "ALPHA", a.ln.Addr().String(), "BETA", b.ln.Addr().String()).Replace(conf))
		log := filepath.Join(dir, "log")
		if name == "nginx" {
			launch(t, log, nil, name, "-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", path)
		} else {
			launch(t, log, nil, name, "-db", "-f", path)
		}
		waitFor(t, name+" to listen", func() bool { return listens(addr) })
		peers[name] = addr
	}
	return peers
}

func installed(name string) bool {
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}
