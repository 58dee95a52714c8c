package depot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/errs"
)

func start(t *testing.T, dir string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{Addr: addr, Dir: dir, SecretKey: "12345678", Log: slog.New(slog.DiscardHandler)})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for try := 0; ; try++ {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
			return addr
		}
		if try == 500 {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func open(t *testing.T, addr, name, secret string) *blob.Bucket {
	t.Helper()
	drv, err := s3blob.Open(s3blob.Options{Bucket: name, Endpoint: "http://" + addr, AccessKey: AccessKey, SecretKey: secret})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = drv.Close() })
	return blob.New(name, drv)
}

func write(t *testing.T, b *blob.Bucket, key, text string) string {
	t.Helper()
	if _, err := b.Put(t.Context(), key, bytes.NewReader([]byte(text)), int64(len(text)), blob.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestObjectsAreOnTheDiskAtTheirKeyOrStaged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cloud-a")
	addr := start(t, dir)
	plain := write(t, open(t, addr, Bucket, "12345678"), "load/01/k", "plain")
	staged := write(t, open(t, addr, Companion, "12345678"), "b/load/02/k/00ff", "staged")
	for _, c := range []struct {
		key, sum string
		want     bool
	}{{"load/01/k", plain, true}, {"load/02/k", staged, true}, {"load/01/k", staged, false}, {"load/02/k", plain, false}, {"load/03/k", plain, false}} {
		if got, err := Folder(dir).Holds(c.key, c.sum); got != c.want || err != nil {
			t.Errorf("%s with %.4s: %v, %v", c.key, c.sum, got, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, Bucket, "load/01/k")); err != nil {
		t.Fatal(err)
	}
	if got, err := Folder(dir).Holds("load/01/k", plain); got || err != nil {
		t.Errorf("after its removal: %v, %v", got, err)
	}
}

func TestTheKeyIsNeeded(t *testing.T) {
	addr := start(t, t.TempDir())
	if _, err := open(t, addr, Bucket, "87654321").Head(t.Context(), "k"); !errs.Is(err, errs.Denied) {
		t.Errorf("got %v", err)
	}
}

func TestPortThatIsTakenIsSaid(t *testing.T) {
	addr := start(t, t.TempDir())
	err := Run(t.Context(), Options{Addr: addr, Dir: t.TempDir(), SecretKey: "12345678", Log: slog.New(slog.DiscardHandler)})
	if !errs.Is(err, errs.Unavailable) {
		t.Errorf("got %v", err)
	}
}
