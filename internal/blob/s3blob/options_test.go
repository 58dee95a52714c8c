package s3blob_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/errs"
)

func TestOptionsThatCannotBeMeantAreRefused(t *testing.T) {
	for name, o := range map[string]s3blob.Options{
		"no bucket":               {Endpoint: "https://s3.example.com"},
		"a key for a bucket":      {Bucket: "a/b"},
		"an access key alone":     {Bucket: "b", AccessKey: "AKIAEXAMPLE"},
		"a secret key alone":      {Bucket: "b", SecretKey: fakeSecret},
		"a token alone":           {Bucket: "b", SessionToken: fakeToken},
		"a host for an endpoint":  {Bucket: "b", Endpoint: "s3.example.com"},
		"another scheme":          {Bucket: "b", Endpoint: "ftp://s3.example.com"},
		"an endpoint with a key":  {Bucket: "b", Endpoint: "https://AKIA:" + fakeSecret + "@s3.example.com"},
		"an endpoint that is bad": {Bucket: "b", Endpoint: "https://" + fakeSecret + "\x7f"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s3blob.Open(o)
			outcome{kind: errs.Invalid}.check(t, err)
		})
	}
}

func TestKeysAreInNoTextOfTheOptions(t *testing.T) {
	o := s3blob.Options{Bucket: "orders", Endpoint: "https://s3.example.com", AccessKey: "AKIAEXAMPLE", SecretKey: fakeSecret, SessionToken: fakeToken}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("bucket", "options", o)
	for _, s := range []string{fmt.Sprint(o), fmt.Sprintf("%v %+v %#v", o, o, o), fmt.Sprintf("%v %+v %#v", &o, &o, &o), log.String()} {
		if strings.Contains(s, fakeSecret) || strings.Contains(s, fakeToken) || !strings.Contains(s, "orders") {
			t.Errorf("printed as %s", s)
		}
	}
}

func TestASecretThatTheProviderRepeatsIsBlanked(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(403)
		_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s\n and %s %s</Message></Error>", fakeSecret, fakeSecret, fakeToken, strings.Repeat("long ", 1000))
	})
	err := calls["put"](t.Context(), d)
	outcome{kind: errs.Denied}.check(t, err)
	if s := err.Error(); strings.ContainsAny(s, "\n\r") || len(s) > 500 {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}

func TestWithoutKeysNothingIsTakenFromTheEnvironment(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT")
	t.Setenv("AWS_SECRET_ACCESS_KEY", fakeSecret)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Errorf("signed as %s", r.Header.Get("Authorization"))
		}
		accept(w, r)
	}, func(o *s3blob.Options) { o.AccessKey, o.SecretKey, o.SessionToken = "", "", "" })
	for _, call := range []string{"put", "large put"} {
		if err := calls[call](t.Context(), d); err != nil {
			t.Error(err)
		}
	}
}

func TestTheBucketIsInThePathOrInTheHost(t *testing.T) {
	for name, tt := range map[string]struct {
		host       string
		path       bool
		inHost     string
		wantedPath string
	}{
		"a name":               {"s3.example.com", false, "orders.s3.example.com", "/k"},
		"a name, path style":   {"s3.example.com", true, "s3.example.com", "/orders/k"},
		"an IP address":        {"192.0.2.1", false, "192.0.2.1", "/orders/k"},
		"an IP address, v6":    {"[2001:db8::1]", false, "[2001:db8::1]", "/orders/k"},
		"this machine":         {"localhost", false, "localhost", "/orders/k"},
		"a name with a prefix": {"s3.example.com/gate/", true, "s3.example.com", "/gate/orders/k"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Host != tt.inHost || r.URL.Path != tt.wantedPath {
					t.Errorf("asked %s %s", r.Host, r.URL.Path)
				}
				accept(w, r)
			}))
			defer srv.Close()
			d := open(t, s3blob.Options{
				Bucket: "orders", Endpoint: "http://" + tt.host, PathStyle: tt.path, AccessKey: "a", SecretKey: fakeSecret,
				Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
				},
			})
			if err := calls["put"](t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestABucketIsMadeWhereItIsWanted(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || strings.Trim(r.URL.Path, "/") != "orders" || r.ContentLength > 0 {
			t.Errorf("asked %s %s with %d bytes", r.Method, r.URL, r.ContentLength)
		}
	}, func(o *s3blob.Options) { o.Region = "eu-north-1" })
	if err := blob.New("north", d).Make(t.Context()); err != nil {
		t.Error(err)
	}
}
