package fileblob

import (
	"errors"
	"os"

	"github.com/sparecloud/spare/internal/blob"
)

// errLater says that an object's ETag is left to the next page.
var errLater = errors.New("enough was computed for this page")

// describe gives what a listing says of a file. errAbsent: it is gone.
func (l *lister) describe(dir *os.Root, key string, e *entry) (blob.Object, error) {
	info, err := dir.Lstat(e.name)
	if gone(err) || err == nil && !info.Mode().IsRegular() {
		return blob.Object{}, errAbsent
	}
	if err != nil {
		return blob.Object{}, err
	}
	p, err := locate(key)
	if err != nil {
		return blob.Object{}, errAbsent
	}
	r, err := l.record(p)
	if err != nil && !errors.Is(err, errDamaged) {
		return blob.Object{}, err
	}
	s := sight{info: info, name: e.name, attrs: r.match(info)}
	if s.attrs == nil {
		s, err = l.compute(dir, p, s, err)
	}
	if err != nil {
		return blob.Object{}, err
	}
	return blob.Object{Key: key, Size: s.info.Size(), ETag: s.attrs.ETag, Modified: s.info.ModTime().UTC()}, nil
}

// record reads the attributes of a place. Their folder stays open for the
// files of the same folder, which come one after the other.
func (l *lister) record(p place) (*record, error) {
	if l.f.attrs == nil {
		return nil, nil
	}
	if l.attrsOf != p.attrs {
		l.closeAttrs()
		dir, err := l.f.attrs.OpenRoot(p.attrs)
		if err != nil && !gone(err) {
			return nil, err
		}
		if err == nil {
			l.attrs, l.attrsOf = dir, p.attrs
		}
	}
	if l.attrs == nil {
		return nil, nil
	}
	return readRecord(l.attrs, p)
}

func (l *lister) closeAttrs() {
	if l.attrs != nil {
		_ = l.attrs.Close() // only read
		l.attrs, l.attrsOf = nil, ""
	}
}

// compute gives the ETag of a file without attributes, or with damaged ones,
// which must not keep the rest of the bucket from being listed.
func (l *lister) compute(dir *os.Root, p place, s sight, damaged error) (sight, error) {
	if sum, ok := l.d.knownMD5(l.f, p, s.info); ok {
		s.attrs = foreign(p, s.info, sum)
		return s, nil
	}
	if l.budget < s.info.Size() && l.last != "" {
		return s, errLater
	}
	l.budget -= s.info.Size()
	if damaged == nil {
		s, err := l.d.viewed(l.ctx, l.f, p, false)
		s.close()
		return s, err
	}
	l.d.log.Warn("attributes damaged", "key", p.key, "err", damaged)
	if err := s.open(dir); err != nil {
		return s, errAbsent
	}
	defer s.close()
	sum, err := l.d.hash(l.ctx, l.f, p, &s)
	if err != nil {
		return s, err
	}
	return sight{info: s.info, attrs: foreign(p, s.info, sum)}, nil
}
