package s3api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/s3api"
)

func TestCredentialsDoWhatTheyMayAndNoMore(t *testing.T) {
	w := newWorld(t)
	w.put(w.media, "k", "x")
	w.put(w.other, "k", "x")
	const denied = "AccessDenied"
	tests := []struct{ method, target, root, writer, reader, nothing string }{
		{"GET", "/", "", "", "", ""},
		{"HEAD", "/media", "", "", "", "403"},
		{"HEAD", "/other", "", "403", "", "403"},
		{"HEAD", "/absent", "404", "404", "404", "403"},
		{"HEAD", "/unlisted", "404", "403", "404", "403"},
		{"GET", "/media/k", "", "", "", denied},
		{"GET", "/other/k", "", denied, "", denied},
		{"GET", "/media?list-type=2", "", "", "", denied},
		{"GET", "/other", "", denied, "", denied},
		{"PUT", "/media/new", "", "", denied, denied},
		{"PUT", "/other/new", "", denied, denied, denied},
		{"DELETE", "/media/new", "", "", denied, denied},
		{"POST", "/media/up?uploads", "", "", denied, denied},
		{"PUT", "/media", "", "", "", denied},
		{"PUT", "/absent", "NotImplemented", "NotImplemented", "NotImplemented", denied},
		{"DELETE", "/media", "NotImplemented", denied, denied, denied},
	}
	for _, test := range tests {
		for key, want := range map[string]string{"root": test.root, "writer": test.writer, "reader": test.reader, "nothing": test.nothing} {
			a := w.send(sign(t, w.ask(test.method, test.target, ""), key, time.Now()))
			ok := a.status < 300
			switch {
			case want == "" && !ok, want != "" && ok:
				t.Errorf("%s %s as %s: got %d %s, want %q", test.method, test.target, key, a.status, a.body, want)
			case test.method == "HEAD" && !ok && fmt.Sprint(a.status) != want, test.method != "HEAD" && want != "" && !strings.Contains(a.body, want):
				t.Errorf("%s %s as %s: got %d %s, want %s", test.method, test.target, key, a.status, a.body, want)
			}
		}
	}
	copied := w.send(sign(t, w.ask("PUT", "/media/stolen", "", header("X-Amz-Copy-Source", "/other/k")), "writer", time.Now()))
	copied.is(t, 403, denied)
}

func TestBucketsAreListedToThoseWhoMayKnowOfThem(t *testing.T) {
	w := newWorld(t)
	for key, want := range map[string][]string{"root": {"media", "other"}, "writer": {"media"}} {
		out, err := w.as(key).ListBuckets(ctx, &s3.ListBucketsInput{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, b := range out.Buckets {
			names = append(names, *b.Name)
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s sees %q", key, names)
		}
	}
	out, err := w.client.ListBuckets(ctx, &s3.ListBucketsInput{MaxBuckets: aws.Int32(1)})
	if err != nil || len(out.Buckets) != 1 || out.ContinuationToken == nil {
		t.Fatalf("%+v, %v", out, err)
	}
	out, err = w.client.ListBuckets(ctx, &s3.ListBucketsInput{MaxBuckets: aws.Int32(1), ContinuationToken: out.ContinuationToken})
	if err != nil || len(out.Buckets) != 1 || *out.Buckets[0].Name != "other" || out.ContinuationToken != nil {
		t.Fatalf("%+v, %v", out, err)
	}
}

func TestRequestsOfNobodyAndOfStrangersAreRefused(t *testing.T) {
	w := newWorld(t)
	w.put(w.media, "k", "x")
	w.send(w.ask("GET", "/media/k", "")).is(t, 403, "AccessDenied")
	w.send(sign(t, w.ask("GET", "/media/k", ""), "stranger", time.Now())).is(t, 403, "InvalidAccessKeyId")
	w.send(sign(t, w.ask("GET", "/media/k", ""), "root", time.Now().Add(-16*time.Minute))).is(t, 403, "RequestTimeTooSkewed")
	w.send(sign(t, w.ask("GET", "/media/k", ""), "root", time.Now().Add(16*time.Minute))).is(t, 403, "RequestTimeTooSkewed")
	r := sign(t, w.ask("GET", "/media/k", ""), "root", time.Now())
	r.URL.Path = "/media/l"
	w.send(r).is(t, 403, "SignatureDoesNotMatch")
	r = sign(t, w.ask("GET", "/media/k", ""), "root", time.Now())
	r.Header.Set("X-Amz-Meta-Later", "1")
	w.send(r).is(t, 403, "AccessDenied")
	w.table.Credentials = append(w.table.Credentials, s3api.Credential{AccessKey: "open", Rights: s3api.Admin})
	w.swap()
	r = w.ask("GET", "/media/k", "")
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err := signer.SignHTTP(ctx, aws.Credentials{AccessKeyID: "open"}, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", "us-east-1", time.Now()); err != nil {
		t.Fatal(err)
	}
	w.send(r).is(t, 403, "InvalidAccessKeyId")
	r = w.ask("GET", "/media/k", "")
	r.Header.Set("Authorization", "AWS root:abc=")
	w.send(r).is(t, 400, "InvalidRequest")
}

func TestAnotherRegionIsToldTheRightOne(t *testing.T) {
	w := newWorld(t)
	w.table.Region = "eu-west-3"
	w.swap()
	a := w.do(w.ask("GET", "/media", ""))
	a.is(t, 400, "AuthorizationHeaderMalformed")
	if !strings.Contains(a.body, "<Region>eu-west-3</Region>") || a.header.Get("X-Amz-Bucket-Region") != "eu-west-3" {
		t.Fatal(a.body)
	}
	client := w.as("root", func(o *s3.Options) { o.Region = "eu-west-3" })
	out, err := client.GetBucketLocation(ctx, &s3.GetBucketLocationInput{Bucket: aws.String("media")})
	if err != nil || out.LocationConstraint != "eu-west-3" {
		t.Fatalf("%+v, %v", out, err)
	}
	if _, err := client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("media")}); code(err) != "BucketAlreadyOwnedByYou" {
		t.Fatal(err)
	}
}

func TestWhatIsNotOfferedIsSaidToBeSo(t *testing.T) {
	w := newWorld(t)
	w.put(w.media, "k", "before")
	for _, sub := range strings.Fields("tagging lifecycle policy versions object-lock cors website encryption logging notification replication accelerate requestPayment ownershipControls publicAccessBlock intelligent-tiering&id=1 inventory analytics metrics policyStatus session metadataTable") {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			w.do(w.ask(method, "/media?"+sub, "")).is(t, 501, "NotImplemented")
		}
	}
	for _, target := range []string{"tagging", "torrent", "retention", "legal-hold", "restore", "select&select-type=2", "attributes", "partNumber=1", "versionId=abc", "renameObject", "something=new", "uploads&uploadId=1"} {
		for _, method := range []string{"GET", "PUT", "DELETE", "POST", "HEAD"} {
			w.do(w.ask(method, "/media/k?"+target, "")).is(t, 501, "")
		}
	}
	for name, value := range map[string]string{
		"x-amz-server-side-encryption": "AES256", "x-amz-server-side-encryption-customer-algorithm": "AES256", "x-amz-object-lock-mode": "GOVERNANCE", "x-amz-tagging": "a=b",
		"x-amz-website-redirect-location": "/x", "x-amz-storage-class": "GLACIER", "x-amz-acl": "public-read", "x-amz-grant-read": "id=1", "x-amz-write-offset-bytes": "1",
		"x-amz-expected-bucket-owner": "123456789012", "x-amz-something-new": "1",
	} {
		w.do(w.ask("PUT", "/media/k", "after", header(name, value))).is(t, 501, "NotImplemented")
	}
	for _, method := range []string{"PATCH", "OPTIONS", "TRACE"} {
		w.do(w.ask(method, "/media/k", "")).is(t, 501, "NotImplemented")
	}
	w.do(w.ask("POST", "/media", "")).is(t, 501, "NotImplemented")
	w.holds("k", "before")
	w.do(w.ask("PUT", "/media/k", "after", header("x-amz-acl", "private"), header("x-amz-storage-class", "STANDARD"))).is(t, 200, "")
	w.do(w.ask("GET", "/media/k?x-id=GetObject&versionId=null&x-anything=1", "")).is(t, 200, "")
	w.holds("k", "after")
}

func TestACLsSayThatAllIsPrivate(t *testing.T) {
	w := newWorld(t)
	w.put(w.media, "k", "x")
	for _, target := range []string{"/media?acl", "/media/k?acl"} {
		if a := w.do(w.ask("GET", target, "")); a.status != 200 || !strings.Contains(a.body, "<Permission>FULL_CONTROL</Permission>") || strings.Count(a.body, "<Grant>") != 1 {
			t.Errorf("%s: %d %s", target, a.status, a.body)
		}
		w.do(w.ask("PUT", target, "", header("x-amz-acl", "bucket-owner-full-control"))).is(t, 200, "")
		w.do(w.ask("PUT", target, "<AccessControlPolicy/>")).is(t, 501, "NotImplemented")
	}
	w.do(w.ask("GET", "/media/none?acl", "")).is(t, 404, "NoSuchKey")
	w.do(w.ask("PUT", "/media/none?acl", "", header("x-amz-acl", "private"))).is(t, 404, "NoSuchKey")
	if a := w.do(w.ask("GET", "/media?versioning", "")); a.status != 200 || strings.Contains(a.body, "Status") {
		t.Errorf("versioning: %d %s", a.status, a.body)
	}
}

func TestLimitsAreKept(t *testing.T) {
	w := newWorld(t)
	w.do(w.ask("PUT", "/media/"+strings.Repeat("k", 1025), "x")).is(t, 400, "KeyTooLongError")
	w.do(w.ask("PUT", "/media/%FF", "x")).is(t, 400, "InvalidURI")
	w.do(w.ask("PUT", "/media/k", "x", header("x-amz-meta-m", strings.Repeat("m", 2048)))).is(t, 400, "MetadataTooLarge")
	w.do(w.ask("PUT", "/media/k", "x", header("Content-Type", "text/\xff"))).is(t, 400, "InvalidArgument")
	w.do(w.ask("GET", "/media/k", "", header("X-Large", strings.Repeat("m", 64<<10)))).is(t, 400, "RequestHeaderSectionTooLarge")
	w.do(w.ask("PUT", "/media/k?partNumber=0&uploadId=a", "x")).is(t, 400, "InvalidArgument")
	w.do(w.ask("PUT", "/media/k?partNumber=10001&uploadId=a", "x")).is(t, 400, "InvalidArgument")
	w.do(w.ask("PUT", "/media/k?partNumber=1&uploadId=a", "x")).is(t, 404, "NoSuchUpload")
	w.do(w.ask("PUT", "/media/k?partNumber=1&partNumber=2&uploadId=a", "x")).is(t, 400, "InvalidArgument")
	w.do(w.ask("POST", "/media?delete", "<Delete><Object><Key>k</Key></Object>")).is(t, 400, "MalformedXML")
	w.do(w.ask("POST", "/media?delete", "<Delete><Object><Key>k</Key></Object>"+strings.Repeat(" ", 2<<20)+"</Delete>")).is(t, 400, "MalformedXML")
	w.do(w.ask("POST", "/media/k?uploadId=a", "<CompleteMultipartUpload/>")).is(t, 400, "MalformedXML")
	w.do(w.ask("POST", "/media/k?uploadId=a", "<CompleteMultipartUpload><Part><PartNumber>2</PartNumber><ETag>a</ETag></Part><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part></CompleteMultipartUpload>")).is(t, 400, "InvalidPartOrder")
	for _, q := range []string{"max-keys=-1", "max-keys=x", "max-keys=99999999999", "encoding-type=base64", "list-type=3", "list-type=2&continuation-token=!", "list-type=2&continuation-token="} {
		w.do(w.ask("GET", "/media?"+q, "")).is(t, 400, "InvalidArgument")
	}
}

// faulty is a store whose every call fails, or whose bodies break.
type faulty struct {
	*blob.Bucket
	err   error
	after int64 // bytes of a body before it fails
}

func (f *faulty) Head(context.Context, string) (blob.Object, error) { return blob.Object{}, f.err }

func (f *faulty) Put(_ context.Context, _ string, body io.Reader, _ int64, _ blob.PutOptions) (blob.Object, error) {
	_, _ = io.Copy(io.Discard, body)
	return blob.Object{}, f.err
}

func (f *faulty) Delete(context.Context, string, blob.DeleteOptions) error { return f.err }

func (f *faulty) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	r, err := f.Bucket.Get(ctx, key, o)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, f.after), broken{}))
	return r, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errs.E(errs.Unavailable, "the provider died") }

func TestErrorsOfStoresBecomeThoseOfS3(t *testing.T) {
	w := newWorld(t)
	plain := errors.New("secret detail")
	for _, test := range []struct {
		err    error
		status int
		code   string
		header string
	}{
		{errs.E(errs.NotFound, "none"), 404, "NoSuchKey", ""},
		{errs.E(errs.Conflict, "other"), 412, "PreconditionFailed", ""},
		{errs.E(errs.Unavailable, "secret detail"), 503, "ServiceUnavailable", "Retry-After"},
		{errs.MaybeApplied(errs.E(errs.Unavailable, "secret detail")), 503, "ServiceUnavailable", "X-Spare-May-Have-Applied"},
		{errs.E(errs.Denied, "secret detail"), 503, "ServiceUnavailable", "Retry-After"},
		{errs.E(errs.Stale, "secret detail"), 503, "ServiceUnavailable", "Retry-After"},
		{errs.Wrap(errs.Unavailable, blob.ErrNoBucket, "secret detail"), 503, "ServiceUnavailable", "Retry-After"},
		{errs.Wrap(errs.Unavailable, blob.ErrFull, "secret detail"), 503, "ServiceUnavailable", "Retry-After"},
		{errs.Wrap(errs.Denied, blob.ErrSkew, "secret detail"), 503, "ServiceUnavailable", "Retry-After"},
		{errs.Wrap(errs.NotFound, blob.ErrNoUpload, "a"), 404, "NoSuchUpload", ""},
		{errs.Wrap(errs.Invalid, blob.ErrPart, "a"), 400, "InvalidPart", ""},
		{errs.Wrap(errs.Invalid, blob.ErrTooSmall, "a"), 400, "EntityTooSmall", ""},
		{errs.Wrap(errs.Invalid, blob.ErrShort, "a"), 400, "IncompleteBody", ""},
		{errs.Wrap(errs.Invalid, blob.ErrDigest, "a"), 400, "BadDigest", ""},
		{errs.E(errs.Invalid, "say this"), 400, "InvalidArgument", ""},
		{errs.WithHint(errs.E(errs.Unsupported, "say this"), "and this"), 501, "NotImplemented", ""},
		{plain, 500, "InternalError", ""},
	} {
		w.with(&faulty{Bucket: w.media, err: test.err})
		a := w.do(w.ask("PUT", "/media/k", "x"))
		a.is(t, test.status, test.code)
		if strings.Contains(a.body, "secret detail") {
			t.Errorf("%v: the answer names what is ours: %s", test.err, a.body)
		}
		if strings.Contains(test.err.Error(), "say this") != strings.Contains(a.body, "say this") || errs.Hint(test.err) != "" && !strings.Contains(a.body, "and this") {
			t.Errorf("%v: %s", test.err, a.body)
		}
		if errors.Is(test.err, blob.ErrNoBucket) && !strings.Contains(a.body, "bucket is missing") {
			t.Errorf("%v: %s", test.err, a.body)
		}
		if test.header != "" && a.header.Get(test.header) == "" {
			t.Errorf("%v: no %s in %v", test.err, test.header, a.header)
		}
		for _, element := range []string{"<Resource>/media/k</Resource>", "<RequestId>" + a.header.Get("X-Amz-Request-Id") + "</RequestId>", "<HostId>"} {
			if !strings.Contains(a.body, element) {
				t.Errorf("%v: no %s in %s", test.err, element, a.body)
			}
		}
		if logged := strings.Contains(w.logs.String(), a.header.Get("X-Amz-Request-Id")); logged != (test.status >= 500 && test.status != 501) {
			t.Errorf("%v: logged %v", test.err, logged)
		}
		if head := w.do(w.ask("HEAD", "/media/k", "")); head.status != test.status || head.body != "" {
			t.Errorf("HEAD, %v: got %d %q", test.err, head.status, head.body)
		}
	}
}

func TestABodyThatFailsIsCutAndNeverEnded(t *testing.T) {
	w := newWorld(t)
	body := string(bytes.Repeat([]byte("0123456789"), 30_000))
	w.put(w.media, "k", body)
	f := &faulty{Bucket: w.media, after: 200_000}
	w.with(f)
	if a := w.do(w.ask("GET", "/media/k", "")); a.status != 200 || !errors.Is(a.err, io.ErrUnexpectedEOF) || len(a.body) > 200_000 {
		t.Fatalf("in the middle: %d, %d bytes, %v", a.status, len(a.body), a.err)
	}
	f.after = int64(len(body)) // a store that finds the checksum wrong at the very end
	if a := w.do(w.ask("GET", "/media/k", "")); a.err == nil || len(a.body) == len(body) {
		t.Fatalf("at its end: %d, %d bytes, %v", a.status, len(a.body), a.err)
	}
	f.after = 0
	w.do(w.ask("GET", "/media/k", "")).is(t, 503, "ServiceUnavailable")
	f.after = 3
	w.do(w.ask("GET", "/media/k", "", header("Range", "bytes=0-3"))).is(t, 503, "ServiceUnavailable")
	cut := uint64(0)
	w.srv.Stats().Requests(func(op string, class int, n uint64) {
		if op == "GetObject" && class == 0 {
			cut = n
		}
	})
	if cut != 2 {
		t.Errorf("%d cut answers were counted", cut)
	}
}

// plain is a store like a replicated bucket that cannot do conditions.
type plain struct{ *blob.Bucket }

func (p plain) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	if o.If.Set() {
		return blob.Object{}, errs.WithHint(errs.E(errs.Unsupported, "conditional writes are off in this bucket"), "Set conditional: true.")
	}
	return p.Bucket.Put(ctx, key, body, size, o)
}

func TestAConditionThatAStoreCannotKeepIsRefused(t *testing.T) {
	w := newWorld(t)
	w.with(plain{w.media})
	a := w.do(w.ask("PUT", "/media/k", "x", header("If-None-Match", "*")))
	a.is(t, 501, "NotImplemented")
	if !strings.Contains(a.body, "Set conditional: true.") {
		t.Fatal(a.body)
	}
	w.holds("k", "")
	w.do(w.ask("PUT", "/media/k", "x")).is(t, 200, "")
}

func TestClosedBucketsSayWhy(t *testing.T) {
	w := newWorld(t)
	w.table.Closed = map[string]error{"shut": errs.E(errs.Unavailable, "no provider answers")}
	w.swap()
	w.do(w.ask("GET", "/shut/k", "")).is(t, 503, "ServiceUnavailable")
	if a := w.do(w.ask("GET", "/", "")); !strings.Contains(a.body, "<Name>other</Name>") || !strings.Contains(a.body, "<Name>shut</Name>") {
		t.Error(a.body)
	}
	w.do(w.ask("PUT", "/shut", "")).is(t, 503, "ServiceUnavailable")
	w.do(w.ask("PUT", "/media/k", "", header("X-Amz-Copy-Source", "shut/k"))).is(t, 503, "ServiceUnavailable")
}

func TestWithoutATableNothingIsServed(t *testing.T) {
	rec := httptest.NewRecorder()
	s3api.New(s3api.Options{Log: slog.New(slog.DiscardHandler)}).ServeHTTP(rec, httptest.NewRequest("GET", "/media/k", nil))
	if rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Fatalf("got %d %v", rec.Code, rec.Header())
	}
}

func TestWhatHappensIsCounted(t *testing.T) {
	w := newWorld(t)
	w.do(w.ask("PUT", "/media/k", "hello")).is(t, 200, "")
	w.do(w.ask("GET", "/media/k", "")).is(t, 200, "")
	w.do(w.ask("GET", "/media/none", "")).is(t, 404, "")
	w.do(w.ask("GET", "/media/k?tagging", "")).is(t, 501, "")
	got := map[string]uint64{}
	w.srv.Stats().Requests(func(op string, class int, n uint64) { got[fmt.Sprint(op, " ", class)] = n })
	for name, n := range map[string]uint64{"PutObject 2": 1, "GetObject 2": 1, "GetObject 4": 1, "Other 5": 1} {
		if got[name] != n {
			t.Errorf("%s: %d, want %d", name, got[name], n)
		}
	}
	if s := w.srv.Stats(); s.BytesIn.Load() != 5 || s.BytesOut.Load() < 5 || s.InFlight.Load() != 0 {
		t.Errorf("in %d, out %d, in flight %d", s.BytesIn.Load(), s.BytesOut.Load(), s.InFlight.Load())
	}
}

var _ http.Handler = (*s3api.Server)(nil)
