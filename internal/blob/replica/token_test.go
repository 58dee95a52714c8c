package replica

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
)

// FuzzUnseal: whatever a client sends for an upload id, it is one that was given
// for the key, or there is no such upload.
func FuzzUnseal(f *testing.F) {
	b := &Bucket{config: Config{Bucket: "media", Secret: "00ff"}}
	t := token{Op: noOp, Key: keyHash("k"), IDs: map[string]string{"virginia": "1", "belgium": "2"}}
	id, err := b.seal(t)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("k", id)
	f.Add("k", twisted(id))
	f.Add("l", id)
	f.Add("k", base64.RawURLEncoding.EncodeToString([]byte(`{"op":"`+noOp+`","ids":{}}`)))
	f.Fuzz(func(t *testing.T, key, given string) {
		got, err := b.unseal(key, given)
		switch {
		case err != nil && !errors.Is(err, blob.ErrNoUpload):
			t.Errorf("%v", err)
		case err == nil && (given != id || key != "k" || got.IDs["virginia"] != "1"):
			t.Errorf("%q is taken for an upload of %q", given, key)
		}
	})
}

func TestNoUploadIDWithoutASecret(t *testing.T) {
	b := &Bucket{config: Config{Bucket: "media"}}
	if id, err := b.seal(token{Op: noOp}); err == nil {
		t.Errorf("it gives %q", id)
	}
}
