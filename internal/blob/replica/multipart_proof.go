package replica

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
)

// A provider whose tags are not the MD5 of the bytes (one that encrypts by keys
// of its own, for example) does not tell which bytes it has for a part, only
// that they have not changed since it gave that tag. So what the tag stood for
// is noted beside it, in the name of an empty record in the same bucket:
//
//	p/<op>/<part number>.<MD5 of the bytes>.<hash of the tag>
//	p/<op>/whole.<ETag of the object>.<hash of nothing>
//
// Members whose tags are MD5s need none.
const proofPrefix = "p/"

// wholeProof stands in the place of a part's number for the object that a
// member was told to put together.
const wholeProof = "whole"

// proofs is what the tags of a member's parts stand for: the MD5 by number and
// hash of the tag.
type proofs map[string]string

func tagHash(tag string) string {
	sum := sha256.Sum256([]byte(tag))
	return hex.EncodeToString(sum[:8])
}

// prove notes at a member that its tag of a part stands for bytes with the MD5.
func (b *Bucket) prove(ctx context.Context, m *member, op, what, md5, tag string) error {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	name := proofPrefix + op + "/" + what + "." + md5 + "." + tagHash(tag)
	_, err := m.Heads.Put(ctx, name, bytes.NewReader(nil), 0, blob.PutOptions{})
	return err
}

// provePart notes what a part's tag stands for where it does not tell itself.
func (b *Bucket) provePart(ctx context.Context, m *member, op string, p blob.Part, md5 string) error {
	if p.ETag == md5 {
		return nil
	}
	return b.prove(ctx, m, op, strconv.Itoa(p.Number), md5, p.ETag)
}

// eachProof gives the names of the records that a member has for an upload.
func (b *Bucket) eachProof(ctx context.Context, m *member, op string, f func(name string) error) error {
	o := blob.ListOptions{Prefix: proofPrefix + op + "/"}
	for {
		p, err := m.Heads.List(ctx, o)
		if err != nil {
			return err
		}
		for _, r := range p.Objects {
			if err := f(r.Key); err != nil {
				return err
			}
		}
		if o.After = p.Next; o.After == "" {
			return nil
		}
	}
}

// proofsAt reads them.
func (b *Bucket) proofsAt(ctx context.Context, m *member, op string) (proofs, error) {
	known := proofs{}
	err := b.eachProof(ctx, m, op, func(name string) error {
		part, rest, _ := strings.Cut(strings.TrimPrefix(name, proofPrefix+op+"/"), ".")
		sum, tag, ok := strings.Cut(rest, ".")
		if !ok {
			return nil
		}
		if old, twice := known[part+"."+tag]; twice && old != sum {
			sum = "" // two stand against each other: nothing is known
		}
		known[part+"."+tag] = sum
		return nil
	})
	return known, err
}

// of gives the MD5 that a part's tag stands for: what was noted, or the tag
// itself.
func (p proofs) of(part blob.Part) string {
	if sum, noted := p[strconv.Itoa(part.Number)+"."+tagHash(part.ETag)]; noted {
		return sum
	}
	return part.ETag
}

// whole gives the ETag of the object that a member was told to put together, or
// "" if that was not noted, or of more than one.
func (p proofs) whole() string { return p[wholeProof+"."+tagHash("")] }

// dropProofs removes what was noted for an upload that has ended.
func (b *Bucket) dropProofs(ctx context.Context, op string) error {
	var last error
	for _, m := range b.data {
		err := b.eachProof(ctx, m, op, func(name string) error { return m.Heads.Delete(ctx, name, blob.DeleteOptions{}) })
		if err != nil {
			last = err
		}
	}
	return last
}
