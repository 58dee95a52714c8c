package s3api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var ctx = context.Background()

func read(t testing.TB, r io.ReadCloser) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSDKGetsBackWhatItPut(t *testing.T) {
	w := newWorld(t)
	keys := []string{"a", "a/b", "a//b", "/a", "a/", "a/../b", "..", "%2F", "a%20b", "a b", "a+b", "a&b=c", "é/日本", "\U0001F600", "a?b#c", "~'!*()", strings.Repeat("k", 1024)}
	for _, c := range []struct {
		name   string
		client *s3.Client
	}{{"path style", w.client}, {"virtual-host style", w.hosted()}} {
		for _, key := range keys {
			body := c.name + key
			put, err := c.client.PutObject(ctx, &s3.PutObjectInput{
				Bucket: aws.String("media"), Key: &key, Body: strings.NewReader(body), ContentType: aws.String("text/plain"), CacheControl: aws.String("no-store"),
				Metadata: map[string]string{"color": "blue", "shape": "round"},
			})
			if err != nil {
				t.Fatalf("%s %q: %v", c.name, key, err)
			}
			w.holds(key, body)
			got, err := c.client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("media"), Key: &key, ChecksumMode: types.ChecksumModeEnabled})
			if err != nil {
				t.Fatalf("%s %q: %v", c.name, key, err)
			}
			if b := read(t, got.Body); b != body || *got.ETag != *put.ETag || *got.ContentType != "text/plain" || *got.CacheControl != "no-store" ||
				got.Metadata["color"] != "blue" || got.Metadata["shape"] != "round" || *got.ContentLength != int64(len(body)) || aws.ToString(got.ChecksumCRC32) != *put.ChecksumCRC32 {
				t.Fatalf("%s %q: got %q %+v", c.name, key, b, got)
			}
			if _, err := c.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("media"), Key: &key}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("media"), Key: &key}); code(err) != "NotFound" {
				t.Fatalf("after the deletion: %v", err)
			}
		}
	}
}

func TestEveryChecksumIsKeptAsHeaderAndAsTrailer(t *testing.T) {
	w := newWorld(t)
	body := strings.Repeat("0123456789", 30_000)
	for _, alg := range []types.ChecksumAlgorithm{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		for name, client := range map[string]*s3.Client{"header": w.client, "trailer": w.secure()} { // without TLS the SDK sends no trailers
			t.Run(string(alg)+" "+name, func(t *testing.T) {
				put, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("media"), Key: aws.String("k"), Body: strings.NewReader(body), ChecksumAlgorithm: alg})
				if err != nil {
					t.Fatal(err)
				}
				got, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("media"), Key: aws.String("k"), ChecksumMode: types.ChecksumModeEnabled})
				if err != nil {
					t.Fatal(err)
				}
				if read(t, got.Body) != body {
					t.Fatal("another body came back")
				}
				of := map[types.ChecksumAlgorithm][2]*string{
					"CRC32": {put.ChecksumCRC32, got.ChecksumCRC32}, "CRC32C": {put.ChecksumCRC32C, got.ChecksumCRC32C}, "CRC64NVME": {put.ChecksumCRC64NVME, got.ChecksumCRC64NVME},
					"SHA1": {put.ChecksumSHA1, got.ChecksumSHA1}, "SHA256": {put.ChecksumSHA256, got.ChecksumSHA256},
				}[alg]
				if aws.ToString(of[0]) == "" || aws.ToString(of[0]) != aws.ToString(of[1]) || got.ChecksumType != types.ChecksumTypeFullObject {
					t.Fatalf("put gave %q, get %q %s", aws.ToString(of[0]), aws.ToString(of[1]), got.ChecksumType)
				}
			})
		}
	}
}

func TestRangesGiveTheirBytes(t *testing.T) {
	w := newWorld(t)
	w.put(w.media, "k", "0123456789")
	w.put(w.media, "empty", "")
	for spec, want := range map[string]string{
		"bytes=0-0": "0", "bytes=2-4": "234", "bytes=7-": "789", "bytes=-3": "789", "bytes=-99": "0123456789", "bytes=8-99": "89",
		"bytes=0-99999999999999999999": "0123456789", "bytes=1-2,4-5": "0123456789", "bytes=4-2": "0123456789", "lines=1-2": "0123456789",
		"bytes=10-": "", "bytes=-0": "", "bytes=99999999999999999999-": "",
	} {
		whole := want == "0123456789" && spec != "bytes=-99" && !strings.HasPrefix(spec, "bytes=0-9")
		for _, method := range []string{"GET", "HEAD"} {
			a := w.do(w.ask(method, "/media/k", "", header("Range", spec)))
			switch {
			case want == "":
				a.is(t, http.StatusRequestedRangeNotSatisfiable, "")
				if a.header.Get("Content-Range") != "bytes */10" {
					t.Errorf("%s %s: Content-Range %q", method, spec, a.header.Get("Content-Range"))
				}
				continue
			case whole:
				a.is(t, http.StatusOK, "")
			default:
				a.is(t, http.StatusPartialContent, "")
			}
			if method == "GET" && a.body != want || a.header.Get("Content-Length") != fmt.Sprint(len(want)) {
				t.Errorf("%s %s: got %q, Content-Length %s", method, spec, a.body, a.header.Get("Content-Length"))
			}
		}
	}
	w.do(w.ask("GET", "/media/empty", "", header("Range", "bytes=0-"))).is(t, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
}

func TestConditionsOfReadsFollowTheirOrder(t *testing.T) {
	w := newWorld(t)
	o := w.put(w.media, "k", "0123456789")
	etag, past, future := `"`+o.ETag+`"`, time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	tests := []struct {
		header []string
		want   int
	}{
		{[]string{"If-Match", etag}, 200},
		{[]string{"If-Match", o.ETag}, 200},
		{[]string{"If-Match", "*"}, 200},
		{[]string{"If-Match", `"x", ` + etag}, 200},
		{[]string{"If-Match", `"x"`}, 412},
		{[]string{"If-Match", "W/" + etag}, 412},
		{[]string{"If-None-Match", etag}, 304},
		{[]string{"If-None-Match", "W/" + etag}, 304},
		{[]string{"If-None-Match", "*"}, 304},
		{[]string{"If-None-Match", `"x"`}, 200},
		{[]string{"If-Modified-Since", past}, 200},
		{[]string{"If-Modified-Since", future}, 304},
		{[]string{"If-Modified-Since", "yesterday"}, 200},
		{[]string{"If-Unmodified-Since", past}, 412},
		{[]string{"If-Unmodified-Since", future}, 200},
		{[]string{"If-Match", etag, "If-Unmodified-Since", past}, 200},
		{[]string{"If-None-Match", `"x"`, "If-Modified-Since", future}, 200},
		{[]string{"If-None-Match", etag, "If-Modified-Since", past}, 304},
		{[]string{"If-Match", etag, "If-None-Match", etag}, 304},
		{[]string{"If-None-Match", etag, "Range", "bytes=99-"}, 304},
		{[]string{"If-Match", `"x"`, "Range", "bytes=99-"}, 412},
		{[]string{"If-Range", etag, "Range", "bytes=1-2"}, 206},
		{[]string{"If-Range", `"x"`, "Range", "bytes=1-2"}, 200},
		{[]string{"If-Range", "W/" + etag, "Range", "bytes=1-2"}, 200},
		{[]string{"If-Range", past, "Range", "bytes=1-2"}, 200},
		{[]string{"If-Range", etag, "Range", "bytes=99-"}, 416},
		{[]string{"If-Range", `"x"`, "Range", "bytes=99-"}, 200},
	}
	for _, test := range tests {
		for _, method := range []string{"GET", "HEAD"} {
			r := w.ask(method, "/media/k", "")
			for i := 0; i < len(test.header); i += 2 {
				r.Header.Set(test.header[i], test.header[i+1])
			}
			a := w.do(r)
			if a.status != test.want {
				t.Errorf("%s %q: got %d, want %d", method, test.header, a.status, test.want)
			}
			if a.status == 304 && (a.header.Get("ETag") != etag || a.body != "") {
				t.Errorf("%s %q: 304 with ETag %q and body %q", method, test.header, a.header.Get("ETag"), a.body)
			}
		}
	}
}

func TestConditionsOfWritesAreKept(t *testing.T) {
	w := newWorld(t)
	put := func(key, body string, in s3.PutObjectInput) error {
		in.Bucket, in.Key, in.Body = aws.String("media"), &key, strings.NewReader(body)
		_, err := w.client.PutObject(ctx, &in)
		return err
	}
	if err := put("k", "one", s3.PutObjectInput{IfNoneMatch: aws.String("*")}); err != nil {
		t.Fatal(err)
	}
	if err := put("k", "two", s3.PutObjectInput{IfNoneMatch: aws.String("*")}); code(err) != "PreconditionFailed" {
		t.Fatalf("created twice: %v", err)
	}
	if err := put("k", "two", s3.PutObjectInput{IfMatch: aws.String(`"x"`)}); code(err) != "PreconditionFailed" {
		t.Fatalf("another ETag: %v", err)
	}
	w.holds("k", "one")
	o, _ := w.media.Head(ctx, "k")
	if err := put("k", "two", s3.PutObjectInput{IfMatch: aws.String(`"` + o.ETag + `"`)}); err != nil {
		t.Fatal(err)
	}
	w.holds("k", "two")
	if err := put("k", "three", s3.PutObjectInput{IfNoneMatch: aws.String(`"x"`)}); code(err) != "NotImplemented" {
		t.Fatalf("If-None-Match with a tag: %v", err)
	}
	w.do(w.ask("PUT", "/media/k", "x", header("If-Unmodified-Since", time.Now().UTC().Format(http.TimeFormat)))).is(t, 501, "NotImplemented")
	w.do(w.ask("PUT", "/media/k", "x", header("If-Match", `"a"`), header("If-None-Match", "*"))).is(t, 501, "NotImplemented")
	w.do(w.ask("PUT", "/media/k", "x", header("If-Match", `W/"a"`))).is(t, 412, "PreconditionFailed")
	w.do(w.ask("DELETE", "/media/k", "", header("If-Match", `"x"`))).is(t, 412, "PreconditionFailed")
	w.do(w.ask("DELETE", "/media/k", "", header("If-None-Match", "*"))).is(t, 501, "NotImplemented")
	w.do(w.ask("POST", "/media/k?uploads", "", header("If-None-Match", "*"))).is(t, 501, "NotImplemented")
	w.holds("k", "two")
	o, _ = w.media.Head(ctx, "k")
	w.do(w.ask("DELETE", "/media/k", "", header("If-Match", `"`+o.ETag+`"`))).is(t, 204, "")
	w.holds("k", "")
}

func TestCopiesKeepOrReplaceWhatIsBesideTheBytes(t *testing.T) {
	w := newWorld(t)
	if _, err := w.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String("media"), Key: aws.String("a +é%"), Body: strings.NewReader("bytes"), ContentType: aws.String("text/plain"), Metadata: map[string]string{"m": "1"},
	}); err != nil {
		t.Fatal(err)
	}
	src, etag := "media/a%20%2B%C3%A9%25", ""
	for _, bucket := range []string{"media", "other"} {
		for _, replace := range []bool{false, true} {
			in := &s3.CopyObjectInput{Bucket: &bucket, Key: aws.String("copy"), CopySource: &src}
			want, kind := "1", "text/plain"
			if replace {
				in.MetadataDirective, in.Metadata, in.ContentType = types.MetadataDirectiveReplace, map[string]string{"m": "2"}, aws.String("text/html")
				want, kind = "2", "text/html"
			}
			out, err := w.client.CopyObject(ctx, in)
			if err != nil {
				t.Fatalf("to %s, replace %v: %v", bucket, replace, err)
			}
			got, err := w.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("copy")})
			if err != nil {
				t.Fatal(err)
			}
			if b := read(t, got.Body); b != "bytes" || got.Metadata["m"] != want || *got.ContentType != kind || *out.CopyObjectResult.ETag != *got.ETag || out.CopyObjectResult.LastModified.IsZero() {
				t.Fatalf("to %s, replace %v: got %q %+v %+v", bucket, replace, b, got, out.CopyObjectResult)
			}
			etag = *got.ETag
		}
	}
	try := func(change func(*s3.CopyObjectInput)) string {
		in := &s3.CopyObjectInput{Bucket: aws.String("media"), Key: aws.String("copy2"), CopySource: &src}
		change(in)
		_, err := w.client.CopyObject(ctx, in)
		if err == nil {
			return "ok"
		}
		return code(err)
	}
	for name, test := range map[string]struct {
		change func(*s3.CopyObjectInput)
		want   string
	}{
		"source matches":        {func(in *s3.CopyObjectInput) { in.CopySourceIfMatch = &etag }, "ok"},
		"source does not match": {func(in *s3.CopyObjectInput) { in.CopySourceIfMatch = aws.String(`"x"`) }, "PreconditionFailed"},
		"source is the same":    {func(in *s3.CopyObjectInput) { in.CopySourceIfNoneMatch = &etag }, "PreconditionFailed"},
		"source is older":       {func(in *s3.CopyObjectInput) { in.CopySourceIfModifiedSince = aws.Time(time.Now().Add(time.Hour)) }, "PreconditionFailed"},
		"source is newer":       {func(in *s3.CopyObjectInput) { in.CopySourceIfUnmodifiedSince = aws.Time(time.Now().Add(-time.Hour)) }, "PreconditionFailed"},
		"target exists":         {func(in *s3.CopyObjectInput) { in.Key, in.IfNoneMatch = aws.String("copy"), aws.String("*") }, "PreconditionFailed"},
		"target is absent":      {func(in *s3.CopyObjectInput) { in.Key, in.IfNoneMatch = aws.String("copy9"), aws.String("*") }, "ok"},
		"no such source":        {func(in *s3.CopyObjectInput) { in.CopySource = aws.String("media/nothing") }, "NoSuchKey"},
		"no such bucket":        {func(in *s3.CopyObjectInput) { in.CopySource = aws.String("nowhere/nothing") }, "NoSuchBucket"},
		"no key":                {func(in *s3.CopyObjectInput) { in.CopySource = aws.String("media") }, "InvalidArgument"},
		"a version":             {func(in *s3.CopyObjectInput) { in.CopySource = aws.String(src + "?versionId=abc") }, "NotImplemented"},
		"onto itself":           {func(in *s3.CopyObjectInput) { in.Key = aws.String("a +é%") }, "InvalidRequest"},
		"a tag set":             {func(in *s3.CopyObjectInput) { in.Tagging = aws.String("a=b") }, "NotImplemented"},
	} {
		if got := try(test.change); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
	got, err := w.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("media"), Key: aws.String("copy9")})
	if err != nil || got.Metadata["m"] != "1" {
		t.Fatalf("a copy on condition lost the metadata: %+v, %v", got, err)
	}
}

func TestDeletesOfManyTellOfEach(t *testing.T) {
	w := newWorld(t)
	var ids []types.ObjectIdentifier
	for i := range 250 {
		key := fmt.Sprintf("k%03d <&>", i)
		w.put(w.media, key, "x")
		ids = append(ids, types.ObjectIdentifier{Key: &key})
	}
	w.put(w.media, "stays", "x")
	ids = append(ids, types.ObjectIdentifier{Key: aws.String("stays"), ETag: aws.String("other")}, types.ObjectIdentifier{Key: aws.String("never was")},
		types.ObjectIdentifier{Key: aws.String("stays"), VersionId: aws.String("v1")}, types.ObjectIdentifier{Key: aws.String("stays"), Size: aws.Int64(1)})
	out, err := w.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("media"), Delete: &types.Delete{Objects: ids}})
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, e := range out.Errors {
		codes = append(codes, *e.Code)
	}
	if len(out.Deleted) != 251 || *out.Deleted[7].Key != "k007 <&>" || !slices.Equal(codes, []string{"PreconditionFailed", "NotImplemented", "NotImplemented"}) {
		t.Fatalf("deleted %d, errors %v", len(out.Deleted), codes)
	}
	w.holds("stays", "x")
	w.holds("k007 <&>", "")
	quiet, err := w.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("media"), Delete: &types.Delete{Objects: ids[:2], Quiet: aws.Bool(true)}})
	if err != nil || len(quiet.Deleted)+len(quiet.Errors) != 0 {
		t.Fatalf("quiet: %+v, %v", quiet, err)
	}
	for range 4 {
		ids = append(ids, ids...)
	}
	if _, err := w.client.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: aws.String("media"), Delete: &types.Delete{Objects: ids[:1001]}}); code(err) != "MalformedXML" {
		t.Fatalf("1,001 keys: %v", err)
	}
}

func TestMultipartMakesOneObject(t *testing.T) {
	w := newWorld(t)
	for _, alg := range []types.ChecksumAlgorithm{"", types.ChecksumAlgorithmCrc32, types.ChecksumAlgorithmSha256, types.ChecksumAlgorithmCrc64nvme} {
		t.Run(string(alg), func(t *testing.T) {
			key := "dir/big " + string(alg)
			made, err := w.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
				Bucket: aws.String("media"), Key: &key, ContentType: aws.String("video/mp4"), Metadata: map[string]string{"m": "1"}, ChecksumAlgorithm: alg,
			})
			if err != nil {
				t.Fatal(err)
			}
			var parts []types.CompletedPart
			body := ""
			for n := int32(1); n <= 3; n++ {
				piece := strings.Repeat(fmt.Sprint(n), 5<<20)
				if n == 3 {
					piece = "end"
				}
				body += piece
				part, err := w.client.UploadPart(ctx, &s3.UploadPartInput{
					Bucket: aws.String("media"), Key: &key, UploadId: made.UploadId, PartNumber: &n, Body: strings.NewReader(piece), ChecksumAlgorithm: alg,
				})
				if err != nil {
					t.Fatal(err)
				}
				if alg == types.ChecksumAlgorithmSha256 && aws.ToString(part.ChecksumSHA256) == "" {
					t.Fatalf("no checksum came back: %+v", part)
				}
				parts = append(parts, types.CompletedPart{
					PartNumber: &n, ETag: part.ETag, ChecksumCRC32: part.ChecksumCRC32, ChecksumSHA256: part.ChecksumSHA256, ChecksumCRC64NVME: part.ChecksumCRC64NVME,
				})
			}
			listed, err := w.client.ListParts(ctx, &s3.ListPartsInput{Bucket: aws.String("media"), Key: &key, UploadId: made.UploadId, MaxParts: aws.Int32(2)})
			if err != nil || len(listed.Parts) != 2 || !*listed.IsTruncated || *listed.NextPartNumberMarker != "2" || *listed.Parts[1].Size != 5<<20 || *listed.Parts[1].ETag != *parts[1].ETag {
				t.Fatalf("parts: %+v, %v", listed, err)
			}
			w.holds(key, "")
			done, err := w.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
				Bucket: aws.String("media"), Key: &key, UploadId: made.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}, MpuObjectSize: aws.Int64(10<<20 + 3),
			})
			if err != nil {
				t.Fatal(err)
			}
			w.holds(key, body)
			got, err := w.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String("media"), Key: &key})
			if err != nil || *got.ETag != *done.ETag || *got.ContentType != "video/mp4" || got.Metadata["m"] != "1" {
				t.Fatalf("got %+v, %v", got, err)
			}
			if _, err := w.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: aws.String("media"), Key: &key, UploadId: made.UploadId}); code(err) != "NoSuchUpload" {
				t.Fatalf("aborted after its end: %v", err)
			}
		})
	}
}

func TestPartsCanBeCopied(t *testing.T) {
	w := newWorld(t)
	w.put(w.other, "src", strings.Repeat("a", 5<<20)+"tail")
	made, err := w.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: aws.String("media"), Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	for n, rng := range []string{"bytes=0-5242879", "bytes=5242880-5242883"} {
		number := int32(n + 1)
		out, err := w.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
			Bucket: aws.String("media"), Key: aws.String("k"), UploadId: made.UploadId, PartNumber: &number, CopySource: aws.String("/other/src"), CopySourceRange: &rng,
		})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: &number, ETag: out.CopyPartResult.ETag})
	}
	for _, rng := range []string{"bytes=5242880-5242884", "bytes=-4", "bytes=0-", "x"} {
		if _, err := w.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
			Bucket: aws.String("media"), Key: aws.String("k"), UploadId: made.UploadId, PartNumber: aws.Int32(3), CopySource: aws.String("/other/src"), CopySourceRange: &rng,
		}); code(err) != "InvalidArgument" {
			t.Errorf("range %s: %v", rng, err)
		}
	}
	if _, err := w.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: aws.String("media"), Key: aws.String("k"), UploadId: made.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts},
	}); err != nil {
		t.Fatal(err)
	}
	w.holds("k", strings.Repeat("a", 5<<20)+"tail")
}

func TestPresignedURLsWorkUntilTheyExpire(t *testing.T) {
	w := newWorld(t)
	pre := s3.NewPresignClient(w.client)
	put, err := pre.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("media"), Key: aws.String("a b+c"), ContentType: aws.String("text/plain"), Metadata: map[string]string{"m": "1"}})
	if err != nil {
		t.Fatal(err)
	}
	r, _ := http.NewRequest(put.Method, put.URL, strings.NewReader("body"))
	r.Header = put.SignedHeader.Clone()
	w.send(r).is(t, 200, "")
	w.holds("a b+c", "body")
	get, err := pre.PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: aws.String("media"), Key: aws.String("a b+c"), ResponseContentType: aws.String("text/x"), ResponseContentDisposition: aws.String(`attachment; filename="é"`),
	}, s3.WithPresignExpires(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(url string) answer {
		r, _ := http.NewRequest("GET", url, nil)
		return w.send(r)
	}
	a := fetch(get.URL)
	a.is(t, 200, "")
	if a.body != "body" || a.header.Get("Content-Type") != "text/x" || a.header.Get("Content-Disposition") != `attachment; filename="é"` || a.header.Get("X-Amz-Meta-M") != "1" {
		t.Fatalf("got %q %v", a.body, a.header)
	}
	fetch(strings.Replace(get.URL, "X-Amz-Expires=60", "X-Amz-Expires=61", 1)).is(t, 403, "SignatureDoesNotMatch")
	fetch(strings.Replace(get.URL, "text%2Fx", "text%2Fy", 1)).is(t, 403, "SignatureDoesNotMatch")
	old, _, err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).PresignHTTP(ctx, aws.Credentials{AccessKeyID: "root", SecretAccessKey: "root-secret"},
		w.ask("GET", "/media/a%20b%2Bc?X-Amz-Expires=60", "", func(r *http.Request) { r.Header = http.Header{} }), "UNSIGNED-PAYLOAD", "s3", "us-east-1", time.Now().Add(-2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	fetch(old).is(t, 403, "AccessDenied")
}

func TestBodiesThatCannotBeReadTwiceArrive(t *testing.T) {
	w := newWorld(t)
	body := bytes.Repeat([]byte("x"), 3<<20)
	var sent http.Header
	_, err := w.secure().PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("media"), Key: aws.String("k"), Body: io.MultiReader(bytes.NewReader(body)), ContentLength: aws.Int64(int64(len(body))), ContentEncoding: aws.String("gzip")},
		func(o *s3.Options) { o.HTTPClient = &recorder{o.HTTPClient, &sent} })
	if err != nil {
		t.Fatal(err)
	}
	if sent.Get("X-Amz-Content-Sha256") != "STREAMING-UNSIGNED-PAYLOAD-TRAILER" || !slices.Contains(sent.Values("Content-Encoding"), "aws-chunked") {
		t.Fatalf("the SDK sent something else: %v", sent)
	}
	w.holds("k", string(body))
	if o, err := w.media.Head(ctx, "k"); err != nil || o.Header.Encoding != "gzip" {
		t.Fatalf("stored Content-Encoding %q, %v", o.Header.Encoding, err)
	}
}

// recorder remembers the header of the last request.
type recorder struct {
	s3.HTTPClient
	header *http.Header
}

func (r *recorder) Do(req *http.Request) (*http.Response, error) {
	*r.header = req.Header.Clone()
	return r.HTTPClient.Do(req)
}
