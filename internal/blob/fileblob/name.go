package fileblob

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
)

// How a segment of a key (what stands between slashes) becomes a file name.
// Every name that is not a segment as it is begins with reserved, and no
// segment that begins with it is ever a name as it is: so names and segments
// tell each other without doubt.
const (
	reserved = ".spare-"

	escaped     = reserved + "x-" // and the segment, NUL and % as %00 and %25
	hashed      = reserved + "h-" // and the segment's SHA-256: its text is in the folder of names
	aside       = reserved + "o-" // an object whose own name is taken by a folder
	asideHashed = reserved + "p-" // the same, hashed
	maxName     = 255             // bytes of a file name
)

// fileName gives the name of a segment's file or folder.
func fileName(seg string) string {
	if seg != "" && seg != "." && seg != ".." && len(seg) <= maxName && !strings.HasPrefix(seg, reserved) && strings.IndexByte(seg, 0) < 0 {
		return seg
	}
	return marked(escaped, hashed, seg)
}

// asideName gives the name of a segment's file where a folder has its name.
func asideName(seg string) string { return marked(aside, asideHashed, seg) }

func marked(short, long, seg string) string {
	if name := short + escape(seg); len(name) <= maxName {
		return name
	}
	return long + hashOf(seg)
}

var (
	escape   = strings.NewReplacer("%", "%25", "\x00", "%00").Replace
	unescape = strings.NewReplacer("%25", "%", "%00", "\x00").Replace
)

func hashOf(seg string) string {
	sum := sha256.Sum256([]byte(seg))
	return hex.EncodeToString(sum[:])
}

// parsed is what a file name says.
type parsed struct {
	seg   string // the segment; "" with a hash
	hash  string // of a segment that is kept in the folder of names
	aside bool
}

// parseName is the inverse of fileName and asideName. ok is false for names
// that neither gives: they are no part of any key.
func parseName(name string) (p parsed, ok bool) {
	switch {
	case !strings.HasPrefix(name, reserved):
		return parsed{seg: name}, true
	case strings.HasPrefix(name, hashed):
		p.hash = name[len(hashed):]
		return p, isHash(p.hash)
	case strings.HasPrefix(name, asideHashed):
		p.hash, p.aside = name[len(asideHashed):], true
		return p, isHash(p.hash)
	case strings.HasPrefix(name, escaped):
		p.seg = unescape(name[len(escaped):])
		return p, fileName(p.seg) == name
	case strings.HasPrefix(name, aside):
		p.seg, p.aside = unescape(name[len(aside):]), true
		return p, asideName(p.seg) == name
	}
	return p, false
}

func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}

// place is where a key is kept.
type place struct {
	key    string
	segs   []string // of the key; the last is the object's own
	dirs   []string // names of the folders above the object
	name   string   // of the object's file
	aside  string   // of the object's file where a folder has its name
	stripe uint32   // of the lock
	attrs  string   // folder of the attributes, below the folder of all attributes
	leaf   string   // of the attributes' file
}

// locate gives the place of a key.
func locate(key string) (place, error) {
	if err := blob.CheckKey(key); err != nil {
		return place{}, err
	}
	p := place{key: key, segs: strings.Split(key, "/"), stripe: stripeOf(key)}
	last := len(p.segs) - 1
	for _, seg := range p.segs[:last] {
		p.dirs = append(p.dirs, fileName(seg))
	}
	p.name, p.aside = fileName(p.segs[last]), asideName(p.segs[last])
	p.attrs, p.leaf = attrsOf(key[:len(key)-len(p.segs[last])]), leafOf(p.segs[last])
	return p, nil
}

// attrsOf gives the folder of the attributes of the objects right below a
// prefix, which is "" or ends in a slash: one folder for each folder of
// objects, so that a listing reads one place on the disk.
func attrsOf(prefix string) string {
	sum := sha256.Sum256([]byte(prefix))
	return fmt.Sprintf("%x/%x", sum[:1], sum[1:16])
}

func leafOf(seg string) string {
	sum := sha256.Sum256([]byte(seg))
	return hex.EncodeToString(sum[:16])
}

// stripes is how many locks there are. Two keys of one stripe wait for each
// other and for nothing more.
const stripes = 128

func stripeOf(key string) uint32 {
	sum := sha256.Sum256([]byte(key))
	return (uint32(sum[0])<<8 | uint32(sum[1])) % stripes
}
