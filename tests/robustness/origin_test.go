package robustness_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// origin is somebody else's server with a log of what reached it: one line a
// request, "METHOD TARGET".
type origin struct {
	t      *testing.T
	kind   string
	name   string // given in the X-Origin field of its answers
	addr   string
	dir    string
	access string
	run    *process
	up     func() *process
}

func (o *origin) url() string { return "http://" + o.addr }

// start runs the server and waits until it listens.
func (o *origin) start() {
	o.t.Helper()
	o.run = o.up()
	waitFor(o.t, o.name+" to listen", func() bool { return listens(o.addr) })
}

func listens(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// requests gives what the log holds, without the checks.
func (o *origin) requests() []string {
	b, _ := os.ReadFile(o.access)
	var list []string
	for line := range bytes.SplitSeq(bytes.TrimSpace(b), []byte("\n")) {
		if s := string(line); s != "" && !strings.Contains(s, " /healthz") {
			list = append(list, s)
		}
	}
	return list
}

// page is the file that origins serve: the same at all of them.
var page = []byte(strings.Repeat("Everything that is here is there too.\n", 50))

func newOrigin(t *testing.T, kind, name string) *origin {
	t.Helper()
	o := &origin{t: t, kind: kind, name: name, addr: freeAddress(t), dir: newFolder(t)}
	o.access = filepath.Join(o.dir, "access.log")
	switch kind {
	case "nginx":
		o.prepareNginx()
	case "node":
		o.prepareNode()
	case "haproxy":
		o.prepareHAProxy()
	default:
		t.Fatalf("no origin of kind %q", kind)
	}
	return o
}

// startOrigins starts a pair.
func startOrigins(t *testing.T, kind string) (a, b *origin) {
	t.Helper()
	a, b = newOrigin(t, kind, "alpha"), newOrigin(t, kind, "beta")
	a.start()
	b.start()
	return a, b
}

const nginxOrigin = `
daemon off; worker_processes 1; pid DIR/nginx.pid; error_log DIR/error.log;
events { worker_connections 4096; }
http {
  log_format short '$request_method $request_uri';
  access_log DIR/access.log short;
  client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/fcgi; uwsgi_temp_path DIR/uwsgi; scgi_temp_path DIR/scgi;
  client_max_body_size 0;
  server {
    listen ADDR;
    add_header X-Origin NAME always;
    root DIR/root;
    location = /healthz { return 200 "ok\n"; }
    location = /film { limit_rate 8m; }
    location /orders { return 201 "accepted\n"; }
  }
}
`

func (o *origin) prepareNginx() {
	root := filepath.Join(o.dir, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		o.t.Fatal(err)
	}
	o.file("page", page)
	conf := filepath.Join(o.dir, "nginx.conf")
	writeFile(o.t, conf, strings.NewReplacer("DIR", o.dir, "ADDR", o.addr, "NAME", o.name).Replace(nginxOrigin))
	for dir := o.dir; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755) // nginx's worker is another user
	}
	o.up = func() *process {
		return launch(o.t, filepath.Join(o.dir, "out.log"), nil, "nginx", "-p", o.dir, "-e", filepath.Join(o.dir, "error.log"), "-c", conf)
	}
}

// file puts a file into an nginx's root, with the same time at every origin,
// so that all of them give it the same ETag.
func (o *origin) file(name string, content []byte) {
	path := filepath.Join(o.dir, "root", name)
	writeFile(o.t, path, string(content))
	when := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	if err := os.Chtimes(path, when, when); err != nil {
		o.t.Fatal(err)
	}
}

// nodeOrigin notes a request the moment that its head is read, before any
// answer, by a write that survives the process.
const nodeOrigin = `
const http = require('http'), fs = require('fs');
const [addr, name, log, page] = process.argv.slice(2);
const fd = fs.openSync(log, 'a'), body = fs.readFileSync(page);
const [host, port] = addr.split(':');
http.createServer((req, res) => {
  if (req.url === '/healthz') { res.end('ok\n'); return; }
  fs.writeSync(fd, req.method + ' ' + req.url + '\n');
  res.setHeader('X-Origin', name);
  if (req.method === 'GET') { res.setHeader('ETag', '"page"'); res.end(body); return; }
  req.resume();
  req.on('end', () => setTimeout(() => { res.statusCode = 201; res.end('accepted\n'); }, Math.random() * 5));
}).listen(+port, host);
`

func (o *origin) prepareNode() {
	script, content := filepath.Join(o.dir, "origin.js"), filepath.Join(o.dir, "page")
	writeFile(o.t, script, nodeOrigin)
	writeFile(o.t, content, string(page))
	o.up = func() *process {
		return launch(o.t, filepath.Join(o.dir, "out.log"), nil, "node", script, o.addr, o.name, o.access, content)
	}
}

const haproxyOrigin = `
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 1s
frontend origin
  bind ADDR
  http-request return status 200 content-type text/plain string "ok" if { path /healthz }
  http-request return status 500 content-type text/plain string "broken" hdr X-Origin NAME if { rand(100) lt 50 }
  http-request return status 503 content-type text/plain string "overload" hdr X-Origin NAME
`

// prepareHAProxy makes an origin that answers every request with 500 or 503,
// and whose checks pass.
func (o *origin) prepareHAProxy() {
	conf := filepath.Join(o.dir, "haproxy.cfg")
	writeFile(o.t, conf, strings.NewReplacer("ADDR", o.addr, "NAME", o.name).Replace(haproxyOrigin))
	o.up = func() *process {
		return launch(o.t, filepath.Join(o.dir, "out.log"), nil, "haproxy", "-db", "-f", conf)
	}
}

// counts says how often each request arrived at the origins together.
func counts(all ...*origin) map[string]int {
	seen := map[string]int{}
	for _, o := range all {
		for _, r := range o.requests() {
			seen[r]++
		}
	}
	return seen
}

// pair writes the origins of a service for the estate file.
func pair(a, b string) string {
	return fmt.Sprintf("    origins:\n      alpha: {url: %q}\n      beta: {url: %q}\n    check: {http: {path: /healthz}}\n", a, b)
}
