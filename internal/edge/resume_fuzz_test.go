package edge

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// misfit serves one of two versions of a file as a byte of a script says:
// whole or cut, in chunks or with a length, heeding Range or not, rightly or
// not. What it sends under an ETag is always of that version, and where a
// Content-Range is false it is false by what it says of the range, not by the
// bytes: those no proxy could tell.
func misfit(op byte, versions [2]string) func(*http.Request) string {
	return func(r *http.Request) string {
		version := int(op>>6) & 1
		content := versions[version]
		first, last, total := 0, len(content)-1, len(content)
		status, extra := "200 OK", ""
		if v := r.Header.Get("Range"); v != "" && op&1 == 0 {
			if n, _ := fmt.Sscanf(v, "bytes=%d-%d", &first, &last); n < 1 || first < 0 || first > last || last >= len(content) {
				first, last = 0, len(content)-1
			}
			switch op >> 1 & 7 {
			case 1:
				first = min(first+1, last)
			case 2:
				last = min(last, first+500)
			case 3:
				total++
			case 4:
				extra = "Content-Encoding: br\r\n"
			}
			status = "206 Partial Content"
			extra += fmt.Sprintf("Content-Range: bytes %d-%d/%d\r\n", first, last, total)
			if op>>1&7 == 5 {
				extra = strings.Replace(extra, fmt.Sprintf("/%d", total), "/*", 1)
			}
		}
		body := content[min(first, len(content)):min(last+1, len(content))]
		if op>>1&7 == 6 && r.Header.Get("If-Range") != "" {
			body = body[:len(body)/2] // ends well, and before its range does
		}
		cut := len(body)
		if op>>4&1 == 1 {
			cut = max(cut*2/3, 1) // an empty chunk would be the end
		}
		head := "HTTP/1.1 " + status + "\r\n" + extra + "Connection: close\r\nEtag: \"v" + fmt.Sprint(version) + "\"\r\n"
		if op>>5&1 == 1 {
			text := head + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", cut) + body[:cut] + "\r\n"
			if cut == len(body) {
				text += "0\r\n\r\n"
			}
			return text
		}
		return head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)) + body[:cut]
	}
}

// FuzzResume holds what a client gets to one rule: the beginning of one
// version of the file, and the whole of it if the end looks like an end.
func FuzzResume(f *testing.F) {
	versions := [2]string{file[:100<<10], strings.ToUpper(file[:100<<10])}
	sites := []*site{newSite(f, "a"), newSite(f, "b")}
	var script atomic.Pointer[[]byte]
	var at atomic.Int64
	for _, s := range sites {
		speak(s, func(r *http.Request) string {
			if r.URL.Path != "/file" {
				return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
			}
			ops, n := *script.Load(), at.Add(1)-1
			if n >= int64(len(ops)) {
				return ""
			}
			return misfit(ops[n], versions)(r)
		})
	}
	w := newWorld(f, nil, sites...)
	for _, ops := range [][]byte{
		{0x10, 0}, {0x30, 0x20}, {0x30, 0x2a}, {0x30, 0x04}, {0x10, 0x10, 0x10, 0}, {0x10, 0x40}, {0x10, 1}, {0x10, 2}, {0x30, 6, 8, 0}, {0x50, 0x40}, {0x30, 0x2c, 0x2c, 0x2c}, {0x10, 0x2c, 0},
	} {
		f.Add(ops, "")
		f.Add(ops, "bytes=1000-90000")
	}
	f.Fuzz(func(t *testing.T, ops []byte, rng string) {
		if strings.ContainsFunc(rng, func(r rune) bool { return r < ' ' || r > '~' }) {
			return
		}
		for _, c := range w.e.inForce.Load().services[0].origins { // faults of earlier scripts are forgotten
			c.o.mu.Lock()
			c.o.judge = outlier{}
			c.o.mu.Unlock()
			c.o.ejected.Store(false)
		}
		script.Store(&ops)
		at.Store(0)
		var got answer
		if rng == "" {
			got = w.get("/file")
		} else {
			got = w.get("/file", "Range", rng)
		}
		if got.status != 200 && got.status != 206 {
			return
		}
		var tag, first, last int
		_, _ = fmt.Sscanf(got.header.Get("Etag"), `"v%d"`, &tag)
		want := versions[tag]
		if got.status == 206 {
			s, ok := parseContentRange(got.header.Get("Content-Range"))
			if !ok || s.last >= int64(len(want)) {
				return // the origin's own nonsense, passed on as it came
			}
			first, last = int(s.first), int(s.last)
			want = want[first : last+1]
		}
		if !strings.HasPrefix(want, got.body) {
			t.Fatalf("wrong bytes: %d of them, from %d, version %d", len(got.body), first, tag)
		}
		if got.err == nil && got.body != want {
			t.Fatalf("%d bytes of %d were taken for whole", len(got.body), len(want))
		}
	})
}
