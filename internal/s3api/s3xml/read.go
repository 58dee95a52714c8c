package s3xml

import (
	"bytes"
	"encoding/xml"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

// MaxDelete is the most keys of a DeleteObjects.
const MaxDelete = 1000

// Delete is the body of DeleteObjects.
type Delete struct {
	XMLName xml.Name       `xml:"Delete"`
	Quiet   bool           `xml:"Quiet"`
	Objects []DeleteObject `xml:"Object"`
}

// DeleteObject is one key to delete, on the condition that it has the ETag.
type DeleteObject struct {
	Key       string  `xml:"Key"`
	VersionID string  `xml:"VersionId"`
	ETag      string  `xml:"ETag"`
	Modified  *string `xml:"LastModifiedTime"`
	Size      *string `xml:"Size"`
}

// ReadDelete reads the body of DeleteObjects and checks its form.
func ReadDelete(body []byte) (*Delete, error) {
	var d Delete
	if err := decode(body, &d); err != nil {
		return nil, err
	}
	if len(d.Objects) == 0 || len(d.Objects) > MaxDelete {
		return nil, s3err.MalformedXML.Msg("The request must name between 1 and %d keys.", MaxDelete)
	}
	for i := range d.Objects {
		d.Objects[i].ETag = strings.Trim(d.Objects[i].ETag, `"`)
	}
	return &d, nil
}

// Complete is the body of CompleteMultipartUpload.
type Complete struct {
	XMLName xml.Name       `xml:"CompleteMultipartUpload"`
	Parts   []CompletePart `xml:"Part"`
}

// CompletePart names a part.
type CompletePart struct {
	PartNumber int    `xml:"PartNumber"`
	ETag       string `xml:"ETag"`
	Checksums
}

// ReadComplete reads the body of CompleteMultipartUpload and checks its form
// and the order of the parts.
func ReadComplete(body []byte) (*Complete, error) {
	var c Complete
	if err := decode(body, &c); err != nil {
		return nil, err
	}
	if len(c.Parts) == 0 || len(c.Parts) > blob.MaxParts {
		return nil, s3err.MalformedXML.Msg("The request must name between 1 and %d parts.", blob.MaxParts)
	}
	for i := range c.Parts {
		p := &c.Parts[i]
		p.ETag = strings.Trim(p.ETag, `"`)
		switch {
		case p.PartNumber < 1 || p.PartNumber > blob.MaxParts:
			return nil, s3err.InvalidPart.Msg("Part numbers lie between 1 and %d.", blob.MaxParts)
		case i > 0 && p.PartNumber <= c.Parts[i-1].PartNumber:
			return nil, s3err.InvalidPartOrder.Err()
		}
	}
	return &c, nil
}

// Configuration is the body of CreateBucket.
type Configuration struct {
	XMLName  xml.Name `xml:"CreateBucketConfiguration"`
	Location string   `xml:"LocationConstraint"`
}

// ReadConfiguration reads the body of CreateBucket, which may be empty.
func ReadConfiguration(body []byte) (*Configuration, error) {
	var c Configuration
	if len(bytes.TrimSpace(body)) == 0 {
		return &c, nil
	}
	return &c, decode(body, &c)
}

func decode(body []byte, doc any) error {
	if err := xml.Unmarshal(body, doc); err != nil {
		return s3err.MalformedXML.Msg("The XML you provided was not well-formed or did not validate against our published schema.")
	}
	return nil
}
