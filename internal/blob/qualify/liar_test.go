package qualify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

// liar is a bucket that keeps its word but where a field says otherwise.
type liar struct {
	*memblob.Driver
	name string
	put  func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error)
	del  func(ctx context.Context, key string, o blob.DeleteOptions) error
	head func(ctx context.Context, key string) (blob.Object, error)
	get  func(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error)
	list func(ctx context.Context, o blob.ListOptions) (blob.Page, error)
	copy func(ctx context.Context, dst, src string, o blob.CopyOptions) (blob.Object, error)
	done func(ctx context.Context, key, id string, parts []blob.Part, c blob.Condition) (blob.Object, error)
	part error // of every part; nil = none
}

func (l *liar) UploadPart(ctx context.Context, key, id string, number int, body io.Reader, size int64) (blob.Part, error) {
	if l.part != nil {
		return blob.Part{}, l.part
	}
	return l.Driver.UploadPart(ctx, key, id, number, body, size)
}

func (l *liar) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	if l.put == nil {
		return l.Driver.Put(ctx, key, body, size, o)
	}
	data, err := io.ReadAll(body)
	if err != nil {
		if _, e := l.put(ctx, key, data, o); l.name == "keeps half a body" && e != nil {
			return blob.Object{}, e
		}
		return blob.Object{}, err
	}
	return l.put(ctx, key, data, o)
}

func (l *liar) store(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
	return l.Driver.Put(ctx, key, bytes.NewReader(data), int64(len(data)), o)
}

func (l *liar) Delete(ctx context.Context, key string, o blob.DeleteOptions) error {
	if l.del == nil {
		return l.Driver.Delete(ctx, key, o)
	}
	return l.del(ctx, key, o)
}

func (l *liar) Head(ctx context.Context, key string) (blob.Object, error) {
	if l.head == nil {
		return l.Driver.Head(ctx, key)
	}
	return l.head(ctx, key)
}

func (l *liar) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	if l.get == nil {
		return l.Driver.Get(ctx, key, o)
	}
	return l.get(ctx, key, o)
}

func (l *liar) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	if l.list == nil {
		return l.Driver.List(ctx, o)
	}
	return l.list(ctx, o)
}

func (l *liar) Copy(ctx context.Context, dst string, _ blob.Driver, src string, o blob.CopyOptions) (blob.Object, error) {
	if l.copy == nil {
		return l.Driver.Copy(ctx, dst, l.Driver, src, o)
	}
	return l.copy(ctx, dst, src, o)
}

func (l *liar) CompleteUpload(ctx context.Context, key, id string, parts []blob.Part, c blob.Condition) (blob.Object, error) {
	if l.done == nil {
		return l.Driver.CompleteUpload(ctx, key, id, parts, c)
	}
	return l.done(ctx, key, id, parts, c)
}

var noCondition = blob.Condition{}

// liars are buckets that each break their word in one way, the finding that
// tells and a word of what it has to say.
func liars() []struct {
	finding, word string
	heads         bool // it may hold heads all the same
	lie           func(l *liar)
} {
	return []struct {
		finding, word string
		heads         bool
		lie           func(l *liar)
	}{
		{"conditional create", "If-None-Match ignored", false, func(l *liar) {
			l.name = "ignores If-None-Match"
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				o.If.Absent = false
				return l.store(ctx, key, data, o)
			}
		}},
		{"conditional create", "racing creations were told that they had won", false, func(l *liar) {
			l.name = "looks first and creates then"
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				if o.If.Absent {
					if _, err := l.Driver.Head(ctx, key); err == nil {
						return blob.Object{}, errs.E(errs.Conflict, "there is an object")
					}
					time.Sleep(5 * time.Millisecond)
					o.If = noCondition
				}
				return l.store(ctx, key, data, o)
			}
		}},
		{"conditional create", "refused where the object had been deleted", false, func(l *liar) {
			l.name = "takes a deletion for an object"
			var deleted sync.Map
			l.del = func(ctx context.Context, key string, o blob.DeleteOptions) error {
				deleted.Store(key, true)
				return l.Driver.Delete(ctx, key, o)
			}
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				if _, ok := deleted.Load(key); ok && o.If.Absent {
					return blob.Object{}, errs.E(errs.Conflict, "there is a deletion")
				}
				return l.store(ctx, key, data, o)
			}
		}},
		{"conditional create", "changed the object", false, func(l *liar) {
			l.name = "refuses and does it all the same"
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				obj, err := l.store(ctx, key, data, o)
				if errs.Is(err, errs.Conflict) {
					o.If = noCondition
					_, _ = l.store(ctx, key, data, o)
				}
				return obj, err
			}
		}},
		{"conditional create", "the object is another's", false, func(l *liar) {
			l.name = "tells the wrong one that it has won"
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				obj, err := l.store(ctx, key, data, o)
				if err == nil && o.If.Absent && strings.Contains(key, "race") {
					_, _ = l.store(ctx, key, []byte("somebody else's"), blob.PutOptions{})
				}
				return obj, err
			}
		}},
		{"conditional create", "none of 10 racing creations", false, func(l *liar) {
			l.name = "lets nobody win a race"
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				if o.If.Absent && strings.Contains(key, "race") {
					return blob.Object{}, errs.E(errs.Conflict, "no")
				}
				return l.store(ctx, key, data, o)
			}
		}},
		{"conditional overwrite", "If-Match ignored", false, func(l *liar) {
			l.name = "ignores If-Match"
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				o.If.Match = ""
				return l.store(ctx, key, data, o)
			}
		}},
		{"conditional overwrite", "racing overwrites were told that they had won", false, func(l *liar) {
			l.name = "looks first and overwrites then"
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				if o.If.Match != "" {
					if obj, err := l.Driver.Head(ctx, key); err != nil || obj.ETag != o.If.Match {
						return blob.Object{}, errs.E(errs.Conflict, "another tag")
					}
					time.Sleep(5 * time.Millisecond)
					o.If = noCondition
				}
				return l.store(ctx, key, data, o)
			}
		}},
		{"conditional overwrite", "with the right tag was refused", false, func(l *liar) {
			l.name = "refuses every If-Match"
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				if o.If.Match != "" {
					return blob.Object{}, errs.E(errs.Conflict, "no")
				}
				return l.store(ctx, key, data, o)
			}
		}},
		{"condition on an absent object", "If-Match ignored", false, func(l *liar) {
			l.name = "matches what is not there"
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				if _, err := l.Driver.Head(ctx, key); err != nil {
					o.If.Match = ""
				}
				return l.store(ctx, key, data, o)
			}
		}},
		{"tags", "other bytes have the same tag", false, func(l *liar) {
			l.name = "makes tags of the size"
			tag := func(o blob.Object, err error) (blob.Object, error) {
				o.ETag = fmt.Sprint("size-", o.Size)
				return o, err
			}
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				if o.If.Match != "" {
					return blob.Object{}, errs.E(errs.Conflict, "another tag")
				}
				return tag(l.store(ctx, key, data, o))
			}
			l.head = func(ctx context.Context, key string) (blob.Object, error) { return tag(l.Driver.Head(ctx, key)) }
			l.get = func(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
				r, err := l.Driver.Get(ctx, key, o)
				if err == nil {
					r.Object, _ = tag(r.Object, nil)
				}
				return r, err
			}
		}},
		{"conditional delete", "If-Match ignored", true, func(l *liar) {
			l.name = "ignores If-Match of a deletion"
			l.del = func(ctx context.Context, key string, o blob.DeleteOptions) error {
				o.If = noCondition
				return l.Driver.Delete(ctx, key, o)
			}
		}},
		{"conditional delete", "acknowledged and not done", true, func(l *liar) {
			l.name = "acknowledges a conditional deletion only"
			l.del = func(ctx context.Context, key string, o blob.DeleteOptions) error {
				if obj, err := l.Driver.Head(ctx, key); o.If.Match != "" && err == nil && obj.ETag == o.If.Match {
					return nil
				}
				return l.Driver.Delete(ctx, key, o)
			}
		}},
		{"read after write", "was not listed", false, func(l *liar) {
			l.name = "lists what was some time ago"
			l.list = func(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
				p, err := l.Driver.List(ctx, o)
				p.Objects = slices.DeleteFunc(p.Objects, func(o blob.Object) bool { return time.Since(o.Modified) < time.Second })
				return p, err
			}
		}},
		{"read after write", "was still listed", false, func(l *liar) {
			l.name = "lists what was deleted"
			var gone sync.Map
			l.del = func(ctx context.Context, key string, o blob.DeleteOptions) error {
				if obj, err := l.Driver.Head(ctx, key); err == nil {
					gone.Store(key, obj)
				}
				return l.Driver.Delete(ctx, key, o)
			}
			l.list = func(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
				p, err := l.Driver.List(ctx, o)
				if obj, ok := gone.Load(o.Prefix); ok && len(p.Objects) == 0 {
					p.Objects = []blob.Object{obj.(blob.Object)}
				}
				return p, err
			}
		}},
		{"read after write", "could still be read", false, func(l *liar) {
			l.name = "reads what was deleted"
			old := newMemory(l)
			l.get = func(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
				r, err := l.Driver.Get(ctx, key, o)
				if errs.Is(err, errs.NotFound) {
					return old.Get(ctx, key, o)
				}
				return r, err
			}
		}},
		{"read after write", "was read as it was before", false, func(l *liar) {
			l.name = "reads what was overwritten"
			var writes atomic.Int64
			old := newMemory(l)
			keep := l.put
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				if strings.Contains(key, "round") && writes.Add(1)%2 == 0 {
					return l.store(ctx, key, data, o) // old keeps the first
				}
				return keep(ctx, key, data, o)
			}
			l.get = func(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
				if strings.Contains(key, "round") {
					return old.Get(ctx, key, o)
				}
				return l.Driver.Get(ctx, key, o)
			}
		}},
		{"copy", "lost metadata", true, func(l *liar) {
			l.name = "copies bytes only"
			l.copy = func(ctx context.Context, dst, src string, o blob.CopyOptions) (blob.Object, error) {
				o.Replace = &blob.PutOptions{}
				return l.Driver.Copy(ctx, dst, l.Driver, src, o)
			}
		}},
		{"copy", "no longer the tag", true, func(l *liar) {
			l.name = "copies whatever is there"
			l.copy = func(ctx context.Context, dst, src string, o blob.CopyOptions) (blob.Object, error) {
				o.Match = ""
				return l.Driver.Copy(ctx, dst, l.Driver, src, o)
			}
		}},
		{"metadata", "did not come back", true, func(l *liar) {
			l.name = "drops metadata"
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				if len(o.Meta) > 1 {
					o.Meta = nil
				}
				return l.store(ctx, key, data, o)
			}
		}},
		{"multipart", "had been given up was acknowledged", true, func(l *liar) {
			l.name = "completes what it does not know"
			l.done = func(ctx context.Context, key, id string, parts []blob.Part, c blob.Condition) (blob.Object, error) {
				obj, err := l.Driver.CompleteUpload(ctx, key, id, parts, c)
				if errors.Is(err, blob.ErrNoUpload) {
					return blob.Object{Key: key, ETag: "made-1"}, nil
				}
				return obj, err
			}
		}},
		{"broken upload", "has left an object", true, func(l *liar) {
			l.name = "keeps half a body"
			l.put = l.store
		}},
		{"keys", "taken for one", true, func(l *liar) {
			l.name = "cleans keys"
			clean := func(key string) string { return strings.ReplaceAll(key, "//", "/") }
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				return l.store(ctx, clean(key), data, o)
			}
			l.get = func(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
				return l.Driver.Get(ctx, clean(key), o)
			}
		}},
		{"clock", "differ by", true, func(l *liar) {
			l.name = "is an hour ahead"
			l.head = func(ctx context.Context, key string) (blob.Object, error) {
				obj, err := l.Driver.Head(ctx, key)
				obj.Modified = obj.Modified.Add(time.Hour)
				return obj, err
			}
		}},
	}
}

// newMemory gives a bucket that keeps what l has stored once.
func newMemory(l *liar) *memblob.Driver {
	m := memblob.Open(memblob.Options{})
	l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
		obj, err := l.store(ctx, key, data, o)
		if err == nil {
			o.If = noCondition
			_, _ = m.Put(ctx, key, bytes.NewReader(data), int64(len(data)), o)
		}
		return obj, err
	}
	return m
}
