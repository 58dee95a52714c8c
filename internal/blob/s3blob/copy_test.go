package s3blob_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/errs"
)

// giant is a provider that has an object of size bytes at "src", and refuses
// to copy it in one request.
type giant struct {
	size    int64
	refused int // part that it refuses; 0 = none

	ranges  []string
	created http.Header
	done    string
	aborted atomic.Bool
}

func (g *giant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch part := q.Get("partNumber"); {
	case r.Method == http.MethodHead:
		w.Header().Set("ETag", `"src-tag"`)
		w.Header().Set("Content-Length", fmt.Sprint(g.size))
		w.Header().Set("Content-Type", "text/x-giant")
		w.Header().Set("X-Amz-Meta-Op", "7")
	case r.Method == http.MethodPost && q.Has("uploads"):
		g.created = r.Header.Clone()
		_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
	case part == fmt.Sprint(g.refused):
		refuse(w, 500, "InternalError")
	case part != "":
		g.ranges = append(g.ranges, part+" "+r.Header.Get("X-Amz-Copy-Source-Range")+" "+r.Header.Get("X-Amz-Copy-Source-If-Match")+" "+r.Header.Get("X-Amz-Copy-Source"))
		_, _ = fmt.Fprintf(w, `<CopyPartResult><ETag>"part-%s"</ETag></CopyPartResult>`, part)
	case r.Method == http.MethodPost:
		b, _ := io.ReadAll(r.Body)
		g.done = string(b) + r.Header.Get("If-None-Match")
		_, _ = io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"made-3"</ETag></CompleteMultipartUploadResult>`)
	case r.Method == http.MethodDelete:
		g.aborted.Store(true)
		w.WriteHeader(204)
	default:
		refuse(w, 400, "InvalidRequest")
	}
}

func TestWhatIsTooLargeForOneCopyIsCopiedInParts(t *testing.T) {
	g := &giant{size: 12<<30 + 5}
	d := fake(t, g.ServeHTTP)
	obj, err := d.Copy(t.Context(), "dst", d, "a/src+1", blob.CopyOptions{Version: "v9"})
	if err != nil {
		t.Fatal(err)
	}
	if obj.ETag != "made-3" || obj.Size != g.size || obj.Parts != 13 {
		t.Errorf("made %+v", obj)
	}
	if g.created.Get("Content-Type") != "text/x-giant" || g.created.Get("X-Amz-Meta-Op") != "7" {
		t.Errorf("created with %v", g.created)
	}
	var want []string
	for i := int64(0); i < 13; i++ {
		want = append(want, fmt.Sprintf(`%d bytes=%d-%d "src-tag" orders/a/src%%2B1?versionId=v9`, i+1, i<<30, min((i+1)<<30, g.size)-1))
	}
	if diff := cmp.Diff(want, g.ranges); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
	if strings.Count(g.done, "<PartNumber>") != 13 || !strings.Contains(g.done, "part-13") {
		t.Errorf("completed with %s", g.done)
	}
}

func TestACopyInPartsHasItsOwnHeadersAndCondition(t *testing.T) {
	g := &giant{size: 6 << 30}
	d := fake(t, g.ServeHTTP)
	as := &blob.PutOptions{Header: blob.Header{Type: "text/x-other"}, If: blob.Condition{Absent: true}}
	if _, err := d.Copy(t.Context(), "dst", d, "src", blob.CopyOptions{Replace: as}); err != nil {
		t.Fatal(err)
	}
	if g.created.Get("Content-Type") != "text/x-other" || g.created.Get("X-Amz-Meta-Op") != "" || !strings.HasSuffix(g.done, "*") {
		t.Errorf("created with %v, completed with %s", g.created, g.done)
	}
}

func TestACopyInPartsThatFailsIsGivenUp(t *testing.T) {
	g := &giant{size: 6 << 30, refused: 2}
	d := fake(t, g.ServeHTTP)
	_, err := d.Copy(t.Context(), "dst", d, "src", blob.CopyOptions{})
	outcome{kind: errs.Unavailable}.check(t, err)
	if !g.aborted.Load() || g.done != "" {
		t.Errorf("aborted %v, completed with %q", g.aborted.Load(), g.done)
	}
}

func TestACopyThatIsRefusedForAnotherReasonIsNotMadeInParts(t *testing.T) {
	g := &giant{size: 10}
	d := fake(t, g.ServeHTTP)
	_, err := d.Copy(t.Context(), "dst", d, "src", blob.CopyOptions{})
	outcome{kind: errs.Invalid}.check(t, err)
	if g.created != nil {
		t.Error("an upload was begun")
	}
}

// A 404 to a copy onto a condition is the source's or the target's.
func TestACopyTellsItsSourceFromItsTarget(t *testing.T) {
	for name, tt := range map[string]struct {
		source int
		want   errs.Kind
	}{"no source": {404, errs.NotFound}, "no target": {200, errs.Conflict}} {
		t.Run(name, func(t *testing.T) {
			d := fake(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/orders" || r.URL.Path == "/orders/":
				case r.Method == http.MethodGet && tt.source == 200:
					w.Header().Set("Content-Range", "bytes 0-0/1")
					w.Header().Set("ETag", `"t"`)
					w.Header().Set("Content-Length", "1")
					w.WriteHeader(206)
					_, _ = io.WriteString(w, "x")
				default:
					refuse(w, 404, "NoSuchKey")
				}
			})
			_, err := d.Copy(t.Context(), "dst", d, "src", blob.CopyOptions{Replace: &blob.PutOptions{If: blob.Condition{Match: "abc"}}})
			outcome{kind: tt.want}.check(t, err)
		})
	}
}

func TestACopyFromElsewhereIsUnsupported(t *testing.T) {
	other := fake(t, http.NotFound)
	d := fake(t, http.NotFound, func(o *s3blob.Options) { o.Endpoint = "http://127.0.0.1:1" })
	account := fake(t, http.NotFound, func(o *s3blob.Options) { o.Endpoint, o.AccessKey = "http://127.0.0.1:1", "AKIAOTHER" })
	for _, from := range []blob.Driver{other, account, memblob.Open(memblob.Options{})} {
		_, err := d.Copy(t.Context(), "dst", from, "src", blob.CopyOptions{})
		outcome{kind: errs.Unsupported}.check(t, err)
	}
}
