package s3api_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/s3api"
)

// world is a server over buckets in memory: "media" and "other".
type world struct {
	t      testing.TB
	srv    *s3api.Server
	http   *httptest.Server
	media  *blob.Bucket
	other  *blob.Bucket
	table  s3api.Table
	logs   *logs
	client *s3.Client // with all rights, path style
}

const domain = "s3.example.com"

// logs collects what the server logs.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, media: blob.New("mem", memblob.Open(memblob.Options{})), other: blob.New("mem2", memblob.Open(memblob.Options{})), logs: &logs{}}
	w.srv = s3api.New(s3api.Options{Log: slog.New(slog.NewTextHandler(w.logs, nil))})
	w.table = s3api.Table{
		Buckets: map[string]s3api.Store{"media": w.media, "other": w.other},
		Credentials: []s3api.Credential{
			{AccessKey: "root", SecretKey: "root-secret", Rights: s3api.Admin},
			{AccessKey: "writer", SecretKey: "writer-secret", Rights: s3api.Write, Buckets: []string{"media", "absent"}},
			{AccessKey: "reader", SecretKey: "reader-secret", Rights: s3api.Read},
			{AccessKey: "nothing", SecretKey: "nothing-secret"},
		},
		Domain: domain,
	}
	w.swap()
	w.http = httptest.NewServer(w.srv)
	t.Cleanup(w.http.Close)
	w.client = w.as("root")
	return w
}

// swap puts a copy of the table in force.
func (w *world) swap() {
	table := w.table
	w.srv.Swap(&table)
}

// with puts a store in the place of media.
func (w *world) with(s s3api.Store) {
	w.table.Buckets = map[string]s3api.Store{"media": s, "other": w.other}
	w.swap()
}

func provider(key string) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: key, SecretAccessKey: key + "-secret"}, nil
	})
}

func (w *world) as(key string, more ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(w.http.URL), Region: "us-east-1", UsePathStyle: true, Credentials: provider(key), RetryMaxAttempts: 1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}, more...)
}

// secure gives a client that speaks TLS.
func (w *world) secure() *s3.Client {
	srv := httptest.NewTLSServer(w.srv)
	w.t.Cleanup(srv.Close)
	return w.as("root", func(o *s3.Options) { o.BaseEndpoint, o.HTTPClient = aws.String(srv.URL), srv.Client() })
}

// hosted gives a client of virtual-host style.
func (w *world) hosted() *s3.Client {
	addr := w.http.Listener.Addr().String()
	return w.as("root", func(o *s3.Options) {
		o.BaseEndpoint, o.UsePathStyle = aws.String("http://"+domain), false
		o.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		}}}
	})
}

// code gives an error's S3 code, or "".
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func (w *world) put(b *blob.Bucket, key, body string) blob.Object {
	w.t.Helper()
	o, err := b.Put(context.Background(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

// holds demands that media has the body under key; "" = no object.
func (w *world) holds(key, body string) {
	w.t.Helper()
	r, err := w.media.Get(context.Background(), key, blob.GetOptions{})
	if err != nil {
		if body != "" {
			w.t.Fatalf("%q: %v", key, err)
		}
		return
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != body {
		w.t.Fatalf("%q holds %d bytes %.40q, %v; want %.40q", key, len(got), got, err, body)
	}
}

// ask makes a request by hand; mutate may change it before it is signed.
func (w *world) ask(method, target, body string, mutate ...func(*http.Request)) *http.Request {
	w.t.Helper()
	var in io.Reader
	if body != "" || method == http.MethodPut || method == http.MethodPost {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, w.http.URL+target, in)
	if err != nil {
		w.t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	for _, m := range mutate {
		m(r)
	}
	return r
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// sign signs a request as key at a moment.
func sign(t testing.TB, r *http.Request, key string, at time.Time) *http.Request {
	t.Helper()
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	c := aws.Credentials{AccessKeyID: key, SecretAccessKey: key + "-secret"}
	if err := signer.SignHTTP(context.Background(), c, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", "us-east-1", at); err != nil {
		t.Fatal(err)
	}
	return r
}

// answer is what came, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// do signs the request as root and sends it.
func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	return w.send(sign(w.t, r, "root", time.Now()))
}

func (w *world) send(r *http.Request) answer {
	w.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(b), err: err}
}

// is demands a status and a code of error.
func (a answer) is(t testing.TB, status int, code string) {
	t.Helper()
	if a.status != status || code != "" && !strings.Contains(a.body, "<Code>"+code+"</Code>") {
		t.Fatalf("got %d %v %v %s, want %d %s", a.status, a.err, a.header, a.body, status, code)
	}
}
