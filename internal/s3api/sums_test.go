package s3api_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

func TestTheWholesChecksumIsComparedBeforeItIsMade(t *testing.T) {
	w := newWorld(t)
	first, second := strings.Repeat("a", 5<<20), "tail"
	made, err := w.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("media"), Key: aws.String("k"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32, ChecksumType: types.ChecksumTypeFullObject})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	for n, piece := range []string{first, second} {
		number := int32(n + 1)
		part, err := w.client.UploadPart(ctx, &s3.UploadPartInput{Bucket: aws.String("media"), Key: aws.String("k"), UploadId: made.UploadId, PartNumber: &number, Body: strings.NewReader(piece), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: &number, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32})
	}
	complete := func(change func(*s3.CompleteMultipartUploadInput)) (string, *s3.CompleteMultipartUploadOutput) {
		in := &s3.CompleteMultipartUploadInput{
			Bucket: aws.String("media"), Key: aws.String("k"), UploadId: made.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
			ChecksumCRC32: aws.String(base64CRC32(first + second)), ChecksumType: types.ChecksumTypeFullObject,
		}
		change(in)
		out, err := w.client.CompleteMultipartUpload(ctx, in)
		if err != nil {
			return code(err), nil
		}
		return "ok", out
	}
	for name, test := range map[string]struct {
		change func(*s3.CompleteMultipartUploadInput)
		want   string
	}{
		"another sum":      {func(in *s3.CompleteMultipartUploadInput) { in.ChecksumCRC32 = aws.String(base64CRC32("x")) }, "BadDigest"},
		"as a sum of sums": {func(in *s3.CompleteMultipartUploadInput) { in.ChecksumType = types.ChecksumTypeComposite }, "BadDigest"},
		"another size":     {func(in *s3.CompleteMultipartUploadInput) { in.MpuObjectSize = aws.Int64(1) }, "InvalidRequest"},
		"parts without sums": {func(in *s3.CompleteMultipartUploadInput) {
			in.MultipartUpload.Parts = []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: parts[0].ETag}}
		}, "InvalidRequest"},
		"a part that is missing": {func(in *s3.CompleteMultipartUploadInput) {
			in.MultipartUpload.Parts = append(parts[:2:2], types.CompletedPart{PartNumber: aws.Int32(3), ETag: parts[0].ETag})
		}, "InvalidPart"},
	} {
		if got, _ := complete(test.change); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
		w.holds("k", "")
	}
	got, out := complete(func(*s3.CompleteMultipartUploadInput) {})
	if got != "ok" || aws.ToString(out.ChecksumCRC32) != base64CRC32(first+second) {
		t.Fatalf("%s, %+v", got, out)
	}
	w.holds("k", first+second)
}

func TestChecksumsOfTheWholeAreNotGivenWithAPart(t *testing.T) {
	w := newWorld(t)
	w.do(w.ask("PUT", "/media/k", "hello", header("x-amz-checksum-crc32", base64CRC32("hello")))).is(t, 200, "")
	whole := w.do(w.ask("GET", "/media/k", "", header("x-amz-checksum-mode", "ENABLED")))
	part := w.do(w.ask("GET", "/media/k", "", header("x-amz-checksum-mode", "ENABLED"), header("Range", "bytes=1-2")))
	unasked := w.do(w.ask("GET", "/media/k", ""))
	if whole.header.Get("x-amz-checksum-crc32") != base64CRC32("hello") || part.header.Get("x-amz-checksum-crc32") != "" || unasked.header.Get("x-amz-checksum-crc32") != "" {
		t.Fatalf("%v\n%v\n%v", whole.header, part.header, unasked.header)
	}
	id, err := w.media.CreateUpload(ctx, "k", blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a := w.do(w.ask("PUT", "/media/k?partNumber=1&uploadId="+id, "hello", header("x-amz-checksum-crc32", base64CRC32("hello"))))
	if a.header.Get("x-amz-checksum-crc32") != base64CRC32("hello") || a.header.Get("x-amz-checksum-type") != "" {
		t.Fatalf("%v", a.header)
	}
}

func TestAChecksumHasOnePlace(t *testing.T) {
	w := newWorld(t)
	crc := base64CRC32("hello world")
	framed := "b\r\nhello world\r\n0\r\nx-amz-checksum-crc32:" + crc + "\r\n\r\n"
	r := w.streamed("STREAMING-UNSIGNED-PAYLOAD-TRAILER", 11)
	r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
	r.Header.Set("X-Amz-Checksum-Crc32", crc)
	w.stream(sign(t, r, "root", time.Now()), framed).is(t, 400, "InvalidRequest")
	w.do(w.ask("PUT", "/media/k", "hello", header("x-amz-trailer", "x-amz-checksum-crc32"))).is(t, 400, "InvalidRequest")
	r = w.streamed("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", 11)
	r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
	w.stream(sign(t, r, "root", time.Now()), framed).is(t, 400, "InvalidRequest")
	w.holds("k", "")
}

func TestWhatAPresignedURLCarriesIsKept(t *testing.T) {
	w := newWorld(t)
	presigned := func(query string) *http.Request {
		r, _ := http.NewRequest("PUT", w.http.URL+"/media/k?X-Amz-Expires=60&"+query, nil)
		url, _, err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).PresignHTTP(ctx, aws.Credentials{AccessKeyID: "root", SecretAccessKey: "root-secret"}, r, "UNSIGNED-PAYLOAD", "s3", "us-east-1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		r, _ = http.NewRequest("PUT", url, strings.NewReader("hello"))
		return r
	}
	w.send(presigned("x-amz-checksum-crc32=AAAAAA%3D%3D")).is(t, 400, "BadDigest")
	w.send(presigned("x-amz-tagging=a%3Db")).is(t, 501, "NotImplemented")
	w.holds("k", "")
	w.send(presigned("x-amz-meta-m=1")).is(t, 200, "")
	if o, err := w.media.Head(ctx, "k"); err != nil || o.Meta["m"] != "1" {
		t.Fatalf("%+v, %v", o, err)
	}
}

// hasty is a store that does not read what is empty.
type hasty struct{ *blob.Bucket }

func (h hasty) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	if size == 0 {
		body = strings.NewReader("")
	}
	return h.Bucket.Put(ctx, key, body, size, o)
}

func TestAnEmptyBodyIsCheckedBeforeTheStoreHasIt(t *testing.T) {
	w := newWorld(t)
	w.with(hasty{w.media})
	w.do(w.ask("PUT", "/media/k", "", header("x-amz-checksum-crc32", base64CRC32("hello")))).is(t, 400, "BadDigest")
	if _, err := w.media.Head(ctx, "k"); err == nil {
		t.Fatal("stored")
	}
	w.do(w.ask("PUT", "/media/k", "", header("x-amz-checksum-crc32", base64CRC32("")))).is(t, 200, "")
}

// lossy is a store that does not say why a body failed.
type lossy struct{ *blob.Bucket }

func (l lossy) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	obj, err := l.Bucket.Put(ctx, key, body, size, o)
	if err != nil {
		err = errs.E(errs.Unavailable, "too few providers took it")
	}
	return obj, err
}

func TestAWrongBodyIsNamedWhateverTheStoreMakesOfIt(t *testing.T) {
	w := newWorld(t)
	w.with(lossy{w.media})
	w.do(w.ask("PUT", "/media/k", "hello", header("Content-MD5", base64MD5("hallo")))).is(t, 400, "BadDigest")
}

// shifting is a store whose object changes after it was described.
type shifting struct{ *blob.Bucket }

func (s shifting) Head(ctx context.Context, key string) (blob.Object, error) {
	o, err := s.Bucket.Head(ctx, key)
	_, _ = s.Put(ctx, key, strings.NewReader("later"), 5, blob.PutOptions{})
	return o, err
}

func TestACopyIsOfWhatItsConditionsWereAskedOf(t *testing.T) {
	w := newWorld(t)
	o := w.put(w.media, "src", "first")
	w.with(shifting{w.media})
	w.do(w.ask("PUT", "/media/dst", "", header("X-Amz-Copy-Source", "media/src"), header("X-Amz-Copy-Source-If-Match", o.ETag))).is(t, 412, "PreconditionFailed")
	w.holds("dst", "")
	w.do(w.ask("PUT", "/media/dst", "x", header("X-Amz-Copy-Source-If-Match", o.ETag))).is(t, 400, "InvalidRequest")
}
