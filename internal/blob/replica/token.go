package replica

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// token is what the id of a multipart upload says: no server keeps anything of
// an upload. It is written as JSON and its HMAC-SHA256 under the bucket's
// secret, together in base64url: nobody makes one up, or uses it for another
// key or bucket.
type token struct {
	Op  string            `json:"op"`
	Key string            `json:"key"` // hash of the key
	IDs map[string]string `json:"ids"` // the member's own id of the upload, by member
}

// maxToken bounds an upload id, in bytes. Providers' own ids have up to a few
// hundred.
const maxToken = 8 << 10

// keyHash stands for a key: 128 bits of its SHA-256 in hex.
func keyHash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:16])
}

// seal gives the upload id that stands for t.
func (b *Bucket) seal(t token) (string, error) {
	raw, err := json.Marshal(t)
	if err != nil {
		return "", errs.Wrap(errs.Internal, err, "encode upload id")
	}
	sum, err := b.sign(raw)
	if err != nil {
		return "", err
	}
	id := base64.RawURLEncoding.EncodeToString(append(raw, sum...))
	if len(id) > maxToken {
		return "", errs.E(errs.Internal, "the upload id would have %d bytes, at most %d are allowed: a member's own ids are too long", len(id), maxToken)
	}
	return id, nil
}

// unseal reads an upload id of key. One that is not ours, or of another key, is
// blob.ErrNoUpload.
func (b *Bucket) unseal(key, id string) (token, error) {
	var t token
	if len(id) > maxToken {
		return t, b.noUpload(key)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	cut := len(raw) - sha256.Size
	if err != nil || cut < 0 {
		return t, b.noUpload(key)
	}
	sum, err := b.sign(raw[:cut])
	if err != nil {
		return t, err
	}
	if !hmac.Equal(sum, raw[cut:]) || json.Unmarshal(raw[:cut], &t) != nil || t.Key != keyHash(key) || !isOp(t.Op) {
		return token{}, b.noUpload(key)
	}
	return t, nil
}

// sign gives the HMAC of what an upload id says.
func (b *Bucket) sign(raw []byte) ([]byte, error) {
	secret, err := hex.DecodeString(b.config.Secret)
	if err != nil || len(secret) == 0 {
		return nil, errs.E(errs.Internal, "bucket %s: %s has no secret that could authenticate upload ids", b.o.Name, configKey)
	}
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte("spare upload\n" + b.config.Bucket + "\n")) // a hash takes all
	_, _ = mac.Write(raw)
	return mac.Sum(nil), nil
}

func (b *Bucket) noUpload(key string) error {
	return errs.Wrap(errs.NotFound, blob.ErrNoUpload, "bucket %s: upload of %q", b.o.Name, key)
}
