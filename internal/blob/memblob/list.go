package memblob

import (
	"context"
	"slices"
	"sort"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
)

// List implements [blob.Driver].
func (d *Driver) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	if err := ended(ctx); err != nil {
		return blob.Page{}, err
	}
	if o.Limit <= 0 || o.Limit > blob.MaxPage {
		o.Limit = blob.MaxPage
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var p blob.Page
	keys, last := d.state.keys, ""
	i, _ := slices.BinarySearch(keys, max(o.Prefix, o.After))
	for ; i < len(keys) && strings.HasPrefix(keys[i], o.Prefix); i++ {
		v, err := d.find(keys[i], "")
		if err != nil || keys[i] <= o.After {
			continue
		}
		group := rolled(keys[i], o)
		if group != "" && strings.HasPrefix(o.After, blob.AfterPrefix(group)) {
			continue
		}
		if len(p.Objects)+len(p.Prefixes) == o.Limit {
			p.Next = last
			break
		}
		if group == "" {
			// What a listing does not say elsewhere it does not say here.
			p.Objects = append(p.Objects, blob.Object{Key: v.Key, Size: v.Size, ETag: v.ETag, Modified: v.Modified})
			last = v.Key
			continue
		}
		p.Prefixes = append(p.Prefixes, group)
		last = blob.AfterPrefix(group)
		i += sort.Search(len(keys)-i, func(n int) bool { return !strings.HasPrefix(keys[i+n], group) }) - 1
	}
	return p, nil
}

// rolled gives the prefix that a key is rolled up into, or "".
func rolled(key string, o blob.ListOptions) string {
	if o.Delimiter == "" {
		return ""
	}
	i := strings.Index(key[len(o.Prefix):], o.Delimiter)
	if i < 0 {
		return ""
	}
	return key[:len(o.Prefix)+i+len(o.Delimiter)]
}
