package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

// Chain checks the signatures of a body's chunks: each signs the one before
// it, and the first that of the request.
type Chain struct {
	key   []byte
	stamp string // time and scope
	last  string // signature before, in hex
}

// Chain begins the chain of the request's body.
func (s *Signature) Chain(secret string) *Chain {
	return &Chain{key: s.key(secret), stamp: s.Time.Format(timeFormat) + "\n" + s.scope(), last: s.value}
}

// Chunk says whether signature, in hex, is that of the next chunk, whose data
// has the SHA-256 sum.
func (c *Chain) Chunk(sum []byte, signature string) bool {
	return c.next(algorithm+"-PAYLOAD\n"+c.stamp+"\n"+c.last+"\n"+emptyHash+"\n"+hex.EncodeToString(sum), signature)
}

// Trailer says whether signature is that of the trailer in canonical form: a
// line "name:value\n" each.
func (c *Chain) Trailer(canonical []byte, signature string) bool {
	sum := sha256.Sum256(canonical)
	return c.next(algorithm+"-TRAILER\n"+c.stamp+"\n"+c.last+"\n"+hex.EncodeToString(sum[:]), signature)
}

func (c *Chain) next(text, signature string) bool {
	want := hex.EncodeToString(mac(c.key, text))
	c.last = want
	return subtle.ConstantTimeCompare([]byte(want), []byte(signature)) == 1
}
