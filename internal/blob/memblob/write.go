package memblob

import (
	"context"
	"crypto/md5" // what S3 makes its tags of; nothing relies on it as a safe hash
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Put implements [blob.Driver].
func (d *Driver) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	if err := d.may(ctx, key, o.If); err != nil {
		return blob.Object{}, err
	}
	data, err := take(ctx, body, size)
	if err != nil {
		return blob.Object{}, err
	}
	v := &version{body: data, Object: blob.Object{
		Key: key, Size: size, ETag: sum(data), Header: o.Header, Meta: maps.Clone(o.Meta),
	}}
	if o.Sums != nil {
		v.Sums = maps.Clone(o.Sums())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.holds(key, o.If); err != nil {
		return blob.Object{}, err
	}
	return d.store(v), nil
}

// Copy implements [blob.Driver]. Within one bucket, reading the source and
// writing the target are one step. As at S3, the copy of a multipart object is
// an object in one piece, and a copy onto itself must change something.
func (d *Driver) Copy(ctx context.Context, dst string, from blob.Driver, src string, o blob.CopyOptions) (blob.Object, error) {
	var on blob.Condition
	if o.Replace != nil {
		on = o.Replace.If
	}
	if err := d.may(ctx, dst, on); err != nil {
		return blob.Object{}, err
	}
	if err := ready(ctx, src); err != nil {
		return blob.Object{}, err
	}
	source, ok := from.(*Driver)
	switch {
	case !ok:
		return blob.Object{}, errs.E(errs.Unsupported, "a copy must come from a bucket in memory, not from %T", from)
	case source == d && dst == src && o.Replace == nil && o.Version == "":
		return blob.Object{}, errs.E(errs.Invalid, "a copy of an object onto itself changes nothing")
	case source != d:
		old, err := source.read(src, o.Version, o.Match)
		if err != nil {
			return blob.Object{}, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.copied(dst, old, on, o.Replace)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old, err := d.match(src, o.Version, o.Match)
	if err != nil {
		return blob.Object{}, err
	}
	return d.copied(dst, old, on, o.Replace)
}

// copied stores a version under another key. The lock is held.
func (d *Driver) copied(dst string, old *version, on blob.Condition, replace *blob.PutOptions) (blob.Object, error) {
	if err := d.holds(dst, on); err != nil {
		return blob.Object{}, err
	}
	v := &version{body: old.body, Object: old.object()}
	v.Key, v.ETag = dst, sum(old.body)
	if old.Parts > 0 {
		v.Parts, v.Sums = 0, nil
	}
	if replace != nil {
		v.Header, v.Meta = replace.Header, maps.Clone(replace.Meta)
	}
	return d.store(v), nil
}

// Delete implements [blob.Driver].
func (d *Driver) Delete(ctx context.Context, key string, o blob.DeleteOptions) error {
	if err := d.may(ctx, key, o.If); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.holds(key, o.If); err != nil {
		return err
	}
	all := d.state.objects[key]
	switch {
	case o.Version != "":
		all = slices.DeleteFunc(slices.Clone(all), func(v *version) bool { return v.Version == o.Version })
	case d.o.Versioned:
		all = append(slices.Clip(all), &version{marker: true, Object: blob.Object{Key: key, Version: d.id("v"), Modified: now()}})
	default:
		all = nil
	}
	d.set(key, all)
	return nil
}

// may says why a write cannot be tried.
func (d *Driver) may(ctx context.Context, key string, c blob.Condition) error {
	if c.Set() && !d.o.Tags.Heads() {
		return errs.E(errs.Unsupported, "this bucket has no conditional writes")
	}
	return ready(ctx, key)
}

// holds says why a condition does not hold. The lock is held.
func (d *Driver) holds(key string, c blob.Condition) error {
	v, err := d.find(key, "")
	there := err == nil
	switch {
	case c.Absent && there:
		return errs.E(errs.Conflict, "the object exists, with ETag %q", v.ETag)
	case c.Match != "" && !there:
		return errs.E(errs.Conflict, "there is no object that could have ETag %q", c.Match)
	case c.Match != "" && c.Match != "*" && c.Match != v.ETag:
		return errs.E(errs.Conflict, "the object has ETag %q, not %q", v.ETag, c.Match)
	}
	return nil
}

// store makes v the key's current version. The lock is held; v is the
// bucket's from now on.
func (d *Driver) store(v *version) blob.Object {
	v.Modified = now()
	if d.o.Tags == blob.ClassUnique {
		v.ETag = d.id("t")
	}
	var all []*version
	if d.o.Versioned {
		v.Version = d.id("v")
		all = slices.Clip(d.state.objects[v.Key])
	}
	d.set(v.Key, append(all, v))
	return v.object()
}

// set replaces a key's versions, by a slice that no Snapshot shares. The lock
// is held.
func (d *Driver) set(key string, all []*version) {
	i, known := slices.BinarySearch(d.state.keys, key)
	switch {
	case len(all) == 0:
		delete(d.state.objects, key)
		if known {
			d.state.keys = slices.Delete(d.state.keys, i, i+1)
		}
		return
	case !known:
		d.state.keys = slices.Insert(d.state.keys, i, strings.Clone(key))
	}
	d.state.objects[key] = all
}

func sum(data []byte) string {
	s := md5.Sum(data)
	return hex.EncodeToString(s[:])
}

// sums gives the tag of a multipart object from those of its parts: the MD5 of
// their MD5s and how many they are, as S3 makes it.
func sums(parts []*part) string {
	h := md5.New()
	for _, p := range parts {
		_, _ = h.Write(p.md5[:]) // a hash takes all
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(parts))
}
