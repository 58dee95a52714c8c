package s3blob_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// unchunked reads a request's body, out of its signed chunks if it comes in
// them, and fails if it does not come to its end.
func unchunked(r *http.Request) ([]byte, error) {
	if r.Header.Get("X-Amz-Content-Sha256") != "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" {
		return io.ReadAll(r.Body)
	}
	in := bufio.NewReader(r.Body)
	var all []byte
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return all, io.ErrUnexpectedEOF
		}
		length, _, _ := strings.Cut(line, ";chunk-signature=")
		n, err := strconv.ParseInt(length, 16, 32)
		if err != nil {
			return all, err
		}
		data := make([]byte, n+2)
		if _, err := io.ReadFull(in, data); err != nil {
			return all, err
		}
		if n > 0 {
			all = append(all, data[:n]...)
			continue
		}
		if want := r.Header.Get("X-Amz-Decoded-Content-Length"); want != strconv.Itoa(len(all)) {
			return all, fmt.Errorf("%d bytes came, %s were promised", len(all), want)
		}
		return all, nil
	}
}
