// Package s3blob is a bucket at a provider that speaks S3: AWS, Cloudflare R2,
// MinIO, Ceph, versitygw and the many others.
//
// A [Driver] is a thin translation from [blob.Driver]. It sends every request
// once: what to repeat, when and where is decided above, where it is known
// whether a second provider has answered already. It believes no answer that
// it can check: a range that is not the one asked for, an entity tag that is
// not the MD5 of what was sent, a page that is out of order are
// [blob.ErrSuspect].
//
//	drv, err := s3blob.Open(s3blob.Options{
//		Bucket: "orders", Endpoint: "https://s3.example.com",
//		AccessKey: id, SecretKey: secret,
//	})
//	b := blob.New("virginia", drv)
package s3blob

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Options say which bucket it is and how it is reached.
type Options struct {
	Bucket   string
	Region   string // "" = us-east-1; "auto" for Cloudflare R2
	Endpoint string // base URL, http or https; "" = AWS in Region

	// Without keys, requests are anonymous: nothing is taken from the
	// environment or from files in the home folder.
	AccessKey, SecretKey string
	SessionToken         string // of temporary keys; "" = none

	// SignBodies signs large bodies chunk by chunk as they are sent: it costs a
	// SHA-256 of them, and a server cannot take a broken connection for the end of
	// one. Always so over plain http, where nothing else protects them. versitygw
	// needs it: without it, it stores what has come.
	SignBodies bool

	PathStyle  bool // endpoint/bucket/key instead of bucket.endpoint/key; always so where the endpoint is an IP address or localhost
	OpaqueTags bool // the provider's entity tags look like MD5 sums and are none: do not check them

	RootCAs  *x509.CertPool // nil = the machine's
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Timeouts Timeouts
}

// Timeouts of one request; zero values give the defaults. None bounds a whole
// body: how long that may take depends on its size.
type Timeouts struct {
	Dial time.Duration // of TCP, name look-up included, and again of the TLS handshake; default 3 s
	Idle time.Duration // without a byte of progress while the provider is waited for; default 30 s
	Work time.Duration // the same while the provider copies, or joins parts, by itself; default 5 min
}

// String names the bucket. The keys are left out, here as everywhere.
func (o Options) String() string {
	if o.Endpoint == "" {
		return "s3://" + o.Bucket + " in " + o.Region
	}
	return "s3://" + o.Bucket + " at " + o.Endpoint
}

// GoString is String, so that no way of printing shows a key.
func (o Options) GoString() string { return o.String() }

// LogValue is String for logs.
func (o Options) LogValue() slog.Value { return slog.StringValue(o.String()) }

// Driver is one bucket. It is safe for concurrent use.
type Driver struct {
	opt    Options
	keys   aws.Credentials
	client *s3.Client
	idle   func() // closes connections that are not in use
	redact *strings.Replacer
}

var (
	_ blob.Driver = (*Driver)(nil)
	_ blob.Maker  = (*Driver)(nil)
)

// Open gives a driver. It connects when it is asked something. Requests are
// dated by the provider's clock as its last answer told it: a clock that is
// wrong here fails the first request only (blob.ErrSkew).
func Open(o Options) (*Driver, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	t := transport(o)
	d := &Driver{opt: o, idle: t.CloseIdleConnections, redact: redactor(o.SecretKey, o.SessionToken)}
	so := s3.Options{
		Region:       o.Region,
		UsePathStyle: o.PathStyle,
		Credentials:  d.credentials(),
		Retryer:      aws.NopRetryer{},
		Logger:       logging.Nop{},
		// The checksums that the SDK adds by itself are trailers, which need TLS
		// and which some providers refuse. MD5 by the entity tag and SHA-256
		// above do their work.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		HTTPClient: &http.Client{
			Transport:     t,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		DisableS3ExpressSessionAuth: aws.Bool(true),
	}
	if o.Endpoint != "" {
		so.BaseEndpoint = aws.String(o.Endpoint)
	}
	d.client = s3.New(so)
	return d, nil
}

// Close closes the idle connections.
func (d *Driver) Close() error {
	d.idle()
	return nil
}

func (d *Driver) bucket() *string { return aws.String(d.opt.Bucket) }

// complete checks the options and puts in what is left open.
func (o *Options) complete() error {
	switch {
	case o.Bucket == "" || strings.ContainsAny(o.Bucket, "/ \t\r\n?#"):
		return errs.E(errs.Invalid, "%q is not a bucket's name", o.Bucket)
	case (o.AccessKey == "") != (o.SecretKey == ""):
		return errs.E(errs.Invalid, "bucket %s: an access key and a secret key belong together, one of them is missing", o.Bucket)
	case o.SessionToken != "" && o.AccessKey == "":
		return errs.E(errs.Invalid, "bucket %s: there is a session token and no access key", o.Bucket)
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return errs.E(errs.Invalid, "bucket %s: the endpoint is not a URL such as https://s3.example.com", o.Bucket)
		}
		if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return errs.E(errs.Invalid, "bucket %s: the endpoint is a URL with a host and at most a path: keys are given apart", o.Bucket)
		}
		o.SignBodies = o.SignBodies || u.Scheme == "http"
		o.PathStyle = o.PathStyle || u.Hostname() == "localhost" // for an IP address the SDK does so
		o.Endpoint = strings.TrimRight(o.Endpoint, "/")
	}
	o.SignBodies = o.SignBodies && o.AccessKey != ""
	o.Timeouts.complete()
	return nil
}

func (t *Timeouts) complete() {
	if t.Dial <= 0 {
		t.Dial = 3 * time.Second
	}
	if t.Idle <= 0 {
		t.Idle = 30 * time.Second
	}
	if t.Work <= 0 {
		t.Work = 5 * time.Minute
	}
}

func (d *Driver) credentials() aws.CredentialsProvider {
	if d.opt.AccessKey == "" {
		return aws.AnonymousCredentials{}
	}
	d.keys = aws.Credentials{AccessKeyID: d.opt.AccessKey, SecretAccessKey: d.opt.SecretKey, SessionToken: d.opt.SessionToken, Source: "estate"}
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return d.keys, nil })
}

// redactor blanks secrets in what a provider says, should it repeat one.
func redactor(secrets ...string) *strings.Replacer {
	var pairs []string
	for _, s := range secrets {
		if s != "" {
			pairs = append(pairs, s, "[secret]")
		}
	}
	return strings.NewReplacer(pairs...)
}
