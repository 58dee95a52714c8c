package s3err

import (
	"bytes"
	"encoding/xml"
	"net/http"
	"strconv"
)

// Request says of which request an answer speaks.
type Request struct {
	Resource string // path of the URL, decoded
	ID       string // x-amz-request-id
	Host     string // x-amz-id-2: which server
}

// retryAfter is how many seconds a client should wait: a provider that fails
// is out of the way sooner than that.
const retryAfter = "1"

// MaybeHeader marks the answer of a write that may have been applied.
const MaybeHeader = "X-Spare-May-Have-Applied"

// Write answers with the error as an S3 document; without one where HTTP
// forbids a body. Nothing of the answer may have been written before.
func Write(w http.ResponseWriter, r Request, e *Error) {
	h := w.Header()
	if e.Code != NotModified {
		forget(h, e.Code)
	}
	if e.Retry {
		h.Set("Retry-After", retryAfter)
	}
	if e.Maybe {
		h.Set(MaybeHeader, "true")
	}
	if e.Code == NotModified {
		w.WriteHeader(e.Status)
		return
	}
	h.Set("Content-Type", "application/xml")
	doc := e.document(r)
	h.Set("Content-Length", strconv.Itoa(len(doc)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(doc) // a client that has gone is its own affair; to HEAD net/http gives no body
}

// forget takes out what was meant for another answer.
func forget(h http.Header, c Code) {
	for name := range h {
		switch name {
		case "X-Amz-Request-Id", "X-Amz-Id-2", "X-Amz-Bucket-Region", "Server":
		case "Content-Range":
			if c != InvalidRange {
				delete(h, name)
			}
		default:
			delete(h, name)
		}
	}
}

func (e *Error) document(r Request) []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	b.WriteString("<Error>")
	element(&b, "Code", e.Name)
	element(&b, "Message", e.Text())
	element(&b, "Resource", r.Resource)
	for _, f := range e.Fields {
		element(&b, f.Name, f.Value)
	}
	element(&b, "RequestId", r.ID)
	element(&b, "HostId", r.Host)
	b.WriteString("</Error>")
	return b.Bytes()
}

func element(b *bytes.Buffer, name, value string) {
	b.WriteString("<" + name + ">")
	_ = xml.EscapeText(b, []byte(value)) // a bytes.Buffer does not fail
	b.WriteString("</" + name + ">")
}
