package listing

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/s3xml"
)

// Uploads gives the answer of ListMultipartUploads. all are the uploads whose
// keys have the query's prefix.
func Uploads(bucket string, query map[string]string, all []blob.Upload) (*s3xml.Uploads, error) {
	limit, err := Limit(query, "max-uploads", blob.MaxPage)
	if err != nil {
		return nil, err
	}
	encode, err := encoding(query)
	if err != nil {
		return nil, err
	}
	doc := &s3xml.Uploads{
		Bucket: bucket, KeyMarker: encode(query["key-marker"]), UploadIDMarker: query["upload-id-marker"],
		EncodingType: query["encoding-type"], MaxUploads: limit,
	}
	prefix, delimiter := query["prefix"], query["delimiter"]
	if prefix != "" {
		text := encode(prefix)
		doc.Prefix = &text
	}
	if delimiter != "" {
		text := encode(delimiter)
		doc.Delimiter = &text
	}
	u := &uploads{doc: doc, prefix: prefix, delimiter: delimiter, encode: encode}
	for _, one := range behind(all, skip(query["key-marker"], prefix, delimiter), query["upload-id-marker"]) {
		if !u.add(one) {
			doc.IsTruncated = limit > 0
			break
		}
	}
	if !doc.IsTruncated {
		doc.NextKeyMarker, doc.NextUploadIDMarker = nil, ""
	}
	return doc, nil
}

// behind leaves out what a client has seen: the keys up to the marker, of whose
// own uploads those behind the id's remain.
func behind(all []blob.Upload, key, id string) []blob.Upload {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b blob.Upload) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), a.Started.Compare(b.Started), strings.Compare(a.ID, b.ID))
	})
	from := 0
	for i, u := range all {
		if u.Key < key || u.Key == key && (id == "" || u.ID == id) {
			from = i + 1
		}
	}
	return all[from:]
}

// uploads fills a document.
type uploads struct {
	doc               *s3xml.Uploads
	prefix, delimiter string
	encode            func(string) s3xml.Text
	rolled            string // the prefix that was rolled up last
	count             int
}

// add adds an upload, and says whether there was room for it.
func (u *uploads) add(one blob.Upload) bool {
	name, roll := one.Key, false
	if u.delimiter != "" {
		if i := strings.Index(one.Key[len(u.prefix):], u.delimiter); i >= 0 {
			name, roll = one.Key[:len(u.prefix)+i+len(u.delimiter)], true
		}
	}
	if roll && name == u.rolled {
		return true
	}
	if u.count == u.doc.MaxUploads {
		return false
	}
	u.count++
	text := u.encode(name)
	u.doc.NextKeyMarker, u.doc.NextUploadIDMarker = &text, ""
	if roll {
		u.rolled = name
		u.doc.CommonPrefixes = append(u.doc.CommonPrefixes, s3xml.CommonPrefix{Prefix: text})
		return true
	}
	u.doc.NextUploadIDMarker = one.ID
	u.doc.Uploads = append(u.doc.Uploads, s3xml.Upload{
		Key: text, UploadID: one.ID, Initiator: Owner, Owner: Owner, StorageClass: "STANDARD", Initiated: s3xml.Time(one.Started),
	})
	return true
}
