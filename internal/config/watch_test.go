package config

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// watched runs a watcher over path in fake time; wait lets it look n times and
// gives how often it has told of a change since the last wait.
func watched(t *testing.T, path string) (wait func(n int) int) {
	t.Helper()
	w := &Watcher{Path: path, Every: time.Second}
	ctx, cancel := context.WithCancel(t.Context())
	var told atomic.Int32
	done := make(chan error, 1)
	seen := w.Digest()
	go func() { done <- w.Run(ctx, seen, func(string) { told.Add(1) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	time.Sleep(time.Second / 2) // look between the ticks
	synctest.Wait()
	return func(n int) int {
		time.Sleep(time.Duration(n) * time.Second)
		synctest.Wait()
		return int(told.Swap(0))
	}
}

func TestWatcherTellsOfAChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "spare.yaml")
		write(t, path, minimal)
		wait := watched(t, path)
		if n := wait(5); n != 0 {
			t.Errorf("told %d times of nothing", n)
		}
		write(t, path, minimal+"data: /x\n")
		if n := wait(1); n != 0 {
			t.Error("told after one look: the file may be half-written")
		}
		if n := wait(1); n != 1 {
			t.Errorf("told %d times after two looks, want 1", n)
		}
		if n := wait(5); n != 0 {
			t.Errorf("told %d times more", n)
		}
		write(t, path, minimal)
		if n := wait(2); n != 1 {
			t.Errorf("told %d times of the way back, want 1", n)
		}
	})
}

func TestWatcherWaitsUntilAFileIsWrittenWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "spare.yaml")
		write(t, path, minimal)
		wait := watched(t, path)
		for i := range 10 {
			write(t, path, minimal[:10*i])
			if n := wait(1); n != 0 {
				t.Fatalf("told of a file that is still being written, at part %d", i)
			}
		}
		if n := wait(1); n != 1 {
			t.Errorf("told %d times, want 1", n)
		}
	})
}

func TestWatcherSeesEveryWayToChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		in := func(name string) string { return filepath.Join(folder, name) }
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		text := minimal + "notify: {webhook: {url: \"https://x\", secret: \"${file:token}\"}}\n"
		write(t, in("one"), text)
		write(t, in("two"), text+"# two\n")
		write(t, in("token"), "a")
		must(os.Symlink("one", in("spare.yaml")))
		wait := watched(t, in("spare.yaml"))
		for _, c := range []struct {
			name string
			do   func()
			want int
		}{
			{"nothing", func() {}, 0},
			{"a link that is swapped", func() {
				must(os.Symlink("two", in("new")))
				must(os.Rename(in("new"), in("spare.yaml")))
			}, 1},
			{"an editor's rename", func() {
				write(t, in("tmp"), text+"# three\n")
				must(os.Rename(in("tmp"), in("spare.yaml")))
			}, 1},
			{"the same content anew", func() { write(t, in("spare.yaml"), text+"# three\n") }, 0},
			{"a file that it refers to", func() { write(t, in("token"), "b") }, 1},
			{"that file gone", func() { must(os.Remove(in("token"))) }, 1},
			{"that file empty, which is not gone", func() { write(t, in("token"), "") }, 1},
			{"the file gone", func() { must(os.Remove(in("spare.yaml"))) }, 1},
			{"the file back", func() { write(t, in("spare.yaml"), text) }, 1},
		} {
			c.do()
			if n := wait(3); n != c.want {
				t.Errorf("%s: told %d times, want %d", c.name, n, c.want)
			}
		}
	})
}

func TestWatcherTellsOfAChangeBeforeItRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "spare.yaml")
		write(t, path, minimal)
		w := &Watcher{Path: path}
		seen := w.Digest()
		write(t, path, minimal+"# changed\n")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second+time.Millisecond)
		defer cancel()
		var got []string
		if err := w.Run(ctx, seen, func(d string) { got = append(got, d) }); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0] != w.Digest() {
			t.Errorf("told %q, want one digest, %q", got, w.Digest())
		}
	})
}
