package edge

import (
	"crypto/sha256"
	"math/rand"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/route"
)

// file is a body worth resuming.
var file = func() string {
	b := make([]byte, 600<<10)
	r := rand.New(rand.NewSource(1))
	for i := range b {
		b[i] = byte('a' + r.Intn(26))
	}
	return string(b)
}()

func serveFile(etag, content string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if etag != "" {
			w.Header().Set("Etag", etag)
		}
		http.ServeContent(w, r, "file.bin", time.Time{}, strings.NewReader(content))
	}
}

// cutAfter serves the file's head and n bytes, then dies or stalls.
func cutAfter(n int, etag string, stall time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		first, last := 0, len(file)-1
		if v := r.Header.Get("Range"); v != "" {
			s, _ := parseContentRange(strings.Replace(v, "=", " ", 1) + "/*")
			first, last = int(s.first), int(s.last)
			w.Header().Set("Content-Range", "bytes "+strconv.Itoa(first)+"-"+strconv.Itoa(last)+"/"+strconv.Itoa(len(file)))
		}
		if etag != "" {
			w.Header().Set("Etag", etag)
		}
		w.Header().Set("Content-Length", strconv.Itoa(last-first+1))
		if first > 0 {
			w.WriteHeader(206)
		}
		_, _ = w.Write([]byte(file[first:min(first+n, last+1)]))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(stall)
		panic(http.ErrAbortHandler)
	}
}

func TestBodyCutInTheMiddleGoesOnFromAnotherSite(t *testing.T) {
	const tag = `"v1"`
	changed := strings.ToUpper(file)
	dead := func(w http.ResponseWriter, r *http.Request) { // dies, and gives nothing more
		if r.Header.Get("Range") != "" {
			panic(http.ErrAbortHandler)
		}
		cutAfter(300<<10, tag, 0)(w, r)
	}
	encoded := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		serveFile(tag, file)(w, r)
	}
	for _, tc := range []struct {
		name    string
		a, b    http.HandlerFunc
		head    []string
		want    string // "" = the client must see the body cut
		resumed uint64
	}{
		{"dies", cutAfter(300<<10, tag, 0), serveFile(tag, file), nil, file, 1},
		{"stalls", cutAfter(300<<10, tag, 5*time.Second), serveFile(tag, file), nil, file, 1},
		{"a range dies", cutAfter(100<<10, tag, 0), serveFile(tag, file), []string{"Range", "bytes=1000-400000"}, file[1000:400001], 1},
		{"dies at both in turn", cutAfter(200<<10, tag, 0), cutAfter(200<<10, tag, 0), nil, file, 2},
		{"weak ETag", cutAfter(300<<10, "W/"+tag, 0), serveFile("W/"+tag, file), nil, "", 0},
		{"no ETag", cutAfter(300<<10, "", 0), serveFile("", file), nil, "", 0},
		{"other ETag elsewhere", dead, serveFile(`"v2"`, changed), nil, "", 0},
		{"other length elsewhere", dead, serveFile(tag, file+"more"), nil, "", 0},
		{"other encoding elsewhere", dead, encoded, nil, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, b := newSite(t, "a"), newSite(t, "b")
			a.handle(tc.a)
			b.handle(tc.b)
			w := newWorld(t, nil, a, b)
			got := w.get("/file", tc.head...)
			if tc.want == "" {
				if got.err == nil {
					t.Errorf("the client took %d bytes for whole", len(got.body))
				}
				if s := w.stats(); s.Truncated != 1 {
					t.Errorf("truncated = %d", s.Truncated)
				}
			} else if got.err != nil || sha256.Sum256([]byte(got.body)) != sha256.Sum256([]byte(tc.want)) {
				t.Errorf("got %d bytes, %v; want %d", len(got.body), got.err, len(tc.want))
			}
			if s := w.stats(); s.Resumed != tc.resumed {
				t.Errorf("resumed = %d, want %d", s.Resumed, tc.resumed)
			}
		})
	}
}

func TestPauseInAStreamThatCannotBeResumedHarmsNothing(t *testing.T) {
	pause := func(w http.ResponseWriter, r *http.Request) { // heeds no Range
		w.Header().Set("Etag", `"v1"`)
		_, _ = w.Write([]byte(file[:1000]))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(bodyPatience + 200*time.Millisecond)
		_, _ = w.Write([]byte(file[1000:2000]))
	}
	a, b := newSite(t, "a"), newSite(t, "b")
	a.handle(pause)
	b.handle(pause)
	w := newWorld(t, nil, a, b)
	if got := w.get("/"); got.err != nil || got.body != file[:2000] {
		t.Errorf("%d bytes, %v", len(got.body), got.err)
	}
}

func TestContinuationThatDoesNotFitIsNotUsed(t *testing.T) {
	const tag = `"v1"`
	die := func(w http.ResponseWriter, r *http.Request) { // a stream that ends too soon
		if r.Header.Get("Range") != "" {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Etag", tag)
		_, _ = w.Write([]byte(file[:100<<10]))
		_ = http.NewResponseController(w).Flush()
		time.Sleep(50 * time.Millisecond)
		panic(http.ErrAbortHandler)
	}
	for name, rng := range map[string]string{
		"part of the rest, total unknown": "bytes 102400-102499/*",
		"part of the rest":                "bytes 102400-102499/614400",
		"other beginning":                 "bytes 102401-614399/614400",
		"longer than told":                "bytes 102400-102449/102450",
		"shorter than the range":          "bytes 102400-614399/614400",
		"total before the end":            "bytes 102400-614399/5",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newSite(t, "a"), newSite(t, "b")
			a.handle(die)
			b.handle(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Etag", tag)
				w.Header().Set("Content-Range", rng)
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write([]byte(file[102400:102500]))
				if name == "longer than told" { // and in chunks, so that only the range tells
					_ = http.NewResponseController(w).Flush()
				}
			})
			w := newWorld(t, nil, a, b)
			if got := w.get("/"); got.err == nil {
				t.Errorf("the client took %d bytes for whole", len(got.body))
			}
		})
	}
}

// FuzzContentRange holds what is accepted to its own sense.
func FuzzContentRange(f *testing.F) {
	for _, v := range []string{"bytes 0-0/1", "bytes 5-9/*", "bytes */5", "bytes 9223372036854775807-9223372036854775807/*", "bytes 0--1/0", "bytes +1-+2/+3", "bytes 0-99/50"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v string) {
		s, ok := parseContentRange(v)
		if ok && (s.first < 0 || s.last < s.first || (s.total != -1 && s.total <= s.last)) {
			t.Errorf("%q was read as %+v", v, s)
		}
	})
}

func TestDownloadsOutliveTheirOrigin(t *testing.T) {
	a, b := newSite(t, "a"), newSite(t, "b")
	slow := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		http.ServeContent(paced{w}, r, "f", time.Time{}, strings.NewReader(file))
	}
	a.handle(slow)
	b.handle(slow)
	w := newWorld(t, func(*route.Service) {}, a, b)
	time.AfterFunc(60*time.Millisecond, a.kill)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got := w.get("/file"); got.err != nil || got.body != file {
				t.Errorf("got %d bytes, %v", len(got.body), got.err)
			}
		})
	}
	wg.Wait()
	if w.stats().Resumed == 0 {
		t.Error("no body was resumed: the origin died too late for this test")
	}
}

// paced writes in small steps.
type paced struct{ http.ResponseWriter }

func (p paced) Write(b []byte) (int, error) {
	time.Sleep(5 * time.Millisecond)
	return p.ResponseWriter.Write(b)
}
