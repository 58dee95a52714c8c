package s3api_test

import (
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/sparecloud/spare/internal/blob"
)

// listed is what a listing gave: keys and, with a "*" behind, prefixes.
func listed(objects []types.Object, prefixes []types.CommonPrefix, encoded bool) (names []string) {
	name := func(s string) string {
		if encoded {
			s, _ = url.PathUnescape(s)
		}
		return s
	}
	for _, o := range objects {
		names = append(names, name(*o.Key))
	}
	for _, p := range prefixes {
		names = append(names, name(*p.Prefix)+"*")
	}
	return names
}

// expected rolls keys up as S3 says.
func expected(keys []string, prefix, delimiter, after string) (names []string) {
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok || k <= after {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			k = prefix + rest[:i+len(delimiter)] + "*"
		}
		if !slices.Contains(names, k) {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	return names
}

func TestPagesMakeTheWholeListing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	var keys []string
	letters := []string{"a", "b", "/", "//", " ", "+", "é", "%", "<&>", "\U0001F600"}
	for range 120 {
		key := ""
		for range 1 + rnd.IntN(5) {
			key += letters[rnd.IntN(len(letters))]
		}
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
			w.put(w.media, key, "x")
		}
	}
	slices.Sort(keys)
	for _, delimiter := range []string{"", "/", "a", "//"} {
		for _, prefix := range []string{"", "a", "/", "a/", "zz"} {
			for _, encoding := range []types.EncodingType{"", types.EncodingTypeUrl} {
				want := expected(keys, prefix, delimiter, "")
				size, got := int32(1+rnd.IntN(7)), []string(nil)
				in := &s3.ListObjectsV2Input{Bucket: aws.String("media"), Prefix: &prefix, Delimiter: &delimiter, EncodingType: encoding}
				for p := s3.NewListObjectsV2Paginator(w.client, in, func(o *s3.ListObjectsV2PaginatorOptions) { o.Limit = size }); p.HasMorePages(); {
					out, err := p.NextPage(ctx)
					if err != nil {
						t.Fatal(err)
					}
					if n := len(out.Contents) + len(out.CommonPrefixes); n > int(size) || int32(n) != *out.KeyCount {
						t.Fatalf("a page of %d has %d names, KeyCount %d", size, n, *out.KeyCount)
					}
					got = append(got, listed(out.Contents, out.CommonPrefixes, encoding != "")...)
				}
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Fatalf("seed %d, version 2, prefix %q, delimiter %q, pages of %d: got %q, want %q", seed, prefix, delimiter, size, got, want)
				}
				got = nil
				for marker := ""; ; {
					out, err := w.client.ListObjects(ctx, &s3.ListObjectsInput{Bucket: aws.String("media"), Prefix: &prefix, Delimiter: &delimiter, EncodingType: encoding, MaxKeys: &size, Marker: &marker})
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, listed(out.Contents, out.CommonPrefixes, encoding != "")...)
					if !*out.IsTruncated {
						break
					}
					if marker = *out.NextMarker; encoding != "" {
						marker, _ = url.PathUnescape(marker)
					}
				}
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Fatalf("seed %d, version 1, prefix %q, delimiter %q, pages of %d: got %q, want %q", seed, prefix, delimiter, size, got, want)
				}
			}
		}
	}
}

func TestListingsBeginBehindAName(t *testing.T) {
	w := newWorld(t)
	for _, k := range []string{"a", "b", "b/1", "b/2", "c"} {
		w.put(w.media, k, "x")
	}
	out, err := w.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("media"), StartAfter: aws.String("b/1"), FetchOwner: aws.Bool(true)})
	if err != nil || !slices.Equal(listed(out.Contents, nil, false), []string{"b/2", "c"}) || out.Contents[0].Owner == nil || *out.StartAfter != "b/1" || out.Contents[0].LastModified.IsZero() {
		t.Fatalf("%+v, %v", out, err)
	}
	none, err := w.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("media"), MaxKeys: aws.Int32(0)})
	if err != nil || len(none.Contents) != 0 || *none.IsTruncated || *none.KeyCount != 0 || none.NextContinuationToken != nil {
		t.Fatalf("no keys: %+v, %v", none, err)
	}
	if a := w.do(w.ask("GET", "/media?max-keys=5000", "")); !strings.Contains(a.body, "<MaxKeys>1000</MaxKeys>") {
		t.Fatal(a.body)
	}
}

func TestKeysThatXMLCannotHoldAreNotMadeOthers(t *testing.T) {
	w := newWorld(t)
	w.put(w.media, "a\x01\r\n\t&<>\"b", "x")
	if a := w.do(w.ask("GET", "/media", "")); !strings.Contains(a.body, "<Key>a&#x1;&#xD;&#xA;&#x9;&amp;&lt;&gt;&quot;b</Key>") {
		t.Fatal(a.body)
	}
	if a := w.do(w.ask("GET", "/media?encoding-type=url", "")); !strings.Contains(a.body, "<Key>a%01%0D%0A%09%26%3C%3E%22b</Key>") {
		t.Fatal(a.body)
	}
}

func TestUploadsAreListedInPages(t *testing.T) {
	w := newWorld(t)
	var want []string
	for _, key := range []string{"a", "a", "a", "b/1", "b/2", "b/3", "c", "d/1"} {
		id, err := w.media.CreateUpload(ctx, key, blob.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, key+" "+id)
	}
	for _, delimiter := range []string{"", "/"} {
		names := want
		if delimiter != "" {
			names = []string{want[0], want[1], want[2], "b/*", want[6], "d/*"}
		}
		for size := int32(1); size < 10; size++ {
			var got []string
			in := &s3.ListMultipartUploadsInput{Bucket: aws.String("media"), MaxUploads: &size, Delimiter: &delimiter}
			for {
				out, err := w.client.ListMultipartUploads(ctx, in)
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range out.Uploads {
					got = append(got, *u.Key+" "+*u.UploadId)
				}
				for _, p := range out.CommonPrefixes {
					got = append(got, *p.Prefix+"*")
				}
				if !*out.IsTruncated || len(got) > 20 {
					break
				}
				in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
			}
			slices.Sort(got)
			sorted := slices.Sorted(slices.Values(names))
			if !slices.Equal(got, sorted) {
				t.Errorf("delimiter %q, pages of %d: got %q, want %q", delimiter, size, got, sorted)
			}
		}
	}
	if a := w.do(w.ask("GET", "/media?uploads&prefix=b/&encoding-type=url", "")); strings.Count(a.body, "<Upload>") != 3 {
		t.Error(a.body)
	}
}
