package replica

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	mrand "math/rand/v2"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Where things are in a member's head bucket, and the names of what we write
// beside a body, so that repair knows it again.
const (
	headPrefix  = "h/"
	stagePrefix = "b/"
	metaOp      = "spare-op"
	maxHead     = 16 << 10 // bytes
	maxHeaders  = 8 << 10  // bytes of response headers and metadata together
)

// stamp orders the writes of a key: by counter, then by the writer's operation,
// which is unique. The zero stamp is "never written".
type stamp struct {
	Counter uint64 `json:"c"`
	Op      string `json:"op"` // 128 random bits in hex
}

func (s stamp) compare(t stamp) int {
	return cmp.Or(cmp.Compare(s.Counter, t.Counter), strings.Compare(s.Op, t.Op))
}

// head is the record of a key's newest write. Its bytes are the same on every
// member that took the same revision, and never repeat on one, because they
// hold the stamp and the revision: so even a tag that is a mere fingerprint
// identifies a version.
type head struct {
	stamp
	Rev      int               `json:"v"` // revision of the hints; the write itself is revision 0
	Key      string            `json:"key"`
	Deleted  bool              `json:"del,omitempty"`
	Size     int64             `json:"size"`
	SHA256   string            `json:"sha256,omitempty"` // hex; "" for multipart and adopted objects
	ETag     string            `json:"etag,omitempty"`
	Modified time.Time         `json:"mtime"` // the writer's clock: for people, never for order
	Header   blob.Header       `json:"hdr,omitzero"`
	Meta     map[string]string `json:"meta,omitempty"`
	Sums     blob.Sums         `json:"sums,omitempty"`
	Parts    []partRun         `json:"parts,omitempty"`
	Have     []string          `json:"have,omitempty"` // members that hold the body: a hint, verified on use
	// Plain gives, for members whose plain key held the body before Spare did,
	// the ETag that identifies it there.
	Plain map[string]string `json:"plain,omitempty"`
}

// partRun is a number of parts of equal size that follow each other.
type partRun struct {
	Size  int64 `json:"s"`
	Count int   `json:"n"`
}

// newer orders heads by stamp, then by revision. A nil head is the oldest.
func (h *head) newer(than *head) bool {
	switch {
	case h == nil:
		return false
	case than == nil:
		return true
	}
	return cmp.Or(h.compare(than.stamp), cmp.Compare(h.Rev, than.Rev)) > 0
}

func (h *head) at() stamp {
	if h == nil {
		return stamp{}
	}
	return h.stamp
}

func (h *head) live() bool { return h != nil && !h.Deleted }

// has says whether the hint names the member.
func (h *head) has(id string) bool {
	for _, m := range h.Have {
		if m == id {
			return true
		}
	}
	return false
}

// state is what the length of an encoded head tells in a listing, modulo 3.
type state int

const (
	stateDeleted state = iota
	stateWhole         // every member that should hold the body does
	stateLacking       // some do not
)

func stateOf(length int64) state { return state(length % 3) }

// encode gives the head's bytes: a line of JSON, a line with its SHA-256, and
// as many spaces as make the length tell the state.
func (h *head) encode(data int) ([]byte, error) {
	line, err := json.Marshal(h)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode head")
	}
	sum := sha256.Sum256(line)
	out := append(line, '\n')
	out = append(out, hex.EncodeToString(sum[:])...)
	out = append(out, '\n')
	want := stateWhole
	switch {
	case h.Deleted:
		want = stateDeleted
	case len(h.Have) < data:
		want = stateLacking
	}
	for stateOf(int64(len(out))) != want {
		out = append(out, ' ')
	}
	if len(out) > maxHead {
		return nil, errs.E(errs.Invalid, "the head would have %d bytes, at most %d are allowed: shorten the metadata or the headers", len(out), maxHead)
	}
	return out, nil
}

// decodeHead reads a head of key. Whatever is not one, whole, is
// blob.ErrSuspect: it is never taken for an absent head.
func decodeHead(key string, data []byte) (*head, error) {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	sum := sha256.Sum256(line)
	if strings.TrimSpace(string(rest)) != hex.EncodeToString(sum[:]) {
		return nil, errs.Wrap(errs.Unavailable, blob.ErrSuspect, "the head of %q does not match its own checksum", key)
	}
	h := new(head)
	if err := json.Unmarshal(line, h); err != nil {
		return nil, errs.Wrap(errs.Unavailable, blob.ErrSuspect, "the head of %q cannot be read: %v", key, err)
	}
	if h.Key != key || h.Op == "" {
		return nil, errs.Wrap(errs.Unavailable, blob.ErrSuspect, "the head of %q is one of %q", key, h.Key)
	}
	return h, nil
}

// object gives what a client sees.
func (h *head) object() blob.Object {
	o := blob.Object{
		Key: h.Key, Size: h.Size, ETag: h.ETag, Modified: h.Modified,
		Header: h.Header, Meta: maps.Clone(h.Meta), Sums: maps.Clone(h.Sums), // the head is shared
	}
	for _, r := range h.Parts {
		o.Parts += r.Count
	}
	return o
}

// checkWrite says what is wrong with a key and what is stored beside it.
func (b *Bucket) checkWrite(key string, o blob.PutOptions) error {
	if err := b.checkKey(key); err != nil {
		return err
	}
	if err := blob.CheckMeta(bodyMeta(noOp, o.Meta)); err != nil {
		return err
	}
	n := 0
	for _, s := range []string{o.Header.Type, o.Header.Encoding, o.Header.Disposition, o.Header.Language, o.Header.CacheControl, o.Header.Expires} {
		n += len(s)
	}
	for k, v := range o.Meta {
		n += len(k) + len(v)
	}
	if n > maxHeaders {
		return errs.E(errs.Invalid, "headers and metadata have %d bytes, at most %d are allowed", n, maxHeaders)
	}
	if o.If.Set() {
		return unsupported("conditional writes")
	}
	return nil
}

// checkKey keeps room for what stands around the key of a staged body, and off
// the reserved prefixes.
func (b *Bucket) checkKey(key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	if most := blob.MaxKey - len(staged("", "")) - 32; len(key) > most {
		return errs.E(errs.Invalid, "the key has %d bytes, at most %d are allowed in a replicated bucket", len(key), most)
	}
	for _, p := range b.o.Reserved {
		if strings.HasPrefix(key, p) {
			return errs.E(errs.Invalid, "keys that begin with %q are the bucket's own", p)
		}
	}
	return nil
}

func unsupported(what string) error {
	return errs.WithHint(errs.E(errs.Unsupported, "%s are not offered by a replicated bucket in this mode", what),
		"they need the bucket's option conditional: true")
}

// bodyMeta is the user's metadata and ours.
func bodyMeta(op string, user map[string]string) map[string]string {
	meta := make(map[string]string, len(user)+1)
	maps.Copy(meta, user)
	meta[metaOp] = op
	return meta
}

// noOp has the length of an operation's name.
const noOp = "00000000000000000000000000000000"

type randKey struct{}

// newOp names an operation: 128 random bits in hex, from the operation's own
// generator where ctx carries one, as simulations need.
func newOp(ctx context.Context) string {
	raw := make([]byte, 16)
	if r, ok := ctx.Value(randKey{}).(*mrand.Rand); ok {
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
	} else {
		rand.Read(raw) // never fails (Go 1.24)
	}
	return hex.EncodeToString(raw)
}
