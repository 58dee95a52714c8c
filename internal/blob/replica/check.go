package replica

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"strconv"
)

// check says whether bytes that pass are those of an object.
type check interface {
	io.Writer
	ok() bool // after all bytes have passed
}

// newCheck gives the strongest check that the head allows, or nil: an adopted
// multipart object tells nothing of its bytes but their number.
func newCheck(h *head) check {
	switch {
	case h.SHA256 != "":
		return &wholeCheck{sum: sha256.New(), want: h.SHA256}
	case len(h.Parts) > 0:
		return &partsCheck{runs: h.Parts, want: h.ETag, part: md5.New(), all: md5.New(), left: h.Parts[0].Size}
	case len(h.ETag) == 2*md5.Size && len(h.Plain) == 0:
		return &wholeCheck{sum: md5.New(), want: h.ETag}
	}
	return nil
}

type wholeCheck struct {
	sum  hash.Hash
	want string
}

func (c *wholeCheck) Write(p []byte) (int, error) { return c.sum.Write(p) }
func (c *wholeCheck) ok() bool                    { return hex.EncodeToString(c.sum.Sum(nil)) == c.want }

// partsCheck computes the ETag of an object that was uploaded in parts: the MD5
// of the parts' MD5s, and their number.
type partsCheck struct {
	runs  []partRun
	want  string
	part  hash.Hash
	all   hash.Hash
	left  int64 // of the current part
	in    int   // parts of the current run that are done
	count int
}

func (c *partsCheck) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && len(c.runs) > 0 {
		take := min(int64(len(p)), c.left)
		c.part.Write(p[:take])
		p = p[take:]
		if c.left -= take; c.left == 0 {
			c.next()
		}
	}
	return n, nil
}

func (c *partsCheck) next() {
	c.all.Write(c.part.Sum(nil))
	c.part.Reset()
	c.count++
	if c.in++; c.in == c.runs[0].Count {
		c.runs, c.in = c.runs[1:], 0
	}
	if len(c.runs) > 0 {
		c.left = c.runs[0].Size
	}
}

func (c *partsCheck) ok() bool {
	for len(c.runs) > 0 && c.left == 0 {
		c.next() // a last part of no bytes
	}
	return hex.EncodeToString(c.all.Sum(nil))+"-"+strconv.Itoa(c.count) == c.want
}
