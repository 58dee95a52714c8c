package blob_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
)

func TestRangesResolve(t *testing.T) {
	for _, tt := range []struct {
		r              blob.Range
		size           int64
		offset, length int64
		ok             bool
	}{
		{blob.Range{Offset: 0, Length: 10}, 10, 0, 10, true},
		{blob.Range{Offset: 0, Length: -1}, 10, 0, 10, true},
		{blob.Range{Offset: 3, Length: 4}, 10, 3, 4, true},
		{blob.Range{Offset: 3, Length: 100}, 10, 3, 7, true},
		{blob.Range{Offset: 9, Length: -5}, 10, 9, 1, true},
		{blob.Range{Offset: 10, Length: 1}, 10, 0, 0, false},
		{blob.Range{Offset: 10, Length: -1}, 10, 0, 0, false},
		{blob.Range{Offset: 3, Length: 0}, 10, 0, 0, false},
		{blob.Range{Offset: -3, Length: -1}, 10, 7, 3, true},
		{blob.Range{Offset: -3, Length: 0}, 10, 7, 3, true},
		{blob.Range{Offset: -3, Length: 1}, 10, 7, 3, true},
		{blob.Range{Offset: -10, Length: -1}, 10, 0, 10, true},
		{blob.Range{Offset: -11, Length: -1}, 10, 0, 10, true},
		{blob.Range{Offset: math.MinInt64, Length: -1}, 10, 0, 10, true},
		{blob.Range{Offset: 1, Length: math.MaxInt64}, 10, 1, 9, true},
		{blob.Range{Offset: math.MaxInt64, Length: math.MaxInt64}, 10, 0, 0, false},
		{blob.Range{Offset: 0, Length: -1}, 0, 0, 0, false},
		{blob.Range{Offset: -1, Length: -1}, 0, 0, 0, false},
		{blob.Range{Offset: math.MinInt64, Length: math.MinInt64}, math.MaxInt64, 0, math.MaxInt64, true},
	} {
		offset, length, ok := tt.r.Resolve(tt.size)
		if offset != tt.offset || length != tt.length || ok != tt.ok {
			t.Errorf("%+v of %d: %d bytes from %d, %v", tt.r, tt.size, length, offset, ok)
		}
	}
}

// FuzzResolve compares with the plain meaning of a range, byte by byte.
func FuzzResolve(f *testing.F) {
	f.Add(int64(0), int64(-1), uint8(10))
	f.Add(int64(-3), int64(-1), uint8(10))
	f.Add(int64(math.MinInt64), int64(math.MaxInt64), uint8(0))
	f.Add(int64(math.MaxInt64), int64(math.MinInt64), uint8(255))
	f.Add(int64(9), int64(1), uint8(10))
	f.Fuzz(func(t *testing.T, from, count int64, size uint8) {
		r := blob.Range{Offset: from, Length: count}
		var want []byte
		for i := range int(size) {
			at := int64(i)
			in := at >= from && (count < 0 || at-from < count)
			if from < 0 {
				in = at-int64(size) >= from
			}
			if in {
				want = append(want, byte(i))
			}
		}
		all := make([]byte, size)
		for i := range all {
			all[i] = byte(i)
		}
		offset, length, ok := r.Resolve(int64(size))
		if ok != (len(want) > 0) {
			t.Fatalf("%+v of %d: ok is %v, there are %d bytes", r, size, ok, len(want))
		}
		if offset < 0 || length < 0 || offset+length > int64(size) {
			t.Fatalf("%+v of %d: %d bytes from %d", r, size, length, offset)
		}
		if ok && !bytes.Equal(all[offset:offset+length], want) {
			t.Errorf("%+v of %d: %d bytes from %d, want %d", r, size, length, offset, want)
		}
	})
}
