package fileblob

import (
	"crypto/sha1" // one of the checksums that S3 clients may declare
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// algorithms are the checksums of S3, by the names in blob.Sums. CRC64NVME is
// the CRC-64 of the NVM Express specification; its polynomial is written
// reversed, as package crc64 wants it.
var algorithms = map[string]func() hash.Hash{
	"CRC32":     func() hash.Hash { return crc32.NewIEEE() },
	"CRC32C":    func() hash.Hash { return crc32.New(castagnoli) },
	"CRC64NVME": func() hash.Hash { return crc64.New(nvme) },
	"SHA1":      sha1.New,
	"SHA256":    sha256.New,
}

var nvme = crc64.MakeTable(0x9a6c9329ac4bc9b5)

// check computes the checksums that a part declares while it is copied.
type check map[string]hash.Hash

func newCheck(declared blob.Sums) check {
	c := check{}
	for name := range declared {
		if algorithm := algorithms[name]; algorithm != nil {
			c[name] = algorithm()
		}
	}
	return c
}

func (c check) Write(p []byte) (int, error) {
	for _, h := range c {
		_, _ = h.Write(p) // a hash takes all
	}
	return len(p), nil
}

func (c check) compare(n blob.Part) error {
	for name, h := range c {
		if got := base64.StdEncoding.EncodeToString(h.Sum(nil)); got != n.Sums[name] {
			return errs.E(errs.Invalid, "%w: %w: part %d has %s %s, declared was %.100q", blob.ErrPart, blob.ErrDigest, n.Number, name, got, n.Sums[name])
		}
	}
	return nil
}

// composite computes the checksums of an object from those of its parts, as S3
// does: the checksum of the parts' checksums. Only what all parts declare can
// be computed; a CRC64NVME is always one of the whole object, so it cannot.
type composite map[string]hash.Hash

func newComposite(parts []blob.Part) composite {
	c := composite{}
	for name, algorithm := range algorithms {
		all := name != "CRC64NVME"
		for _, p := range parts {
			all = all && p.Sums[name] != ""
		}
		if all {
			c[name] = algorithm()
		}
	}
	return c
}

func (c composite) add(part check) {
	for name, h := range c {
		_, _ = h.Write(part[name].Sum(nil)) // a hash takes all
	}
}

func (c composite) result(parts int) blob.Sums {
	var sums blob.Sums
	for name, h := range c {
		if sums == nil {
			sums = blob.Sums{}
		}
		sums[name] = fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(h.Sum(nil)), parts)
	}
	return sums
}
