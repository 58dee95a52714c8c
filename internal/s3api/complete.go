package s3api

import (
	"net/http"
	"strconv"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/checksum"
	"github.com/sparecloud/spare/internal/s3api/entity"
	"github.com/sparecloud/spare/internal/s3api/precond"
	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/s3xml"
)

func (c *call) completeUpload() error {
	id, err := c.uploadID()
	if err != nil {
		return err
	}
	cond, err := precond.Write(c.header)
	if err != nil {
		return err
	}
	body, err := c.document(withoutSums(c.header), maxListing)
	if err != nil {
		return err
	}
	doc, err := s3xml.ReadComplete(body)
	if err != nil {
		return err
	}
	sums, err := c.checkWhole(id, doc.Parts)
	if err != nil {
		return err
	}
	parts := make([]blob.Part, len(doc.Parts))
	for i, p := range doc.Parts {
		parts[i] = blob.Part{Number: p.PartNumber, ETag: p.ETag, Sums: p.Map()}
	}
	obj, err := c.store.CompleteUpload(c.ctx, c.Key, id, parts, cond)
	if err != nil {
		return err
	}
	for name, value := range obj.Sums {
		sums[name] = value
	}
	scheme := "http://"
	if c.r.TLS != nil {
		scheme = "https://"
	}
	return c.xml(&s3xml.Completed{
		Location: s3xml.NewText(scheme + c.r.Host + c.r.URL.EscapedPath()), Bucket: c.Bucket, Key: s3xml.NewText(c.Key),
		ETag: entity.Quote(obj.ETag), Checksums: s3xml.NewChecksums(sums),
	})
}

// withoutSums leaves out the checksums: here they are the object's, not the
// document's.
func withoutSums(h http.Header) http.Header {
	h = h.Clone()
	for _, a := range checksum.All {
		h.Del(a.Header())
	}
	return h
}

// checkWhole holds the parts to what the request declares of the object that
// they make: its size, and its checksum. Each part's checksum was compared
// with its bytes when it came, so the whole's follows from those that the
// client names here again.
func (c *call) checkWhole(id string, parts []s3xml.CompletePart) (blob.Sums, error) {
	alg, want, err := checksum.DeclaredWhole(c.header)
	if err != nil {
		return nil, err
	}
	sums := blob.Sums{}
	declared := c.header.Get("X-Amz-Mp-Object-Size")
	if want == "" && declared == "" {
		return sums, nil
	}
	sizes, total, err := c.sizes(id, parts)
	if err != nil {
		return nil, err
	}
	if n, err := strconv.ParseInt(declared, 10, 64); declared != "" && (err != nil || n != total) {
		return nil, s3err.InvalidRequest.Msg("The provided 'x-amz-mp-object-size' header does not match what was computed.")
	}
	if want == "" {
		return sums, nil
	}
	composite := checksum.Composite(want) || c.header.Get("X-Amz-Checksum-Type") == "COMPOSITE"
	list := make([]checksum.Part, len(parts))
	for i, p := range parts {
		list[i] = checksum.Part{Value: p.Map()[string(alg)], Size: sizes[p.PartNumber]}
	}
	got, ok := alg.OfParts(list, composite)
	if !ok {
		return nil, s3err.InvalidRequest.Msg("To check %s each part must be named with its %s checksum.", alg.Header(), alg)
	}
	if composite && !checksum.Composite(want) {
		want += "-" + strconv.Itoa(len(parts))
	}
	if got != want {
		return nil, s3err.BadDigest.Msg("The %s you specified did not match the calculated checksum.", alg)
	}
	sums[string(alg)] = got
	return sums, nil
}

// sizes gives the sizes of the parts named, and their sum.
func (c *call) sizes(id string, parts []s3xml.CompletePart) (sizes map[int]int64, total int64, err error) {
	sizes = make(map[int]int64, len(parts))
	for after, more := 0, true; more; {
		var page []blob.Part
		page, more, err = c.store.ListParts(c.ctx, c.Key, id, after, 0)
		if err != nil {
			return nil, 0, err
		}
		for _, p := range page {
			sizes[p.Number] = p.Size
			after = p.Number
		}
		more = more && len(page) > 0
	}
	for _, p := range parts {
		size, ok := sizes[p.PartNumber]
		if !ok {
			return nil, 0, s3err.InvalidPart.Err()
		}
		total += size
	}
	return sizes, total, nil
}
