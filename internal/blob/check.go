package blob

import (
	"strings"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/errs"
)

// Limits that all providers share.
const (
	MaxKey   = 1024    // bytes of a key
	MaxMeta  = 2 << 10 // bytes of user metadata, names and values
	MaxParts = 10_000  // parts of an upload
	MaxPut   = 5 << 30 // bytes of a Put or a part
	MinPart  = 5 << 20 // bytes of a part that is not the last
	MaxPage  = 1_000   // names in a Page

	maxHeader = 4 << 10 // bytes of a Header's values; S3 takes 8 KiB of headers in all
)

// CheckKey says what is wrong with a key, or nil.
func CheckKey(key string) error {
	switch {
	case key == "":
		return errs.E(errs.Invalid, "the key is empty")
	case len(key) > MaxKey:
		return errs.E(errs.Invalid, "the key has %d bytes, at most %d are allowed", len(key), MaxKey)
	case !utf8.ValidString(key):
		return errs.E(errs.Invalid, "the key is not valid UTF-8")
	}
	return nil
}

// CheckMeta says what is wrong with user metadata, or nil. Names are HTTP
// tokens in lower case; values are text without control characters, of any
// script.
func CheckMeta(meta map[string]string) error {
	n := 0
	for k, v := range meta {
		n += len(k) + len(v)
		if !isName(k) {
			return errs.E(errs.Invalid, "the metadata name %.40q is not lower-case letters, digits and signs of a header name", k)
		}
		if !isText(v) {
			return errs.E(errs.Invalid, "the metadata value of %.40q has control characters or is not valid UTF-8", k)
		}
	}
	if n > MaxMeta {
		return errs.E(errs.Invalid, "the user metadata has %d bytes, at most %d are allowed", n, MaxMeta)
	}
	return nil
}

// CheckHeader says what is wrong with an object's headers, or nil.
func CheckHeader(h Header) error {
	n := 0
	for _, f := range [...]struct{ name, value string }{
		{"Content-Type", h.Type}, {"Content-Encoding", h.Encoding}, {"Content-Disposition", h.Disposition},
		{"Content-Language", h.Language}, {"Cache-Control", h.CacheControl}, {"Expires", h.Expires},
	} {
		n += len(f.value)
		if !isText(f.value) {
			return errs.E(errs.Invalid, "the header %s has control characters or is not valid UTF-8", f.name)
		}
	}
	if n > maxHeader {
		return errs.E(errs.Invalid, "the object's headers have %d bytes, at most %d are allowed", n, maxHeader)
	}
	return nil
}

// check says what is wrong with the options of a write, or nil.
func (o PutOptions) check() error {
	if err := CheckMeta(o.Meta); err != nil {
		return err
	}
	if err := CheckHeader(o.Header); err != nil {
		return err
	}
	return o.If.check()
}

func (c Condition) check() error {
	if c.Absent && c.Match != "" {
		return errs.E(errs.Invalid, "a condition cannot want both an object and none")
	}
	return nil
}

func checkSize(size int64) error {
	if size < 0 || size > MaxPut {
		return errs.E(errs.Invalid, "the body's size is %d bytes, it must be known and at most %d", size, int64(MaxPut))
	}
	return nil
}

func checkParts(parts []Part) error {
	if len(parts) == 0 {
		return errs.Wrap(errs.Invalid, ErrPart, "no part is named")
	}
	for i, p := range parts {
		if p.Number < 1 || p.Number > MaxParts || i > 0 && p.Number <= parts[i-1].Number {
			return errs.E(errs.Invalid, "part numbers must rise and lie between 1 and %d: %d is at place %d", MaxParts, p.Number, i+1)
		}
	}
	return nil
}

// isName says whether s is a header name's token (RFC 9110, 5.6.2) without
// upper case.
func isName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// isText says whether s can stand in a header once it is encoded: a line break
// would begin another header.
func isText(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}
