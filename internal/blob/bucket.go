package blob

import (
	"context"
	"io"

	"github.com/sparecloud/spare/internal/errs"
)

// Bucket is a bucket at one provider, or the part of one under a prefix. It
// checks what goes in and what comes back, and counts what happens; the
// [Driver] does the work.
//
// Its errors name the bucket, the method and the key, and keep kind, hint and
// errs.MaybeApplied of the driver's. Input that is refused here (errs.Invalid)
// was not sent and is not counted. An answer that cannot be true is ErrSuspect.
type Bucket struct {
	name   string
	drv    Driver
	prefix string
	stats  *Stats
}

// New gives a bucket over a driver. The name stands in errors and statistics;
// it is usually the site's.
func New(name string, drv Driver) *Bucket {
	return &Bucket{name: name, drv: drv, stats: new(Stats)}
}

// Under gives the part of the bucket whose keys begin with prefix, which its
// own keys leave out. It counts with the whole.
func (b *Bucket) Under(prefix string) *Bucket {
	c := *b
	c.prefix += prefix
	return &c
}

// Name gives what the bucket was named by [New].
func (b *Bucket) Name() string { return b.name }

// Stats gives the bucket's counters.
func (b *Bucket) Stats() *Stats { return b.stats }

// Close closes the driver.
func (b *Bucket) Close() error { return b.drv.Close() }

// Make makes the bucket if it is missing. errs.Unsupported when the provider's
// driver cannot.
func (b *Bucket) Make(ctx context.Context) error {
	m, ok := b.drv.(Maker)
	if !ok {
		return errs.E(errs.Unsupported, "%s: buckets cannot be made here", b.name)
	}
	return b.done("make", "", m.Make(ctx))
}

// Head describes the object: see [Driver].
func (b *Bucket) Head(ctx context.Context, key string) (Object, error) {
	k, err := b.key(key)
	if err != nil {
		return Object{}, b.refused("head", key, err)
	}
	o, err := b.drv.Head(ctx, k)
	return b.object("head", key, o, err)
}

// Get opens the object: see [Driver]. A Body that fails names the bucket and
// the key too.
func (b *Bucket) Get(ctx context.Context, key string, o GetOptions) (*Reader, error) {
	k, err := b.key(key)
	if err != nil {
		return nil, b.refused("get", key, err)
	}
	r, err := b.drv.Get(ctx, k, o)
	if err == nil {
		if err = plausible(r, o); err != nil {
			_ = r.Body.Close() // nothing of it is used
		}
	}
	if err != nil {
		return nil, b.done("get", key, err)
	}
	r.Key = key
	r.Body = &received{ReadCloser: r.Body, bucket: b, key: key, left: r.Length}
	return r, b.done("get", key, nil)
}

// Put stores the object: see [Driver]. body must end after size bytes: if it
// fails there, or goes on, nothing is stored.
func (b *Bucket) Put(ctx context.Context, key string, body io.Reader, size int64, o PutOptions) (Object, error) {
	k, err := b.key(key)
	if err == nil {
		err = checkSize(size)
	}
	if err == nil {
		err = o.check()
	}
	if err == nil {
		body, err = b.start(body, size)
	}
	if err != nil {
		return Object{}, b.refused("put", key, err)
	}
	obj, err := b.drv.Put(ctx, k, body, size, o)
	return b.object("put", key, obj, err)
}

// Copy copies an object within this bucket: see [Driver].
func (b *Bucket) Copy(ctx context.Context, dst, src string, o CopyOptions) (Object, error) {
	return b.CopyFrom(ctx, dst, b, src, o)
}

// CopyFrom copies an object from another bucket of the same provider and
// account, without the bytes passing here: see [Driver].
func (b *Bucket) CopyFrom(ctx context.Context, dst string, from *Bucket, src string, o CopyOptions) (Object, error) {
	d, err := b.key(dst)
	if err != nil {
		return Object{}, b.refused("copy", dst, err)
	}
	s, err := from.key(src)
	if err == nil && o.Replace != nil {
		err = o.Replace.check()
	}
	if err != nil {
		return Object{}, b.refused("copy", dst, err)
	}
	obj, err := b.drv.Copy(ctx, d, from.drv, s, o)
	return b.object("copy", dst, obj, err)
}

// Delete removes the object: see [Driver].
func (b *Bucket) Delete(ctx context.Context, key string, o DeleteOptions) error {
	k, err := b.key(key)
	if err == nil && o.If.Absent {
		err = errs.E(errs.Invalid, "what is absent cannot be deleted: the condition must be a Match")
	}
	if err != nil {
		return b.refused("delete", key, err)
	}
	return b.done("delete", key, b.drv.Delete(ctx, k, o))
}

// start gives the body that the driver reads. One of no bytes is read here: a
// driver need not look at it.
func (b *Bucket) start(body io.Reader, size int64) (io.Reader, error) {
	exact := &exactly{body: body, left: size, n: &b.stats.BytesWritten}
	if size == 0 && body != nil {
		if _, err := exact.Read(make([]byte, 1)); !isEnd(err) {
			return nil, err
		}
	}
	if body == nil {
		exact.body = empty{}
	}
	return exact, nil
}

func (b *Bucket) key(key string) (string, error) {
	if err := CheckKey(key); err != nil {
		return "", err
	}
	if len(b.prefix)+len(key) > MaxKey {
		return "", errs.E(errs.Invalid, "the key has %d bytes, at most %d are allowed in this bucket", len(key), MaxKey-len(b.prefix))
	}
	return b.prefix + key, nil
}

// object ends a call that gives an object.
func (b *Bucket) object(method, key string, o Object, err error) (Object, error) {
	if err := b.done(method, key, err); err != nil {
		return Object{}, err
	}
	o.Key = key
	return o, nil
}

// done counts a call and says in its error what was attempted where.
func (b *Bucket) done(method, key string, err error) error {
	b.stats.count(method, err)
	return errs.Wrap(errs.KindOf(err), err, "%s: %s %q", b.name, method, key)
}

// refused says what was not attempted. The key may be of any length yet.
func (b *Bucket) refused(method, key string, err error) error {
	return errs.Wrap(errs.KindOf(err), err, "%s: %s %.64q", b.name, method, key)
}
