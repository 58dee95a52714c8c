package link_test

import (
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/link"
	"github.com/sparecloud/spare/internal/route"
)

func hubOptions(events chan health.Event) link.HubOptions {
	return link.HubOptions{
		Log: slog.New(slog.DiscardHandler),
		OnEvents: func(_ context.Context, _ string, batch []health.Event) error {
			for _, e := range batch {
				events <- e
			}
			return nil
		},
	}
}

// start runs f until the returned function is called.
func start(t *testing.T, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("does not stop")
		}
	}
}

func take[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came in 10 s")
		panic("unreachable")
	}
}

func TestLinkOutlivesAControlProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	tables, linked := make(chan uint64, 10), make(chan bool, 10)
	c := link.NewClient(path, link.ClientOptions{
		Log: slog.New(slog.DiscardHandler), Incarnation: "a",
		Epoch:    func() uint64 { return 0 },
		OnTable:  func(t *route.Table) error { tables <- t.Epoch; return nil },
		OnLinked: func(on bool) { linked <- on },
		Traffic:  func() []health.Traffic { return nil },
	})
	defer start(t, c.Run)()
	for round := uint64(1); round <= 3; round++ {
		events := make(chan health.Event, 10)
		hub, err := link.Listen(path, hubOptions(events)) // the socket of the round before is still there
		if err != nil {
			t.Fatal(err)
		}
		hub.Publish(&route.Table{Epoch: round})
		stop := start(t, hub.Run)
		if !take(t, linked) || take(t, tables) != round {
			t.Fatal("wrong order or table")
		}
		c.Report(health.Event{Kind: health.Ejected})
		e := take(t, events)
		for e.Seq < round { // its acknowledgement was lost with the control process
			e = take(t, events)
		}
		if e.Seq != round || e.Source != "a" {
			t.Fatalf("got %+v", e)
		}
		stop()
		if take(t, linked) {
			t.Fatal("still linked")
		}
	}
}

func TestSocketIsForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "control.sock")
	hub, err := link.Listen(path, hubOptions(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hub.Close() }()
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Fatalf("got %v, %v", info.Mode(), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Fatalf("left behind: %v", entries)
	}
}

func TestSocketPathUpToTheKernelsLimit(t *testing.T) {
	dir := t.TempDir()
	fits := filepath.Join(dir, strings.Repeat("x", link.MaxPath-len(dir)-1))
	hub, err := link.Listen(fits, hubOptions(nil))
	if err != nil {
		t.Fatalf("%d bytes: %v", len(fits), err)
	}
	_ = hub.Close()
	_, err = link.Listen(fits+"x", hubOptions(nil))
	if !errs.Is(err, errs.Invalid) || errs.Hint(err) == "" {
		t.Fatalf("%d bytes: %v", len(fits)+1, err)
	}
	c := link.NewClient(fits+"x", link.ClientOptions{})
	if err := c.Run(t.Context()); !errs.Is(err, errs.Invalid) {
		t.Fatalf("client: %v", err)
	}
}

func TestFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := link.Listen(path, hubOptions(nil)); !errs.Is(err, errs.Conflict) {
		t.Fatalf("got %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Fatalf("got %q, %v", b, err)
	}
}

func TestMissingFolderIsUnavailable(t *testing.T) {
	_, err := link.Listen(filepath.Join(t.TempDir(), "absent", "control.sock"), hubOptions(nil))
	if !errs.Is(err, errs.Unavailable) {
		t.Fatalf("got %v", err)
	}
}
