package target_test

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/s3api/offer"
	"github.com/sparecloud/spare/internal/s3api/target"
)

const domain = "s3.Example.com"

func request(t testing.TB, uri, host string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + uri + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")))
	if err != nil {
		t.Skip(err)
	}
	return r
}

func TestBucketAndKeyAreFoundInPathAndHost(t *testing.T) {
	for _, test := range []struct {
		uri, host, bucket, key string
		scope                  offer.Scope
	}{
		{"/", "s3.example.com", "", "", offer.Service},
		{"/b", "s3.example.com", "b", "", offer.Bucket},
		{"/b/", "s3.example.com", "b", "", offer.Bucket},
		{"/b/k", "127.0.0.1:9000", "b", "k", offer.Object},
		{"/b//k", "x", "b", "/k", offer.Object},
		{"/b/a//b/../c/./", "x", "b", "a//b/../c/./", offer.Object},
		{"/b/a%2Fb%252F%20%2B+", "x", "b", "a/b%2F ++", offer.Object},
		{"/", "b.s3.example.com", "b", "", offer.Bucket},
		{"/k", "B.S3.example.COM:9000", "b", "k", offer.Object},
		{"/k", "a.b.s3.example.com", "a.b", "k", offer.Object},
		{"//k", "b.s3.example.com", "b", "/k", offer.Object},
		{"/k", "bs3.example.com", "k", "", offer.Bucket},
		{"http://b.s3.example.com/k", "other", "b", "k", offer.Object},
	} {
		got, err := target.Parse(request(t, test.uri, test.host), domain)
		if err != nil || got.Bucket != test.bucket || got.Key != test.key || got.Scope() != test.scope {
			t.Errorf("%s at %s: got %q %q %v, %v", test.uri, test.host, got.Bucket, got.Key, got.Scope(), err)
		}
	}
	if _, err := target.Parse(request(t, "//k", "s3.example.com"), domain); err == nil {
		t.Error("a path without a bucket is taken")
	}
	if _, err := target.Parse(request(t, "/b?a=1&a=2", "x"), domain); err == nil {
		t.Error("a parameter that is given twice is taken")
	}
}

func FuzzKey(f *testing.F) {
	for _, key := range []string{"a", "a//b", "../..", "%2F", "a b+c", "\x00\xff", "é", "?#;&="} {
		f.Add(key, true)
		f.Add(key, false)
	}
	f.Fuzz(func(t *testing.T, key string, hosted bool) {
		uri, host := "/b/", "x"
		if hosted {
			uri, host = "/", "b.s3.example.com"
		}
		escaped := strings.ReplaceAll(url.QueryEscape(key), "+", "%20")
		got, err := target.Parse(request(t, uri+escaped, host), domain)
		if err != nil || got.Bucket != "b" || got.Key != key {
			t.Fatalf("%q became %q in %q, %v", key, got.Key, got.Bucket, err)
		}
	})
}
