package fileblob

import (
	"context"
	"errors"
	"path"
	"slices"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// change is a write whose body is finished.
type change struct {
	p     place
	body  *temp
	attrs attrs
	on    blob.Condition
	// still is asked under the lock; an error keeps the write from happening.
	still func() error
	// after is called under the lock when the write is durable.
	after func()
}

// commit makes a body the object, with its attributes, if the condition holds.
//
// The order is the heart of the driver: the record with the attributes of the
// new body and of the old one is on the disk before the body is renamed, and
// the rename alone changes what is seen. DESIGN.md has the table of crashes.
func (d *Driver) commit(ctx context.Context, f *folder, c *change) (blob.Object, error) {
	if err := c.body.finish(nil); err != nil {
		return blob.Object{}, err
	}
	for try := 0; ; try++ {
		obj, err := d.tryCommit(ctx, f, c)
		switch {
		case err == nil || errs.IsMaybeApplied(err):
			return obj, err
		case !gone(err) || try == maxTries:
			d.prune(f, c.p) // folders that were made for it
			return blob.Object{}, err
		}
		// A folder, or a name, changed meanwhile.
		if err := d.lost(f); err != nil {
			return blob.Object{}, err
		}
	}
}

// tryCommit commits once. gone(err): nothing was applied, and it may be tried
// again.
func (d *Driver) tryCommit(ctx context.Context, f *folder, c *change) (obj blob.Object, err error) {
	if err := d.makeDirs(ctx, f, c.p); err != nil {
		return obj, err
	}
	unlock, err := d.lock(ctx, f, c.p.stripe)
	if err != nil {
		return obj, err
	}
	defer unlock()
	old, err := d.check(ctx, f, c)
	if err != nil {
		return obj, err
	}
	if err := d.announce(f, c, old); err != nil {
		f.forget(c.p)
		return obj, err
	}
	if err := d.show(f, c, old); err != nil {
		f.forget(c.p)
		return obj, err
	}
	if err := d.last(f, c.p); err != nil {
		return obj, err
	}
	if c.after != nil {
		c.after()
	}
	s := sight{info: c.body.info, attrs: &c.attrs}
	return s.object(c.p.key), nil
}

// check looks at what is there, under the lock, and says whether the change
// may happen.
func (d *Driver) check(ctx context.Context, f *folder, c *change) (sight, error) {
	if err := d.step("check"); err != nil {
		return sight{}, failed(err, "look for the object")
	}
	if err := ended(ctx); err != nil {
		return sight{}, err
	}
	old, err := d.current(ctx, f, c.p, c.on)
	if err == nil {
		err = old.holds(c.on)
	}
	if err == nil && c.still != nil {
		err = c.still()
	}
	return old, err
}

// current gives what is there, under the lock; no file if nothing is. The ETag
// is known if the condition asks for it.
func (d *Driver) current(ctx context.Context, f *folder, p place, on blob.Condition) (sight, error) {
	asks := on.Match != "" && on.Match != "*"
	s, err := f.look(p, asks)
	defer s.close()
	switch {
	case errors.Is(err, errAbsent):
		return sight{}, d.lost(f)
	case errors.Is(err, errDamaged) && !asks:
		return s, nil // it is replaced
	case err != nil || !asks || s.attrs != nil:
		return s, err
	}
	sum, ok := d.knownMD5(f, p, s.info)
	if !ok {
		sum, err = d.hash(ctx, f, p, &s)
	}
	known := s
	known.attrs = foreign(p, s.info, sum)
	return known, err
}

// announce puts the attributes of the new body beside those of the old one.
func (d *Driver) announce(f *folder, c *change, old sight) error {
	var used []int64
	if old.info != nil {
		used = append(used, old.info.ModTime().UnixNano())
	}
	r := record{Key: c.p.key}
	if old.record != nil {
		for _, g := range old.record.Gens {
			used = append(used, g.Stamp)
		}
		if g := old.record.match(old.info); g != nil {
			r.Gens = append(r.Gens, *g)
		}
	}
	if !c.body.fresh(used) { // rare: a clock was set back, or two writers met
		if err := c.body.finish(used); err != nil {
			return err
		}
	}
	c.attrs.Size, c.attrs.Stamp = c.body.info.Size(), c.body.info.ModTime().UnixNano()
	r.Gens = slices.Insert(r.Gens, 0, c.attrs)
	return failed(d.writeRecord(f, c.p, &r), "write the attributes")
}

// show renames the body to the object's name. It is the moment of the write.
func (d *Driver) show(f *folder, c *change, old sight) error {
	err := d.step("rename body")
	if err == nil {
		err = f.keepName(c.p.segs[len(c.p.segs)-1])
	}
	if err != nil {
		return failed(err, "rename the body")
	}
	name := c.p.name
	if old.info != nil {
		name = old.name // an object stays where it is
	}
	if err = f.rename(c, name); taken(err) {
		if err = f.clear(c.p); err == nil {
			err = f.rename(c, c.p.name)
		}
	}
	if taken(err) {
		err = f.rename(c, c.p.aside)
	}
	return maybe(failed(err, "rename the body"))
}

// clear removes an empty folder that has an object's name. The object's lock is
// held: nobody puts a file there, which removing the name would remove as well.
func (f *folder) clear(p place) error {
	dir, err := f.descend(p.dirs)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if info, err := dir.Lstat(p.name); err != nil || !info.IsDir() {
		return err
	}
	return dir.Remove(p.name)
}

// maybe marks the error of a change of names that may have been made all the
// same: all but those by which the kernel refuses one.
func maybe(err error) error {
	if !errs.Is(err, errs.Unavailable) || errors.Is(err, blob.ErrFull) || gone(err) || taken(err) {
		return err
	}
	return errs.MaybeApplied(err)
}

// forget removes the attributes that a write announced which did not happen,
// if there is no older object that they keep attributes of as well.
func (f *folder) forget(p place) {
	if _, err := f.look(p, false); errors.Is(err, errAbsent) {
		f.dropRecord(p)
	}
}

func (f *folder) rename(c *change, name string) error {
	dir, err := f.descend(c.p.dirs) // no symbolic link on the way
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	info, err := dir.Lstat(name)
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		return errs.E(errs.Unsupported, "%s is no regular file: it is not replaced", path.Join(dir.Name(), name))
	}
	return f.root.Rename(c.body.path(), path.Join(path.Join(c.p.dirs...), name))
}

// last makes what was renamed or removed in an object's folder last.
func (d *Driver) last(f *folder, p place) error {
	err := d.step("sync folder")
	if err == nil {
		err = f.syncUp(f.root, p.dirs)
	}
	return errs.MaybeApplied(failed(err, "flush the folder"))
}
