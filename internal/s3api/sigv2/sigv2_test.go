package sigv2_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/sigv2"
)

// The example of the developer guide, with its credentials.
const (
	example = "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620"
	secret  = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
)

var expires = time.Unix(1175139620, 0)

func request(t testing.TB, method, uri string, header ...string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + uri + " HTTP/1.1\r\nHost: johnsmith.s3.amazonaws.com\r\n" + strings.Join(append(header, "", ""), "\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestThePublishedExampleVerifies(t *testing.T) {
	for name, test := range map[string]struct {
		method, uri, header, bucket, secret string
		at                                  time.Time
		want                                s3err.Code
	}{
		"as it is":         {"GET", example, "", "johnsmith", secret, expires, s3err.Code{}},
		"expired":          {"GET", example, "", "johnsmith", secret, expires.Add(time.Second), s3err.AccessDenied},
		"too long a life":  {"GET", example, "", "johnsmith", secret, expires.Add(-7*24*time.Hour - time.Second), s3err.AccessDenied},
		"another secret":   {"GET", example, "", "johnsmith", secret + "x", expires, s3err.SignatureDoesNotMatch},
		"another bucket":   {"GET", example, "", "johnsmit", secret, expires, s3err.SignatureDoesNotMatch},
		"another method":   {"PUT", example, "", "johnsmith", secret, expires, s3err.SignatureDoesNotMatch},
		"another key":      {"GET", strings.Replace(example, "puppy", "kitty", 1), "", "johnsmith", secret, expires, s3err.SignatureDoesNotMatch},
		"a subresource":    {"GET", example + "&acl", "", "johnsmith", secret, expires, s3err.SignatureDoesNotMatch},
		"an override":      {"GET", example + "&response-content-type=text/html", "", "johnsmith", secret, expires, s3err.SignatureDoesNotMatch},
		"a header":         {"GET", example, "x-amz-meta-a: b", "johnsmith", secret, expires, s3err.SignatureDoesNotMatch},
		"a header in URL":  {"GET", example + "&x-amz-acl=private", "", "johnsmith", secret, expires, s3err.SignatureDoesNotMatch},
		"a content type":   {"GET", example, "Content-Type: text/html", "johnsmith", secret, expires, s3err.SignatureDoesNotMatch},
		"a longer life":    {"GET", strings.Replace(example, "1175139620", "1175139621", 1), "", "johnsmith", secret, expires, s3err.SignatureDoesNotMatch},
		"unsigned listing": {"GET", example + "&prefix=a", "", "johnsmith", secret, expires, s3err.AccessDenied},
		"posted":           {"POST", example, "", "johnsmith", secret, expires, s3err.AccessDenied},
		"framed body":      {"PUT", example, "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER", "johnsmith", secret, expires, s3err.InvalidRequest},
		"no signature":     {"GET", strings.Replace(example, "Signature", "X-Other", 1), "", "johnsmith", secret, expires, s3err.AccessDenied},
		"no end":           {"GET", strings.Replace(example, "1175139620", "soon", 1), "", "johnsmith", secret, expires, s3err.AccessDenied},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, test.method, test.uri, test.header)
			if test.header == "" {
				r = request(t, test.method, test.uri)
			}
			sig, err := sigv2.Parse(r)
			if err == nil {
				err = sig.Verify(r, test.bucket, test.secret, test.at)
			}
			if ok := test.want.Name == ""; ok && err != nil || !ok && !s3err.Is(err, test.want) {
				t.Fatalf("got %v, want %q", err, test.want.Name)
			}
		})
	}
}

func TestOtherRequestsAreLeftAlone(t *testing.T) {
	if sig, err := sigv2.Parse(request(t, "GET", "/?list-type=2&prefix=a")); sig != nil || err != nil {
		t.Fatalf("got %v, %v", sig, err)
	}
}
