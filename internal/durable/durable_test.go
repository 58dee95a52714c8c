package durable_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/durable"
	"github.com/sparecloud/spare/internal/errs"
)

func mustSave(t *testing.T, path, payload string) {
	t.Helper()
	if err := durable.Save(path, []byte(payload)); err != nil {
		t.Fatal(err)
	}
}

// names lists a folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWriteFileReplacesContentAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, want := range []string{"first", "", "a longer second content"} {
		if err := durable.WriteFile(path, []byte(want), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	if d := cmp.Diff([]string{"f"}, names(t, filepath.Dir(path))); d != "" {
		t.Fatal(d)
	}
}

func TestLoadGivesWhatWasSaved(t *testing.T) {
	for _, payload := range []string{"", "x", "two\nlines\n", strings.Repeat("\x00\xff", 1<<16)} {
		path := filepath.Join(t.TempDir(), "f")
		mustSave(t, path, payload)
		got, err := durable.Load(path)
		if err != nil || string(got.Payload) != payload || got.Fallback != nil {
			t.Fatalf("got %d bytes, fallback %v, %v", len(got.Payload), got.Fallback, err)
		}
	}
}

func TestPayloadIsReadableBelowTheHeader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	mustSave(t, path, `{"epoch":7}`)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, rest, _ := bytes.Cut(b, []byte("\n")); string(rest) != `{"epoch":7}` {
		t.Fatalf("got %q", b)
	}
}

// damages is what can happen to a file behind the program's back.
var damages = map[string]func(t *testing.T, path string){
	"truncated by one": func(t *testing.T, path string) { cut(t, path, 1) },
	"header only":      func(t *testing.T, path string) { cut(t, path, len("second")) },
	"half a header":    func(t *testing.T, path string) { cut(t, path, 60) },
	"empty":            func(t *testing.T, path string) { put(t, path, nil) },
	"zeroed":           func(t *testing.T, path string) { put(t, path, make([]byte, 120)) },
	"longer":           func(t *testing.T, path string) { put(t, path, append(slurp(t, path), 'x')) },
	"foreign":          func(t *testing.T, path string) { put(t, path, []byte(`{"epoch":7}`)) },
	"missing": func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	},
	"a folder": func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	},
}

func slurp(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func put(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func cut(t *testing.T, path string, n int) {
	t.Helper()
	b := slurp(t, path)
	put(t, path, b[:len(b)-n])
}

func TestDamagedFileFallsBackToThePreviousGeneration(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			mustSave(t, path, "first")
			mustSave(t, path, "second")
			damage(t, path)
			got, err := durable.Load(path)
			if err != nil || string(got.Payload) != "first" {
				t.Fatalf("got %q, %v", got.Payload, err)
			}
			if got.Fallback == nil || !strings.Contains(got.Fallback.Error(), path) {
				t.Fatalf("fallback not reported with the file's name: %v", got.Fallback)
			}
		})
	}
}

func TestDamagedFileIsNotKeptAsPrevious(t *testing.T) {
	for name, damage := range damages {
		if name == "a folder" { // cannot be replaced by a file: see below
			continue
		}
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			mustSave(t, path, "first")
			mustSave(t, path, "second")
			damage(t, path)
			mustSave(t, path, "third")
			damage(t, path)
			got, err := durable.Load(path)
			if err != nil || string(got.Payload) != "first" {
				t.Fatalf("got %q, %v", got.Payload, err)
			}
		})
	}
}

func TestEveryFlippedBitIsSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	mustSave(t, path, "payload")
	sound := slurp(t, path)
	for i := range len(sound) * 8 {
		b := bytes.Clone(sound)
		b[i/8] ^= 1 << (i % 8)
		put(t, path, b)
		if got, err := durable.Load(path); !errs.Is(err, errs.Invalid) {
			t.Fatalf("bit %d flipped: got %q, %v", i, got.Payload, err)
		}
	}
}

func TestNothingSoundIsInvalidAndNothingAtAllIsNotFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if _, err := durable.Load(path); !errs.Is(err, errs.NotFound) {
		t.Fatalf("got %v", err)
	}
	put(t, path, []byte("x"))
	if _, err := durable.Load(path); !errs.Is(err, errs.Invalid) {
		t.Fatalf("got %v", err)
	}
	put(t, durable.Previous(path), []byte("x"))
	if _, err := durable.Load(path); !errs.Is(err, errs.Invalid) {
		t.Fatalf("got %v", err)
	}
}

func TestOldLeftoversAreSweptAndFreshOnesAreLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	old, fresh, other := filepath.Join(dir, ".f.tmp-1"), filepath.Join(dir, ".f.tmp-2"), filepath.Join(dir, ".g.tmp-1")
	long := time.Now().Add(-2 * time.Hour)
	for _, p := range []string{old, fresh, other} {
		put(t, p, []byte("half a wri"))
		if p != fresh {
			if err := os.Chtimes(p, long, long); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustSave(t, path, "x")
	if d := cmp.Diff([]string{".f.tmp-2", ".g.tmp-1", "f"}, names(t, dir)); d != "" {
		t.Fatal(d)
	}
}

func TestFolderThatTakesNoFilesIsUnavailable(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	put(t, blocked, nil)
	for _, dir := range []string{"/proc", filepath.Join(t.TempDir(), "absent"), blocked} {
		path := filepath.Join(dir, "f")
		if err := durable.Save(path, []byte("x")); !errs.Is(err, errs.Unavailable) {
			t.Errorf("Save in %s: %v", dir, err)
		}
		if err := durable.WriteFile(path, []byte("x"), 0o600); !errs.Is(err, errs.Unavailable) {
			t.Errorf("WriteFile in %s: %v", dir, err)
		}
	}
}

func TestFailedSaveLeavesNoTemporaryFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.Mkdir(path, 0o700); err != nil { // rename over a folder fails
		t.Fatal(err)
	}
	if err := durable.Save(path, []byte("x")); !errs.Is(err, errs.Unavailable) {
		t.Fatalf("got %v", err)
	}
	if d := cmp.Diff([]string{"f"}, names(t, dir)); d != "" {
		t.Fatal(d)
	}
}
