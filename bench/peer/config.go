package peer

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// Kinds are the proxies that are measured. The first origin is active, the
// others are spare.
var Kinds = []Kind{
	{Name: "spare", About: "shipped defaults: sites, service and check declared, nothing else", program: "spare", version: []string{"version"}, config: spare},
	{Name: "haproxy", About: "timeout server 1s", program: "haproxy", version: []string{"-v"}, config: haproxy("1s")},
	{Name: "haproxy-tuned", About: "timeout server 250ms: fails slow answers of healthy origins too", program: "haproxy", version: []string{"-v"}, config: haproxy("250ms")},
	{Name: "nginx", About: "proxy_read_timeout 1s", program: "nginx", version: []string{"-v"}, config: nginx("1s")},
	{Name: "nginx-tuned", About: "proxy_read_timeout 250ms: fails slow answers of healthy origins too", program: "nginx", version: []string{"-v"}, config: nginx("250ms")},
	{Name: "caddy", About: "response_header_timeout 1s", program: "caddy", config: caddy},
}

func spare(s Setup) (string, string, []string) {
	file := filepath.Join(s.Dir, "spare.yaml")
	var sites, origins strings.Builder
	for i, o := range s.Origins {
		fmt.Fprintf(&sites, "  site-%d: {provider: provider-%d, region: region-%d}\n", i, i, i)
		fmt.Fprintf(&origins, "      site-%d: {url: \"http://%s\"}\n", i, o)
	}
	return file, fmt.Sprintf(`version: 1
data: %q
listen: {http: %q, api: %q}
sites:
%sservices:
  shop:
    origins:
%s    check: {http: {path: /healthz}}
`, filepath.Join(s.Dir, "state"), s.Listen, s.API, sites.String(), origins.String()), []string{"run", "-c", file}
}

// haproxy: requests are repeated after anything that may be repeated, at the
// other server at once; POSTs only when nothing was sent. A server is marked
// down by its second failed check, or by ten failed requests in a row. The
// spare is no "backup" server, because retries never reach one of those while
// the active server counts as up: "balance first" prefers the active one too,
// and lets a retry avoid it.
func haproxy(patience string) func(Setup) (string, string, []string) {
	return func(s Setup) (string, string, []string) {
		file := filepath.Join(s.Dir, "haproxy.cfg")
		var servers strings.Builder
		for i, o := range s.Origins {
			fmt.Fprintf(&servers, "    server origin%d %s\n", i, o)
		}
		return file, fmt.Sprintf(`global
    maxconn 8000
defaults
    mode http
    timeout client 60s
    timeout http-keep-alive 60s
    timeout connect 100ms
    timeout queue 1s
    timeout server %s
    timeout check 500ms
frontend in
    bind %s
    default_backend shop
backend shop
    balance first
    option redispatch 1
    retries 3
    retry-on all-retryable-errors
    http-request disable-l7-retry if METH_POST
    http-reuse safe
    option httpchk GET /healthz
    http-check expect status 200
    default-server check inter 1s fastinter 200ms downinter 1s fall 2 rise 2 observe layer7 error-limit 10 on-error mark-down
%s`, patience, s.Listen, servers.String()), []string{"-db", "-f", file}
	}
}

// nginx has no active checks: max_fails within fail_timeout takes a server out
// for fail_timeout.
func nginx(patience string) func(Setup) (string, string, []string) {
	return func(s Setup) (string, string, []string) {
		file := filepath.Join(s.Dir, "nginx.conf")
		var servers strings.Builder
		for i, o := range s.Origins {
			backup := ""
			if i > 0 {
				backup = " backup"
			}
			fmt.Fprintf(&servers, "        server %s max_fails=3 fail_timeout=10s%s;\n", o, backup)
		}
		return file, fmt.Sprintf(`daemon off;
worker_processes auto;
worker_rlimit_nofile 16384;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx-error.log error;
events { worker_connections 8000; }
http {
    access_log off;
    keepalive_timeout 60s;
    keepalive_requests 10000000;
    client_body_temp_path %[1]s/body;
    proxy_temp_path %[1]s/proxy;
    fastcgi_temp_path %[1]s/fastcgi;
    uwsgi_temp_path %[1]s/uwsgi;
    scgi_temp_path %[1]s/scgi;
    upstream shop {
        zone shop 256k;
%[2]s        keepalive 256;
        keepalive_requests 10000000;
    }
    server {
        listen %[3]s backlog=4096;
        location / {
            proxy_pass http://shop;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_connect_timeout 100ms;
            proxy_send_timeout %[4]s;
            proxy_read_timeout %[4]s;
            proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504;
            proxy_next_upstream_tries 2;
        }
    }
}
`, s.Dir, servers.String(), s.Listen, patience), []string{"-p", s.Dir, "-c", file}
	}
}

// caddy repeats a request at the next origin when the connection failed, and
// GETs also after they were sent; it does not repeat after a status.
func caddy(s Setup) (string, string, []string) {
	file := filepath.Join(s.Dir, "Caddyfile")
	host, port, _ := net.SplitHostPort(s.Listen)
	return file, fmt.Sprintf(`{
	admin off
	auto_https off
	persist_config off
	log default {
		level ERROR
	}
}
http://:%s {
	bind %s
	reverse_proxy %s {
		lb_policy first
		lb_retries 2
		lb_try_duration 5s
		lb_try_interval 10ms
		fail_duration 10s
		max_fails 3
		unhealthy_status 5xx
		health_uri /healthz
		health_interval 1s
		health_timeout 500ms
		health_status 200
		health_fails 2
		transport http {
			dial_timeout 100ms
			response_header_timeout 1s
			keepalive_idle_conns_per_host 256
		}
	}
}
`, port, host, strings.Join(s.Origins, " ")), []string{"run", "--config", file, "--adapter", "caddyfile"}
}
