package checksum_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/s3api/checksum"
	"github.com/sparecloud/spare/internal/s3api/s3err"
)

func sum(a checksum.Algorithm, p []byte) string {
	h := a.New()
	h.Write(p)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// The check values of the CRC catalogue, and of FIPS 180-4 for "abc".
func TestAlgorithmsHaveTheirPublishedValues(t *testing.T) {
	for _, test := range []struct {
		a         checksum.Algorithm
		in, value string
	}{
		{checksum.CRC32, "123456789", "y/Q5Jg=="},         // cbf43926
		{checksum.CRC32C, "123456789", "4waSgw=="},        // e3069283
		{checksum.CRC64NVME, "123456789", "rosUhgp5mIg="}, // ae8b14860a799888
		{checksum.SHA1, "abc", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="},
		{checksum.SHA256, "abc", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="},
	} {
		if got := sum(test.a, []byte(test.in)); got != test.value {
			t.Errorf("%s of %q is %s, want %s", test.a, test.in, got, test.value)
		}
	}
}

func TestPartsGiveTheSumOfTheWhole(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var all []byte
		pieces := make([][]byte, 1+rnd.IntN(6))
		for i := range pieces {
			pieces[i] = make([]byte, rnd.IntN(3000))
			for j := range pieces[i] {
				pieces[i][j] = byte(rnd.Uint32())
			}
			all = append(all, pieces[i]...)
		}
		for _, a := range checksum.All {
			var parts []checksum.Part
			raw := a.New()
			for _, p := range pieces {
				parts = append(parts, checksum.Part{Value: sum(a, p), Size: int64(len(p))})
				h := a.New()
				h.Write(p)
				raw.Write(h.Sum(nil))
			}
			got, ok := a.OfParts(parts, false)
			if crc := strings.HasPrefix(string(a), "CRC"); ok != crc || crc && got != sum(a, all) {
				t.Fatalf("%s of %d parts: %s %v, want %s", a, len(parts), got, ok, sum(a, all))
			}
			want := base64.StdEncoding.EncodeToString(raw.Sum(nil)) + "-" + string(rune('0'+len(parts)))
			if got, ok := a.OfParts(parts, true); !ok || got != want || !checksum.Composite(got) {
				t.Fatalf("composite %s: %s, want %s", a, got, want)
			}
			parts[0].Value = "?"
			if _, ok := a.OfParts(parts, true); ok {
				t.Fatal("a malformed value is taken")
			}
		}
	}
}

func TestNothingComesWholeOfABodyThatIsWrong(t *testing.T) {
	body := []byte(strings.Repeat("0123456789", 100))
	size := int64(len(body))
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		in   io.Reader
		want checksum.Want
		is   func(error) bool
	}{
		"short":        {bytes.NewReader(body[:999]), checksum.Want{Size: size}, func(err error) bool { return errors.Is(err, blob.ErrShort) }},
		"long":         {io.MultiReader(bytes.NewReader(body), strings.NewReader("x")), checksum.Want{Size: size}, func(err error) bool { return s3err.Is(err, s3err.IncompleteBody) }},
		"another sum":  {bytes.NewReader(body), checksum.Want{Size: size, Sums: map[checksum.Algorithm]string{checksum.SHA1: sum(checksum.SHA1, nil)}}, func(err error) bool { return s3err.Is(err, s3err.BadDigest) }},
		"breaks late":  {io.MultiReader(bytes.NewReader(body), iotest.ErrReader(broken)), checksum.Want{Size: size}, func(err error) bool { return errors.Is(err, broken) }},
		"breaks":       {io.MultiReader(bytes.NewReader(body[:500]), iotest.ErrReader(broken)), checksum.Want{Size: size}, func(err error) bool { return errors.Is(err, broken) }},
		"never ends":   {io.MultiReader(bytes.NewReader(body), stuck{}), checksum.Want{Size: size}, func(err error) bool { return errors.Is(err, io.ErrNoProgress) }},
		"late another": {bytes.NewReader(body), checksum.Want{Size: size, Late: []checksum.Algorithm{checksum.CRC32}, Trailer: func(checksum.Algorithm) string { return "AAAAAA==" }}, func(err error) bool { return s3err.Is(err, s3err.BadDigest) }},
	} {
		for _, step := range []int{1, 7, 1000, 4096} {
			r := checksum.NewReader(test.in, test.want)
			if s, ok := test.in.(io.Seeker); ok {
				_, _ = s.Seek(0, io.SeekStart)
			} else if step != 1000 {
				continue
			}
			got, err := io.ReadAll(&stepped{r, step})
			if !test.is(err) || int64(len(got)) >= size || r.Done() || r.Err() == nil || r.Sums() != nil {
				t.Errorf("%s, read by %d: %d bytes, %v, done %v", name, step, len(got), err, r.Done())
			}
		}
	}
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// stepped reads few bytes at a time.
type stepped struct {
	r io.Reader
	n int
}

func (s *stepped) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.n)]) }

func TestARightBodyEndsAndTellsItsSums(t *testing.T) {
	for _, body := range []string{"", "x", strings.Repeat("x", 5000)} {
		want := checksum.Want{Size: int64(len(body)), Sums: map[checksum.Algorithm]string{checksum.CRC32C: sum(checksum.CRC32C, []byte(body))}}
		r := checksum.NewReader(strings.NewReader(body), want)
		got, err := io.ReadAll(r)
		if err != nil || string(got) != body || !r.Done() || r.Err() != nil || r.Sums()["CRC32C"] != want.Sums[checksum.CRC32C] {
			t.Errorf("%d bytes: %d, %v, %v", len(body), len(got), err, r.Sums())
		}
	}
}
