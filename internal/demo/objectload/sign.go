package objectload

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// Keys are a credential.
type Keys struct{ Access, Secret string }

// region is what requests are signed for. Spare takes any.
const region = "us-east-1"

// sign signs the request by Signature Version 4, in its headers. sum is the
// body's hex SHA-256. Path and query must hold nothing that S3 would have
// escaped otherwise than net/url does.
func (k Keys) sign(req *http.Request, sum string, now time.Time) {
	stamp := now.UTC().Format("20060102T150405Z")
	scope := stamp[:8] + "/" + region + "/s3/aws4_request"
	req.Header.Set("X-Amz-Date", stamp)
	req.Header.Set("X-Amz-Content-Sha256", sum)
	const signed = "host;x-amz-content-sha256;x-amz-date"
	canonical := strings.Join([]string{
		req.Method, req.URL.EscapedPath(), strings.ReplaceAll(req.URL.Query().Encode(), "+", "%20"),
		"host:" + req.URL.Host, "x-amz-content-sha256:" + sum, "x-amz-date:" + stamp, "",
		signed, sum,
	}, "\n")
	text := "AWS4-HMAC-SHA256\n" + stamp + "\n" + scope + "\n" + digest([]byte(canonical))
	key := []byte("AWS4" + k.Secret)
	for _, s := range append(strings.Split(scope, "/"), text) {
		key = mac(key, s)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+k.Access+"/"+scope+", SignedHeaders="+signed+", Signature="+hex.EncodeToString(key))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// digest is the hex SHA-256 of b.
func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
