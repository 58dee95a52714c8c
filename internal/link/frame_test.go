package link

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/errs"
)

func TestFrameComesBackAsItWas(t *testing.T) {
	for _, body := range []string{"{}", strings.Repeat("x", 1<<20)} {
		got, err := readFrame(bytes.NewReader(appendFrame(nil, []byte(body))), maxFrame)
		if err != nil || string(got) != body {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
}

func TestFrameLengthOutOfBoundsIsInvalid(t *testing.T) {
	for _, n := range []uint32{0, maxFrame + 1, 1 << 31, ^uint32(0)} {
		b := binary.BigEndian.AppendUint32(nil, n)
		if _, err := readFrame(bytes.NewReader(b), maxFrame); !errs.Is(err, errs.Invalid) {
			t.Errorf("length %d: %v", n, err)
		}
	}
}

func TestCutFrameIsUnexpectedEOF(t *testing.T) {
	whole := appendFrame(nil, []byte(`{"ack":{"seq":1}}`))
	for n := 1; n < len(whole); n++ {
		if _, err := readFrame(bytes.NewReader(whole[:n]), maxFrame); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := readFrame(bytes.NewReader(nil), maxFrame); !errors.Is(err, io.EOF) {
		t.Errorf("no bytes: %v", err)
	}
}

func TestClaimedLengthTakesNoMemory(t *testing.T) {
	b := binary.BigEndian.AppendUint32(nil, maxFrame)
	got := testing.Benchmark(func(b2 *testing.B) {
		b2.ReportAllocs()
		for b2.Loop() {
			_, _ = readFrame(bytes.NewReader(b), maxFrame)
		}
	})
	if n := got.AllocedBytesPerOp(); n > 4096 {
		t.Fatalf("a header alone made the reader allocate %d bytes", n)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(appendFrame(nil, []byte(`{"hello":{"version":1,"incarnation":"a"}}`)))
	f.Add(appendFrame(nil, []byte(`{"table":{"epoch":1,"services":[{"id":"a","origins":[{"url":"x"}]}]}}`)))
	f.Add(appendFrame(nil, []byte(`{"events":{"events":[{"seq":1}]},"lost":-1}`)))
	f.Add([]byte{0, 0, 0, 9, '{'})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		for {
			before := r.Len()
			body, err := readFrame(r, maxHello)
			if err != nil {
				return
			}
			if len(body) == 0 || len(body) > maxHello || before-r.Len() != len(body)+4 {
				t.Fatalf("%d bytes from %d", len(body), before-r.Len())
			}
			m, err := decode(body)
			if err != nil {
				continue
			}
			again, err := encode(m)
			if err != nil {
				t.Fatalf("a decoded message cannot be encoded: %v", err)
			}
			if _, err := decode(again); err != nil {
				t.Fatalf("an encoded message cannot be decoded: %v", err)
			}
		}
	})
}
