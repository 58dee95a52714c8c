package cli

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDemoRefusesAFolderInUse(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	json := false
	cmd := newDemoCommand(&json)
	cmd.SetArgs([]string{"--dir", dir})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if code := exitCode(cmd.ExecuteContext(context.Background())); code != exitInvalid {
		t.Errorf("exit code %d, want %d", code, exitInvalid)
	}
}

func TestDemoCloudServesUntilItIsStopped(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.6:0")
	if err != nil {
		t.Fatal(err)
	}
	front := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cmd := newDemoCloudCommand()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("12345678\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.SetArgs([]string{"--name", "a", "--front", front, "--inside", "127.0.0.6:0", "--bucket", "127.0.0.6:0",
		"--dir", t.TempDir(), "--secret", secret, "--peer", "b=127.0.0.6:1"})
	cmd.SetErr(io.Discard)
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	for try := 0; ; try++ {
		res, err := http.Get("http://" + front + "/")
		if err == nil {
			_ = res.Body.Close()
			break
		}
		if try == 500 {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestDemoCloudNeedsNameAndAddressOfAPeer(t *testing.T) {
	cmd := newDemoCloudCommand()
	cmd.SetArgs([]string{"--peer", "b"})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	if code := exitCode(cmd.ExecuteContext(context.Background())); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
}
