package offer

import (
	"net/http"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// headers are the x-amz-* headers that are understood, in lower case; one that
// ends in "-" stands for all that begin so. Where values are named no other is
// offered. The rest would change what a request means.
var headers = map[string][]string{
	// of the signature and of the body
	"x-amz-date":                   nil,
	"x-amz-content-sha256":         nil,
	"x-amz-security-token":         nil, // refused with the signature
	"x-amz-decoded-content-length": nil,
	"x-amz-trailer":                nil,
	"x-amz-sdk-checksum-algorithm": nil,
	"x-amz-checksum-algorithm":     {"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"},
	"x-amz-checksum-type":          {"COMPOSITE", "FULL_OBJECT"},
	"x-amz-checksum-mode":          {"ENABLED"},
	"x-amz-checksum-crc32":         nil,
	"x-amz-checksum-crc32c":        nil,
	"x-amz-checksum-crc64nvme":     nil,
	"x-amz-checksum-sha1":          nil,
	"x-amz-checksum-sha256":        nil,
	"x-amz-mp-object-size":         nil,
	// of objects
	"x-amz-meta-":                           nil,
	"x-amz-metadata-directive":              {"COPY", "REPLACE"},
	"x-amz-tagging-directive":               {"COPY"},
	"x-amz-storage-class":                   {"STANDARD"},
	"x-amz-acl":                             {"private", "bucket-owner-full-control"},
	"x-amz-copy-source":                     nil,
	"x-amz-copy-source-range":               nil,
	"x-amz-copy-source-if-match":            nil,
	"x-amz-copy-source-if-none-match":       nil,
	"x-amz-copy-source-if-modified-since":   nil,
	"x-amz-copy-source-if-unmodified-since": nil,
	// that ask for nothing here
	"x-amz-request-payer":              {"requester"},
	"x-amz-bucket-object-lock-enabled": {"false", "False"},
	"x-amz-optional-object-attributes": nil,
	"x-amz-user-agent":                 nil,
	"x-amz-cf-id":                      nil,
}

// hints say what to do instead.
var hints = map[string]string{
	"x-amz-server-side-encryption": "Turn on default encryption of the provider's buckets.",
	"x-amz-object-lock":            "Turn on object lock in the provider's buckets.",
	"x-amz-acl":                    "Objects are private to the credentials in spare.yaml.",
	"x-amz-grant":                  "Objects are private to the credentials in spare.yaml.",
	"x-amz-storage-class":          "Choose the storage class of the provider's buckets.",
}

// CheckHeader refuses x-amz-* headers that are not understood.
func CheckHeader(h http.Header) error {
	for name, values := range h {
		name = strings.ToLower(name)
		if !strings.HasPrefix(name, "x-amz-") {
			continue
		}
		allowed, known := headers[name]
		if strings.HasPrefix(name, "x-amz-meta-") {
			continue
		}
		for _, v := range values {
			if !known || allowed != nil && !slices.Contains(allowed, v) {
				return refuse(name, v)
			}
		}
	}
	return nil
}

func refuse(name, value string) error {
	hint := ""
	for prefix, text := range hints {
		if strings.HasPrefix(name, prefix) {
			hint = " " + text
		}
	}
	return s3err.NotImplemented.Msg("The header %s: %s is not offered here.%s", name, value, hint)
}
