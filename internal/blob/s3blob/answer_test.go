package s3blob_test

import (
	"crypto/md5"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/errs"
)

func TestATagThatIsNotTheMD5OfWhatWasSentIsSuspect(t *testing.T) {
	wrong := fmt.Sprintf("%x", md5.Sum([]byte("something else")))
	suspect := outcome{kind: errs.Internal, is: blob.ErrSuspect, maybe: true}
	opaque := func(o *s3blob.Options) { o.OpaqueTags = true }
	kms := map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms"}
	for name, tt := range map[string]struct {
		tag    string
		header map[string]string
		change func(*s3blob.Options)
		want   *outcome
	}{
		"another MD5":               {tag: wrong, want: &suspect},
		"no tag":                    {want: &suspect},
		"with a KMS key":            {tag: wrong, header: kms},
		"no MD5 at all":             {tag: "0x8DB7C1F5A2"},
		"declared to be none":       {tag: wrong, change: opaque},
		"encrypted by the provider": {tag: wrong, header: map[string]string{"X-Amz-Server-Side-Encryption": "AES256"}, want: &suspect},
	} {
		for _, call := range []string{"put", "large put", "upload part"} {
			t.Run(name+", "+call, func(t *testing.T) {
				change := func(o *s3blob.Options) {
					if tt.change != nil {
						tt.change(o)
					}
				}
				d := fake(t, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					for k, v := range tt.header {
						w.Header().Set(k, v)
					}
					if tt.tag != "" {
						w.Header().Set("ETag", `"`+tt.tag+`"`)
					}
				}, change)
				err := calls[call](t.Context(), d)
				if tt.want == nil {
					if err != nil {
						t.Error(err)
					}
					return
				}
				tt.want.check(t, err)
			})
		}
	}
}

func TestAnAnswerToAnotherQuestionIsSuspect(t *testing.T) {
	const all = "0123456789"
	part := func(span, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"t"`)
			w.Header().Set("Content-Range", span)
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			w.WriteHeader(206)
			_, _ = io.WriteString(w, body)
		}
	}
	whole := func(tag string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { object(w, tag, all) }
	}
	middle := &blob.Range{Offset: 2, Length: 3}
	for name, tt := range map[string]struct {
		o      blob.GetOptions
		answer http.HandlerFunc
	}{
		"all, for a part":                {blob.GetOptions{Range: middle}, whole("t")},
		"a part, for all":                {blob.GetOptions{}, part("bytes 2-4/10", "234")},
		"another part":                   {blob.GetOptions{Range: middle}, part("bytes 3-5/10", "345")},
		"a shorter part":                 {blob.GetOptions{Range: middle}, part("bytes 2-3/10", "23")},
		"a part of another length":       {blob.GetOptions{Range: middle}, part("bytes 2-4/10", "2345")},
		"a part of no known size":        {blob.GetOptions{Range: middle}, part("bytes 2-4/*", "234")},
		"a part that makes no sense":     {blob.GetOptions{Range: middle}, part("bytes 4-2/10", "234")},
		"negative numbers":               {blob.GetOptions{Range: middle}, part("bytes -2-4/10", "234")},
		"another end":                    {blob.GetOptions{Range: &blob.Range{Offset: -3, Length: -1}}, part("bytes 6-8/10", "678")},
		"an object with another tag":     {blob.GetOptions{Match: "wanted"}, whole("other")},
		"no version, where one is asked": {blob.GetOptions{Version: "v1"}, whole("t")},
		"no tag":                         {blob.GetOptions{}, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") }},
		"no length": {blob.GetOptions{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"t"`)
			w.(http.Flusher).Flush()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			err := get(t.Context(), fake(t, tt.answer), tt.o)
			outcome{kind: errs.Internal, is: blob.ErrSuspect}.check(t, err)
		})
	}
}

func TestARangeOfNothingIsErrRangeHoweverItIsSaid(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"416": func(w http.ResponseWriter, _ *http.Request) { refuse(w, 416, "InvalidRange") },
		"200": func(w http.ResponseWriter, _ *http.Request) { object(w, "t", "") },
		"206": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"t"`)
			w.Header().Set("Content-Range", "bytes 0--1/0")
			w.Header().Set("Content-Length", "0")
			w.WriteHeader(206)
		},
	} {
		err := get(t.Context(), fake(t, answer), blob.GetOptions{Range: &blob.Range{Offset: -1, Length: -1}})
		t.Run(name, func(t *testing.T) { outcome{kind: errs.Invalid, is: blob.ErrRange}.check(t, err) })
	}
}

func TestABodyThatEndsEarlyFails(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"t"`)
		w.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(w, strings.Repeat("x", 70_000))
	})
	r, err := d.Get(t.Context(), "k", blob.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if n != 70_000 {
		t.Errorf("%d bytes came", n)
	}
	outcome{kind: errs.Unavailable, is: io.ErrUnexpectedEOF}.check(t, err)
	_ = r.Close()
}

func TestAListingIsReadAsItIsMeant(t *testing.T) {
	pages := []string{
		// an empty page that goes on
		`<IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>`,
		`<IsTruncated>true</IsTruncated><NextContinuationToken>yet+more</NextContinuationToken><EncodingType>url</EncodingType>
		<Contents><Key>a%2Bb+c%C3%BC</Key><Size>3</Size><ETag>"t1"</ETag><LastModified>2026-01-02T03:04:05.678Z</LastModified></Contents>
		<CommonPrefixes><Prefix>d%26/</Prefix></CommonPrefixes>`,
	}
	var asked []string
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, fmt.Sprint(q.Get("list-type"), q["prefix"], q["start-after"], q["delimiter"], q["max-keys"], q["encoding-type"], q["continuation-token"]))
		_, _ = fmt.Fprintf(w, `<ListBucketResult>%s</ListBucketResult>`, pages[min(len(asked), len(pages))-1])
	})
	p, err := d.List(t.Context(), blob.ListOptions{Prefix: "", After: "a b", Delimiter: "/", Limit: 7})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Objects) != 1 || p.Objects[0].Key != "a+b cü" || p.Objects[0].ETag != "t1" || p.Objects[0].Size != 3 || p.Objects[0].Modified.Nanosecond() != 678e6 {
		t.Errorf("objects %+v", p.Objects)
	}
	if len(p.Prefixes) != 1 || p.Prefixes[0] != "d&/" || p.Next != blob.AfterPrefix("d&/") {
		t.Errorf("prefixes %q, next %q", p.Prefixes, p.Next)
	}
	want := []string{"2[] [a b] [/] [7] [url] []", "2[] [a b] [/] [7] [url] [more]"}
	if fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func TestAListingThatNeverEndsIsSuspect(t *testing.T) {
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken></ListBucketResult>`)
	})
	outcome{kind: errs.Internal, is: blob.ErrSuspect}.check(t, calls["list"](t.Context(), d))
	d = fake(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker></ListMultipartUploadsResult>`)
	})
	outcome{kind: errs.Internal, is: blob.ErrSuspect}.check(t, calls["list uploads"](t.Context(), d))
}

// The transfer's own encoding is not the object's, though some servers keep it.
func TestAwsChunkedIsNoContentEncoding(t *testing.T) {
	for kept, want := range map[string]string{"aws-chunked": "", "aws-chunked,gzip": "gzip", "gzip": "gzip", "gzip, br": "gzip, br"} {
		d := fake(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", kept)
			object(w, "t", "x")
		})
		r, err := d.Get(t.Context(), "k", blob.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Header.Encoding != want {
			t.Errorf("%q was read as %q, want %q", kept, r.Header.Encoding, want)
		}
		_ = r.Close()
	}
}
