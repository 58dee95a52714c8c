package s3xml

import (
	"encoding/xml"
	"time"
)

// ListResult answers ListObjects and ListObjectsV2; pointers are left out
// where they are nil.
type ListResult struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                Text
	Marker                *Text // version 1
	NextMarker            *Text // version 1
	StartAfter            *Text
	ContinuationToken     *Text
	NextContinuationToken string `xml:",omitempty"`
	KeyCount              *int   // version 2
	MaxKeys               int
	Delimiter             *Text
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	Contents              []Content
	CommonPrefixes        []CommonPrefix
}

// Content is an object in a [ListResult].
type Content struct {
	Key          Text
	LastModified Time
	ETag         string
	Size         int64
	Owner        *Owner
	StorageClass string
}

// CommonPrefix is what names were rolled up to.
type CommonPrefix struct{ Prefix Text }

// CopyResult answers CopyObject and, under another name, UploadPartCopy.
type CopyResult struct {
	XMLName      xml.Name
	LastModified Time
	ETag         string
	Checksums
}

// Copied gives the result of a copy under its name. A store that does not tell
// when it wrote has written now.
func Copied(name, etag string, modified time.Time, sums map[string]string) *CopyResult {
	if modified.IsZero() {
		modified = time.Now()
	}
	return &CopyResult{XMLName: xml.Name{Space: Namespace, Local: name}, ETag: etag, LastModified: Time(modified), Checksums: NewChecksums(sums)}
}

// Checksums are the elements of an object's or a part's checksums.
type Checksums struct {
	CRC32     string `xml:"ChecksumCRC32,omitempty"`
	CRC32C    string `xml:"ChecksumCRC32C,omitempty"`
	CRC64NVME string `xml:"ChecksumCRC64NVME,omitempty"`
	SHA1      string `xml:"ChecksumSHA1,omitempty"`
	SHA256    string `xml:"ChecksumSHA256,omitempty"`
}

// NewChecksums gives the elements for sums by algorithm.
func NewChecksums(sums map[string]string) Checksums {
	return Checksums{CRC32: sums["CRC32"], CRC32C: sums["CRC32C"], CRC64NVME: sums["CRC64NVME"], SHA1: sums["SHA1"], SHA256: sums["SHA256"]}
}

// Map gives the checksums that are there, by algorithm.
func (c Checksums) Map() map[string]string {
	m := map[string]string{"CRC32": c.CRC32, "CRC32C": c.CRC32C, "CRC64NVME": c.CRC64NVME, "SHA1": c.SHA1, "SHA256": c.SHA256}
	for a, v := range m {
		if v == "" {
			delete(m, a)
		}
	}
	return m
}

// DeleteResult answers DeleteObjects.
type DeleteResult struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ DeleteResult"`
	Deleted []Deleted
	Errors  []DeleteError `xml:"Error"`
}

// Deleted is a key that is no more.
type Deleted struct{ Key Text }

// DeleteError is a key that may still be.
type DeleteError struct {
	Key     Text
	Code    string
	Message string
}

// Initiated answers CreateMultipartUpload.
type Initiated struct {
	XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
	Bucket   string
	Key      Text
	UploadID string `xml:"UploadId"`
}

// Completed answers CompleteMultipartUpload.
type Completed struct {
	XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
	Location Text
	Bucket   string
	Key      Text
	ETag     string
	Checksums
}

// Parts answers ListParts.
type Parts struct {
	XMLName              xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListPartsResult"`
	Bucket               string
	Key                  Text
	UploadID             string `xml:"UploadId"`
	PartNumberMarker     int
	NextPartNumberMarker int
	MaxParts             int
	IsTruncated          bool
	Parts                []Part `xml:"Part"`
	Initiator            Owner
	Owner                Owner
	StorageClass         string
}

// Part is one of [Parts].
type Part struct {
	PartNumber   int
	LastModified Time
	ETag         string
	Size         int64
	Checksums
}

// Uploads answers ListMultipartUploads.
type Uploads struct {
	XMLName            xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListMultipartUploadsResult"`
	Bucket             string
	KeyMarker          Text
	UploadIDMarker     string `xml:"UploadIdMarker"`
	NextKeyMarker      *Text
	NextUploadIDMarker string `xml:"NextUploadIdMarker,omitempty"`
	Prefix             *Text
	Delimiter          *Text
	EncodingType       string `xml:",omitempty"`
	MaxUploads         int
	IsTruncated        bool
	Uploads            []Upload `xml:"Upload"`
	CommonPrefixes     []CommonPrefix
}

// Upload is one of [Uploads].
type Upload struct {
	Key          Text
	UploadID     string `xml:"UploadId"`
	Initiator    Owner
	Owner        Owner
	StorageClass string
	Initiated    Time
}
