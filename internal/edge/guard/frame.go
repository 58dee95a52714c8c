package guard

import (
	"bytes"
	"net/http"
)

// frame follows the framing of a connection's requests: where a head ends,
// how long its body is, where the next head begins.
type frame struct {
	at   place
	left int64 // bytes of the body or chunk that are to come
	ext  int   // bytes of chunk extensions and trailers seen in this body
}

type place int

const (
	inHead place = iota
	inFixed
	inChunkSize
	inChunk
	inChunkEnd
	inTrailer
)

const (
	maxChunkLine = 512
	maxExtras    = 8 << 10
)

func refusal(status int, reason string) error { return &Refusal{Status: status, Reason: reason} }

func (f *frame) inBody() bool { return f.at != inHead }

// plain is how many bytes come that need no judging.
func (f *frame) plain() int64 {
	if f.at == inFixed || f.at == inChunk {
		return f.left
	}
	return 0
}

// took says that n plain bytes went by.
func (f *frame) took(n int) {
	f.left -= int64(n)
	if f.left > 0 {
		return
	}
	if f.at == inFixed {
		f.at = inHead
	} else {
		f.at = inChunkEnd
	}
}

// skip counts the empty lines at b's start that stand before a head: clients
// of old send one after a body (RFC 9112, 2.2).
func (f *frame) skip(b []byte) int {
	if f.at == inHead && len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		return 2
	}
	return 0
}

// next gives how many bytes at b's start may pass now. 0 without an error
// asks for more bytes.
func (f *frame) next(b []byte) (int, error) {
	switch f.at {
	case inHead:
		return f.head(b)
	case inFixed, inChunk:
		n := int(min(int64(len(b)), f.left))
		if n > 0 {
			f.took(n)
		}
		return n, nil
	case inChunkSize:
		return f.chunkSize(b)
	case inChunkEnd:
		if len(b) < 2 {
			return 0, nil
		}
		if b[0] != '\r' || b[1] != '\n' {
			return 0, refusal(http.StatusBadRequest, "chunk does not end where its size says")
		}
		f.at = inChunkSize
		return 2, nil
	default:
		return f.trailer(b)
	}
}

func (f *frame) head(b []byte) (int, error) {
	if len(b) > 0 && (b[0] == '\r' || b[0] == '\n') {
		if b[0] == '\n' || (len(b) > 1 && b[1] != '\n') {
			return 0, refusal(http.StatusBadRequest, "line does not end in CR LF")
		}
		return 0, nil
	}
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, f.partial(b)
	}
	if end+4 > MaxHead {
		return 0, refusal(http.StatusRequestHeaderFieldsTooLarge, "request head over 64 KiB")
	}
	body, err := readHead(b[:end+2])
	if err != nil {
		return 0, err
	}
	f.left, f.ext = body, 0
	switch {
	case body < 0:
		f.at = inChunkSize
	case body > 0:
		f.at = inFixed
	}
	return end + 4, nil
}

// partial refuses early what no further byte can make right.
func (f *frame) partial(b []byte) error {
	line := bytes.IndexByte(b, '\n')
	switch {
	case line < 0 && len(b) > MaxLine:
		return refusal(http.StatusRequestURITooLong, "request line over 16 KiB")
	case len(b) > MaxHead:
		return refusal(http.StatusRequestHeaderFieldsTooLarge, "request head over 64 KiB")
	case line == 0 || (line > 0 && b[line-1] != '\r'):
		return refusal(http.StatusBadRequest, "line does not end in CR LF")
	case len(b) > 0 && !isToken(b[0]):
		return refusal(http.StatusBadRequest, "not an HTTP request")
	case bytes.Contains(b, []byte("\n\n")) || bytes.Contains(b, []byte("\n\r\r")):
		return refusal(http.StatusBadRequest, "line does not end in CR LF")
	}
	return nil
}

func (f *frame) chunkSize(b []byte) (int, error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if len(b) > maxChunkLine {
			return 0, refusal(http.StatusBadRequest, "chunk size line over 512 bytes")
		}
		return 0, nil
	}
	if end < 2 || end > maxChunkLine || b[end-1] != '\r' {
		return 0, refusal(http.StatusBadRequest, "malformed chunk size line")
	}
	line := b[:end-1]
	digits := 0
	var size int64
	for digits < len(line) && isHex(line[digits]) {
		size = size<<4 | int64(unhex(line[digits]))
		if digits++; digits > 15 {
			return 0, refusal(http.StatusBadRequest, "chunk size out of range")
		}
	}
	if digits == 0 || (digits < len(line) && line[digits] != ';') || !isFieldText(line[digits:]) {
		return 0, refusal(http.StatusBadRequest, "malformed chunk size line")
	}
	if f.ext += len(line) - digits; f.ext > maxExtras {
		return 0, refusal(http.StatusBadRequest, "chunk extensions over 8 KiB")
	}
	f.left = size
	f.at = inChunk
	if size == 0 {
		f.at, f.ext = inTrailer, 0
	}
	return end + 1, nil
}

func (f *frame) trailer(b []byte) (int, error) {
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		if len(b) > maxExtras {
			return 0, refusal(http.StatusRequestHeaderFieldsTooLarge, "trailer over 8 KiB")
		}
		return 0, nil
	}
	if end == 0 || b[end-1] != '\r' {
		return 0, refusal(http.StatusBadRequest, "line does not end in CR LF")
	}
	if end == 1 {
		f.at = inHead
		return 2, nil
	}
	if f.ext += end; f.ext > maxExtras {
		return 0, refusal(http.StatusRequestHeaderFieldsTooLarge, "trailer over 8 KiB")
	}
	name, _, err := readField(b[:end-1])
	if err != nil {
		return 0, err
	}
	switch lower(name) {
	case "content-length", "transfer-encoding", "host", "connection", "authorization":
		return 0, refusal(http.StatusBadRequest, "field not allowed in a trailer")
	}
	return end + 1, nil
}
