package shop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Products is how many products the shop sells, numbered from 1.
const Products = 48

// Page is something the shop serves that is the same, byte for byte, at every
// cloud.
type Page struct {
	Path string
	Type string // media type
	Body []byte
	Slow bool // sent in pieces, so that a cloud can die in the middle
}

// Digest is the hex SHA-256 of the body.
func (p Page) Digest() string {
	sum := sha256.Sum256(p.Body)
	return hex.EncodeToString(sum[:])
}

// Pages gives all pages: the front page, each product, the catalogue.
func Pages() []Page { return pages() }

var pages = sync.OnceValue(func() []Page {
	out := []Page{{Path: "/", Type: "text/html; charset=utf-8", Body: frontPage()}}
	for n := 1; n <= Products; n++ {
		body, _ := json.Marshal(productOf(n)) // plain fields: cannot fail
		out = append(out, Page{Path: fmt.Sprintf("/products/%d", n), Type: "application/json", Body: append(body, '\n')})
	}
	return append(out, Page{Path: "/catalogue", Type: "text/csv; charset=utf-8", Body: catalogue(), Slow: true})
})

type product struct {
	N     int    `json:"n"`
	Name  string `json:"name"`
	Cents int    `json:"cents"`
	Text  string `json:"text"`
}

func productOf(n int) product {
	colours := []string{"Blue", "Green", "Grey", "Red", "White", "Black"}
	things := []string{"mug", "lamp", "chair", "kettle", "clock", "shelf", "bowl", "rug"}
	name := colours[n%len(colours)] + " " + things[n%len(things)]
	return product{N: n, Name: name, Cents: 900 + 137*n%5000,
		Text: "The " + name + " is made to last, and there is a spare for every part of it."}
}

func frontPage() []byte {
	var b bytes.Buffer
	b.WriteString("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>The shop</title>\n<h1>The shop</h1>\n<ul>\n")
	for n := 1; n <= Products/2; n++ {
		p := productOf(n)
		fmt.Fprintf(&b, "<li><a href=\"/products/%d\">%s</a> &euro; %d.%02d</li>\n", n, p.Name, p.Cents/100, p.Cents%100)
	}
	b.WriteString("</ul>\n<p><a href=\"/catalogue\">The whole catalogue</a></p>\n</html>\n")
	return b.Bytes()
}

// catalogueSize is large enough to be under way for a while.
const catalogueSize = 1 << 20

func catalogue() []byte {
	var b bytes.Buffer
	b.WriteString("sku,name,cents\n")
	for i := 1; b.Len() < catalogueSize; i++ {
		p := productOf(i%Products + 1)
		fmt.Fprintf(&b, "sku-%06d,%s,%d\n", i, p.Name, p.Cents+i%100)
	}
	b.Truncate(catalogueSize - 1)
	b.WriteByte('\n')
	return b.Bytes()
}

// servePage answers with a strong ETag and by ranges, so that a download can
// go on at another cloud.
func servePage(p Page) http.HandlerFunc {
	etag := `"` + p.Digest()[:16] + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		var body io.ReadSeeker = bytes.NewReader(p.Body)
		if p.Slow {
			body = &slowReader{ReadSeeker: body}
		}
		w.Header().Set("Content-Type", p.Type)
		w.Header().Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, body)
	}
}

// slowReader gives 64 KiB every 8 ms: the catalogue takes about 130 ms.
type slowReader struct{ io.ReadSeeker }

func (s *slowReader) Read(p []byte) (int, error) {
	time.Sleep(8 * time.Millisecond)
	return s.ReadSeeker.Read(p[:min(len(p), 64<<10)])
}
