package fileblob

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
)

// BenchmarkList lists 100,000 files page by page: in one folder, and in
// folders of 100.
func BenchmarkList(b *testing.B) {
	for _, tt := range []struct {
		name string
		key  func(i int) string
	}{
		{"flat", func(i int) string { return fmt.Sprintf("%06d.jpg", i) }},
		{"tree", func(i int) string { return fmt.Sprintf("%02d/%02d/%06d.jpg", i/10_000, i/100%100, i) }},
	} {
		const count = 100_000
		b.Run(tt.name, func(b *testing.B) {
			d := open(b, b.TempDir())
			for i := range count { // as others would put them there: quicker
				file := filepath.Join(d.dir, tt.key(i))
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					b.Fatal(err)
				}
				if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
					b.Fatal(err)
				}
			}
			listAll(b, d, count) // computes the ETags
			for b.Loop() {
				listAll(b, d, count)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/object")
		})
	}
}

func listAll(b *testing.B, d *Driver, want int) {
	n, after := 0, ""
	for {
		p, err := d.List(b.Context(), blob.ListOptions{After: after})
		if err != nil {
			b.Fatal(err)
		}
		n += len(p.Objects)
		if after = p.Next; after == "" {
			break
		}
	}
	if n != want {
		b.Fatalf("%d objects, want %d", n, want)
	}
}

// BenchmarkPut writes objects of 1 KiB, durably.
func BenchmarkPut(b *testing.B) {
	body := strings.Repeat("x", 1<<10)
	put := func(b *testing.B, d *Driver, key string) {
		if _, err := d.Put(b.Context(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("new", func(b *testing.B) {
		d, i := open(b, b.TempDir()), 0
		for b.Loop() {
			put(b, d, fmt.Sprintf("a/b/%d", i))
			i++
		}
	})
	b.Run("overwrite", func(b *testing.B) {
		d := open(b, b.TempDir())
		for b.Loop() {
			put(b, d, "a/b/c")
		}
	})
	b.Run("parallel", func(b *testing.B) {
		d := open(b, b.TempDir())
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				put(b, d, fmt.Sprintf("a/%p/%d", pb, i))
			}
		})
	})
}

// BenchmarkGet reads objects of 1 KiB.
func BenchmarkGet(b *testing.B) {
	d := open(b, b.TempDir())
	body := strings.Repeat("x", 1<<10)
	if _, err := d.Put(b.Context(), "a/b/c", strings.NewReader(body), 1<<10, blob.PutOptions{}); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 2<<10)
	for b.Loop() {
		r, err := d.Get(b.Context(), "a/b/c", blob.GetOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if n, _ := r.Read(buf); n != 1<<10 {
			b.Fatalf("%d bytes", n)
		}
		_ = r.Close()
	}
}
