// Package listing reads what a request wants listed and makes the answer of
// what a store gave. It does no I/O.
//
//	l, err := listing.ObjectsV2(bucket, query)
//	page, err := store.List(ctx, l.ListOptions)
//	doc := l.Answer(page)
package listing

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/entity"
	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/s3xml"
)

// Owner is whom everything belongs to: there are no accounts here.
var Owner = s3xml.Owner{ID: "spare", DisplayName: "spare"}

// List is a ListObjects of either version. A Limit of 0 wants no names at all:
// then there is nothing to ask a store.
type List struct {
	blob.ListOptions
	v2     bool
	owner  *s3xml.Owner
	encode func(string) s3xml.Text
	doc    *s3xml.ListResult
}

// Objects reads the parameters of ListObjects.
func Objects(bucket string, query map[string]string) (*List, error) {
	l, err := both(bucket, query)
	if err != nil {
		return nil, err
	}
	l.owner = &Owner
	l.After = skip(query["marker"], l.Prefix, l.Delimiter)
	marker := l.encode(query["marker"])
	l.doc.Marker = &marker
	return l, nil
}

// ObjectsV2 reads the parameters of ListObjectsV2.
func ObjectsV2(bucket string, query map[string]string) (*List, error) {
	if v := query["list-type"]; v != "2" {
		return nil, s3err.InvalidArgument.Msg("Invalid list-type %q: it can only be 2.", v)
	}
	l, err := both(bucket, query)
	if err != nil {
		return nil, err
	}
	l.v2 = true
	if query["fetch-owner"] == "true" {
		l.owner = &Owner
	}
	if l.After = query["start-after"]; l.After != "" {
		after := l.encode(l.After)
		l.doc.StartAfter = &after
	}
	if token, ok := query["continuation-token"]; ok {
		if l.After, err = ReadToken(token); err != nil {
			return nil, err
		}
		l.doc.ContinuationToken = s3xml.Optional(token)
	}
	return l, nil
}

// both reads the parameters that the versions have in common.
func both(bucket string, query map[string]string) (*List, error) {
	l := &List{ListOptions: blob.ListOptions{Prefix: query["prefix"], Delimiter: query["delimiter"]}}
	var err error
	if l.Limit, err = Limit(query, "max-keys", blob.MaxPage); err != nil {
		return nil, err
	}
	if l.encode, err = encoding(query); err != nil {
		return nil, err
	}
	l.doc = &s3xml.ListResult{Name: bucket, Prefix: l.encode(l.Prefix), MaxKeys: l.Limit, EncodingType: query["encoding-type"]}
	if l.Delimiter != "" {
		delimiter := l.encode(l.Delimiter)
		l.doc.Delimiter = &delimiter
	}
	return l, nil
}

// Answer gives the document for a page.
func (l *List) Answer(p blob.Page) *s3xml.ListResult {
	l.doc.IsTruncated = p.Next != ""
	for _, o := range p.Objects {
		l.doc.Contents = append(l.doc.Contents, s3xml.Content{
			Key: l.encode(o.Key), LastModified: s3xml.Time(o.Modified), ETag: entity.Quote(o.ETag), Size: o.Size, Owner: l.owner, StorageClass: "STANDARD",
		})
	}
	for _, name := range p.Prefixes {
		l.doc.CommonPrefixes = append(l.doc.CommonPrefixes, s3xml.CommonPrefix{Prefix: l.encode(name)})
	}
	if l.v2 {
		count := len(p.Objects) + len(p.Prefixes)
		l.doc.KeyCount = &count
	}
	switch {
	case p.Next != "" && l.v2:
		l.doc.NextContinuationToken = Token(p.Next)
	case p.Next != "":
		next := l.encode(last(p))
		l.doc.NextMarker = &next
	}
	return l.doc
}

// skip gives where a listing goes on. A marker that is itself a rolled-up
// prefix, as NextMarker may be, stands for all keys under it.
func skip(marker, prefix, delimiter string) string {
	rest, ok := strings.CutPrefix(marker, prefix)
	if !ok || delimiter == "" {
		return marker
	}
	if i := strings.Index(rest, delimiter); i >= 0 && i+len(delimiter) == len(rest) {
		return blob.AfterPrefix(marker)
	}
	return marker
}

// last gives the name that a page ends with.
func last(p blob.Page) string {
	name := ""
	if n := len(p.Objects); n > 0 {
		name = p.Objects[n-1].Key
	}
	if n := len(p.Prefixes); n > 0 {
		name = max(name, p.Prefixes[n-1])
	}
	if name == "" {
		return p.Next
	}
	return name
}

// Token hides a name: clients shall not take it for a key.
func Token(name string) string { return base64.RawURLEncoding.EncodeToString([]byte(name)) }

// ReadToken is the inverse of [Token].
func ReadToken(s string) (string, error) {
	name, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(name) == 0 {
		return "", s3err.InvalidArgument.Msg("The continuation token provided is incorrect")
	}
	return string(name), nil
}

// Limit reads how many names are wanted, cut to what there may be.
func Limit(query map[string]string, name string, most int) (int, error) {
	if query[name] == "" {
		return most, nil
	}
	n, err := Number(query, name)
	return min(n, most), err
}

// Number reads a parameter that counts; one that is not there is 0.
func Number(query map[string]string, name string) (int, error) {
	value := query[name]
	if value == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < 0 {
		return 0, s3err.InvalidArgument.Msg("Argument %s must be an integer between 0 and 2147483647", name).With("ArgumentName", name).With("ArgumentValue", value)
	}
	return int(n), nil
}

// encoding gives how names are written: as text, or percent-encoded for
// clients whose XML cannot hold every character.
func encoding(query map[string]string) (func(string) s3xml.Text, error) {
	switch v := query["encoding-type"]; v {
	case "":
		return s3xml.NewText, nil
	case "url":
		return s3xml.NewEncoded, nil
	default:
		return nil, s3err.InvalidArgument.Msg("Invalid Encoding Method specified in Request").With("ArgumentName", "encoding-type").With("ArgumentValue", v)
	}
}
