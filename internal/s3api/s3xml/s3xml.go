// Package s3xml holds the XML documents of the S3 API: those that are answered,
// and those that are read.
//
//	b, err := s3xml.Encode(&s3xml.ListResult{...})
//	del, err := s3xml.ReadDelete(body)
//
// Element names and their order are those of the Amazon S3 API reference.
package s3xml

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Namespace is the namespace of S3's documents.
const Namespace = "http://s3.amazonaws.com/doc/2006-03-01/"

// Text is character data that may hold any character, as keys do. Those that
// XML 1.0 does not allow become references to them, as S3 has it: encoding/xml
// would put another character in their place, and so name another key.
type Text struct {
	Inner string `xml:",innerxml"`
}

// NewText gives the text for a string.
func NewText(s string) Text {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '&':
			b.WriteString("&amp;")
		case r == '<':
			b.WriteString("&lt;")
		case r == '>':
			b.WriteString("&gt;")
		case r == '"':
			b.WriteString("&quot;")
		case r < 0x20, r == 0x7f, r == 0xfffe, r == 0xffff:
			fmt.Fprintf(&b, "&#x%X;", r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return Text{b.String()}
}

// NewEncoded gives a name percent-encoded, as encoding-type=url asks: all but
// the unreserved characters of RFC 3986 and the slash.
func NewEncoded(s string) Text {
	return Text{strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%2F", "/")}
}

// Optional gives the text for a string, or nothing for the empty one.
func Optional(s string) *Text {
	if s == "" {
		return nil
	}
	t := NewText(s)
	return &t
}

// Time is a moment as S3 writes it.
type Time time.Time

// MarshalText writes the moment in UTC with milliseconds.
func (t Time) MarshalText() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format("2006-01-02T15:04:05.000Z")), nil
}

// Encode gives a document with its declaration.
func Encode(doc any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(&b).Encode(doc); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Owner is whom everything belongs to.
type Owner struct {
	ID          string
	DisplayName string
}

// Buckets answers ListBuckets.
type Buckets struct {
	XMLName           xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListAllMyBucketsResult"`
	Owner             Owner
	Buckets           BucketList
	ContinuationToken string `xml:",omitempty"`
	Prefix            *Text
}

// BucketList is an element of its own, which clients expect when it is empty
// too.
type BucketList struct {
	Bucket []Bucket
}

// Bucket is one of [Buckets].
type Bucket struct {
	Name         string
	CreationDate Time
	BucketRegion string `xml:",omitempty"`
}

// Location answers GetBucketLocation.
type Location struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
	Region  string   `xml:",chardata"`
}

// Versioning answers GetBucketVersioning: no status means that versions were
// never kept.
type Versioning struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ VersioningConfiguration"`
}

// ACL answers GetBucketAcl and GetObjectAcl.
type ACL struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ AccessControlPolicy"`
	Owner   Owner
	Grants  []Grant `xml:"AccessControlList>Grant"`
}

// Grant is one of an [ACL].
type Grant struct {
	Grantee    Grantee
	Permission string
}

// Grantee is whom a [Grant] is given.
type Grantee struct {
	XSI         string `xml:"xmlns:xsi,attr"`
	Type        string `xml:"xsi:type,attr"`
	ID          string
	DisplayName string
}

// PrivateACL says that all belongs to the owner alone.
func PrivateACL(o Owner) *ACL {
	who := Grantee{XSI: "http://www.w3.org/2001/XMLSchema-instance", Type: "CanonicalUser", ID: o.ID, DisplayName: o.DisplayName}
	return &ACL{Owner: o, Grants: []Grant{{Grantee: who, Permission: "FULL_CONTROL"}}}
}
