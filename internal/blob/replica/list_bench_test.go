package replica

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
)

// BenchmarkListPage lists a page of 1,000 keys, with heads that are remembered
// and with heads that must be read. requests/op is what the members are asked.
func BenchmarkListPage(b *testing.B) {
	for name, most := range map[string]int{"remembered": headCacheSize, "read": 1} {
		b.Run(name, func(b *testing.B) {
			all := stores(3)
			bucket, err := Open(b.Context(), Options{Name: "media", Members: members(all, 1), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = bucket.Close() }()
			g := &trio{stores: all, b: bucket}
			for i := range blob.MaxPage {
				h := &head{stamp: stamp{1, newOp(b.Context())}, Key: fmt.Sprintf("dir/%04d", i), Size: 1, ETag: "x", Modified: time.Now()}
				for m := range all {
					if err := g.write(b.Context(), m, h); err != nil {
						b.Fatal(err)
					}
				}
			}
			bucket.heads = newHeadCache(most)
			list := func() {
				p, err := bucket.List(b.Context(), blob.ListOptions{})
				if err != nil || len(p.Objects) != blob.MaxPage {
					b.Fatalf("list gives %d objects, %v", len(p.Objects), err)
				}
			}
			list()
			asked := func() (n uint64) {
				for _, m := range bucket.members {
					n += m.Heads.Stats().Requests()
				}
				return n
			}
			before := asked()
			b.ReportAllocs()
			for b.Loop() {
				list()
			}
			b.ReportMetric(float64(asked()-before)/float64(b.N), "requests/op")
		})
	}
}
