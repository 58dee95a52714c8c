package sigv4_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/sparecloud/spare/internal/s3api/sigv4"
)

// odd is what keys and parameters are made of here.
var odd = []string{"a", "Z", "0", "/", "//", ".", "..", " ", "  ", "+", "%", "%2F", "%20", "é", "日本", "\U0001F600", "~", "-", "_", "!", "*", "'", "(", ")", ";", ":", "@", "&", "=", "$", ",", "?", "#", "[", "]", "\"", "<", "|", "\\", "^", "`", "{", "\x01", "\u00a0"}

func oddString(rnd *rand.Rand) string {
	var b strings.Builder
	for range rnd.IntN(12) {
		b.WriteString(odd[rnd.IntN(len(odd))])
	}
	return b.String()
}

// path escapes as the SDK does: all but the unreserved characters and "/".
func path(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(key), "+", "%20"), "%2F", "/")
}

// served gives the request as a server would read it off the line.
func served(t testing.TB, r *http.Request) *http.Request {
	t.Helper()
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&b))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func randomRequest(t testing.TB, rnd *rand.Rand) *http.Request {
	key := oddString(rnd)
	target := &url.URL{Scheme: "http", Host: "s3.example.com:9000", Path: "/b/" + key, RawPath: "/b/" + path(key)}
	var query []string
	for i := range rnd.IntN(4) {
		query = append(query, fmt.Sprintf("p%d%s=%s", i, url.QueryEscape(oddString(rnd)), url.QueryEscape(oddString(rnd))))
	}
	target.RawQuery = strings.Join(query, "&")
	method := []string{"GET", "PUT", "DELETE", "POST", "HEAD"}[rnd.IntN(5)]
	r := &http.Request{Method: method, URL: target, Host: target.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	r.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	for i := range rnd.IntN(3) {
		r.Header.Set(fmt.Sprintf("X-Amz-Meta-M%d", i), strings.Map(func(c rune) rune {
			if c < ' ' {
				return 'x'
			}
			return c
		}, oddString(rnd)))
	}
	return r
}

var creds = aws.Credentials{AccessKeyID: "key/with/slashes", SecretAccessKey: "secret"}

func TestAgreesWithTheSDKOnRandomRequests(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	for i := range 5000 {
		r := randomRequest(t, rnd)
		now := time.Unix(1_700_000_000+rnd.Int64N(1e8), 0).UTC()
		presigned := rnd.IntN(2) == 0
		if presigned {
			q := "X-Amz-Expires=600"
			if r.URL.RawQuery != "" {
				q = r.URL.RawQuery + "&" + q
			}
			r.URL.RawQuery = q
			signed, header, err := signer.PresignHTTP(context.Background(), creds, r, "UNSIGNED-PAYLOAD", "s3", "eu-west-3", now)
			if err != nil {
				t.Fatal(err)
			}
			if r.URL, err = url.Parse(signed); err != nil {
				t.Fatal(err)
			}
			r.Header = header
		} else if err := signer.SignHTTP(context.Background(), creds, r, "UNSIGNED-PAYLOAD", "s3", "eu-west-3", now); err != nil {
			t.Fatal(err)
		}
		got := served(t, r)
		sig, err := sigv4.Parse(got)
		if err != nil {
			t.Fatalf("seed %d, request %d, %s: %v", seed, i, got.RequestURI, err)
		}
		if sig.Presigned != presigned || sig.Region != "eu-west-3" || sig.AccessKey != creds.AccessKeyID {
			t.Fatalf("seed %d, request %d: got %+v", seed, i, sig)
		}
		if err := sig.Verify(got, creds.SecretAccessKey, now); err != nil {
			t.Fatalf("seed %d, request %d, %s %s %v: %v", seed, i, got.Method, got.RequestURI, got.Header, err)
		}
	}
}
