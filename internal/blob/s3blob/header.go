package s3blob

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sparecloud/spare/internal/blob"
)

// maybe leaves out what is empty: a header without a value is another request.
func maybe(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// quote gives an entity tag as HTTP writes it.
func quote(tag string) *string {
	if tag == "" || strings.HasPrefix(tag, `W/"`) {
		return maybe(tag)
	}
	return aws.String(`"` + tag + `"`)
}

// unquote is the inverse of quote.
func unquote(tag *string) string {
	s := aws.ToString(tag)
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// ifAbsent gives If-None-Match.
func ifAbsent(c blob.Condition) *string {
	if c.Absent {
		return aws.String("*")
	}
	return nil
}

// version gives a version id. "null" is what buckets call the only version of
// an object that was written while they kept none.
func version(id *string) string {
	if s := aws.ToString(id); s != "null" {
		return s
	}
	return ""
}

// expires sends Expires as it came: the SDK would take a time only.
func expires(h blob.Header) func(*s3.Options) {
	if h.Expires == "" {
		return func(*s3.Options) {}
	}
	return s3.WithAPIOptions(smithyhttp.SetHeaderValue("Expires", h.Expires))
}

// encodeMeta makes metadata fit for headers: values that are not plain ASCII
// are sent as RFC 2047 words, as AWS itself gives them back.
func encodeMeta(meta map[string]string) map[string]string {
	m := make(map[string]string, len(meta))
	for k, v := range meta {
		if !plain(v) {
			v = "=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(v)) + "?="
		}
		m[k] = v
	}
	return m
}

// plain says whether s comes through a header unchanged.
func plain(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return strings.TrimSpace(s) == s && !strings.Contains(s, "=?")
}

func decodeMeta(meta map[string]string) map[string]string {
	if len(meta) == 0 {
		return nil
	}
	m := make(map[string]string, len(meta))
	words := new(mime.WordDecoder)
	for k, v := range meta {
		if s, err := words.DecodeHeader(v); err == nil {
			v = s
		}
		m[strings.ToLower(k)] = v
	}
	return m
}

// object puts together what the headers of GET and HEAD say.
func object(key string, size int64, etag, id *string, modified *time.Time, h blob.Header, meta map[string]string) blob.Object {
	o := blob.Object{
		Key: key, Size: size, ETag: unquote(etag), Version: version(id),
		Modified: aws.ToTime(modified), Header: h, Meta: decodeMeta(meta),
	}
	o.Parts = parts(o.ETag)
	return o
}

// parts gives the number of parts that S3 writes behind the tag of a multipart
// object, 0 if there is none.
func parts(tag string) int {
	sum, n, ok := strings.Cut(tag, "-")
	if !ok || !isMD5(sum) {
		return 0
	}
	count, err := strconv.Atoi(n)
	if err != nil || count < 0 {
		return 0
	}
	return count
}

func isMD5(tag string) bool {
	raw, err := hex.DecodeString(tag)
	return err == nil && len(raw) == 16
}

// checkTag says whether the tag of a write can be that of the bytes that were
// sent. With a KMS key a tag is no digest.
func (d *Driver) checkTag(etag *string, sum []byte, sse types.ServerSideEncryption) (string, error) {
	tag := unquote(etag)
	kms := sse == types.ServerSideEncryptionAwsKms || sse == types.ServerSideEncryptionAwsKmsDsse
	switch sent := fmt.Sprintf("%x", sum); {
	case sum == nil:
		return "", suspect(ask{writes: true}, "it acknowledged a body that it does not have yet")
	case tag == "":
		return "", suspect(ask{writes: true}, "it names no ETag of what was written")
	case d.opt.OpaqueTags || kms || !isMD5(tag) || strings.EqualFold(tag, sent):
		return tag, nil
	default:
		return "", suspect(ask{writes: true}, "the ETag is %s and the MD5 of what was sent is %s", tag, sent)
	}
}
